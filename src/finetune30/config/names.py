"""Which texts may be a name: of an experiment, a column, a module, a device, a meeting place, a tracker.

An experiment's name is a label for people, never a path; what only looks like a path is refused
as well, so that no later program is fooled by it. Neighbours: schema uses the types.
"""

from __future__ import annotations

import unicodedata
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

LONGEST_NAME = 80
_MARKS_IN_NAMES = " ._-"


def _experiment_name(text: str) -> str:
    """The name in Unicode's composed form. Raises: ValueError saying what is not allowed in it."""
    name = unicodedata.normalize("NFC", text)
    if not 1 <= len(name) <= LONGEST_NAME:
        raise ValueError(f"has {len(name)} characters, expected 1 to {LONGEST_NAME}")
    odd = next((c for c in name if not _allowed(c)), None)
    if odd is not None:
        raise ValueError(
            f"has the character {_named(odd)}, expected letters of any script, digits, spaces and . _ - only"
        )
    if name[0] in " ." or name[-1] in " .":
        raise ValueError("begins or ends with a dot or a space, expected a letter or a digit there")
    if ".." in name:
        raise ValueError("has two dots in a row, which looks like a path; write one")
    if not any(c.isalnum() for c in name):
        raise ValueError("has no letter and no digit, expected at least one")
    return name


def _allowed(character: str) -> bool:
    kind = unicodedata.category(character)
    if character in _MARKS_IN_NAMES:
        return True
    # Letters, their marks, and decimal digits; full-width forms and the like change under NFKC.
    return (kind[0] in "LM" or character.isdecimal()) and unicodedata.normalize("NFKC", character) == character


def _named(character: str) -> str:
    name = unicodedata.name(character, "")
    shown = f"{character!r}" if character.isprintable() else ascii(character)
    return f"{shown} ({name})" if name and not character.isascii() else shown


def _one_line(text: str) -> str:
    if any(unicodedata.category(c) in ("Cc", "Cs") for c in text):
        raise ValueError("has a control character, expected text on one line")
    if text != text.strip() or not text:
        raise ValueError("is empty or begins or ends with a space, expected text")
    return text


def _expected(text: str) -> dict[str, str | list[str]]:
    """Words for a person, kept beside the constraint in the JSON schema."""
    return {"expects": text}


ExperimentName = Annotated[
    str,
    Field(
        json_schema_extra={
            **_expected(f"1 to {LONGEST_NAME} letters, digits, spaces, dots, _ or -"),
            "minLength": 1,
            "maxLength": LONGEST_NAME,
        }
    ),
    AfterValidator(_experiment_name),
]
# A path, a hub id, a column, a split: any text on one line; who uses it checks that it exists.
Text = Annotated[str, Field(min_length=1, max_length=1024), AfterValidator(_one_line)]
# No regular expressions: PEFT would run them over every module name, for minutes if they are made for it.
ModuleName = Annotated[
    str,
    Field(
        pattern=r"^[A-Za-z0-9_.]{1,200}$",
        json_schema_extra=_expected("module name (letters, digits, _ and .)"),
    ),
]
Device = Annotated[
    str,
    Field(
        pattern=r"^(auto|cpu|mps|cuda(:[0-9]{1,3})?)$",
        json_schema_extra=_expected("auto, cpu, mps, cuda or cuda:N"),
    ),
]
# Where processes of several machines meet; an IPv6 address stands in brackets.
Endpoint = Annotated[
    str,
    Field(
        pattern=r"^([A-Za-z0-9._-]{1,255}|\[[0-9A-Fa-f:.]{2,45}\]):[1-9][0-9]{0,4}$",
        json_schema_extra=_expected("HOST:PORT"),
    ),
]
Initialisation = Annotated[
    str,
    Field(
        pattern=r"^(gaussian|pissa|pissa_niter_[1-9][0-9]?|olora|orthogonal)$",
        json_schema_extra=_expected("one of gaussian, pissa, pissa_niter_N, olora, orthogonal"),
    ),
]


def _as_list(value: object) -> object:
    """``none``, one name or several, as transformers takes them."""
    if value is None or value in ("none", ["none"]):
        return []
    if isinstance(value, str):
        return [value]
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return list(dict.fromkeys(value))
    return value


_TRACKERS = ["tensorboard", "mlflow", "wandb"]
Trackers = Annotated[
    list[Literal["tensorboard", "mlflow", "wandb"]],
    BeforeValidator(_as_list),
    WithJsonSchema(
        {
            "anyOf": [{"enum": ["none", *_TRACKERS]}, {"type": "array", "items": {"enum": _TRACKERS}}],
            "expects": "none or a list of tensorboard, mlflow, wandb",
        }
    ),
]
