"""Every key path there is, what each expects, and the nearest one to a path that is not there.

Neighbours: schema defines the keys, aliases the other names they go by.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import cache
from typing import Any

from finetune30.config.expects import expected
from finetune30.config.faults import printable
from finetune30.config.schema import ExperimentConfig
from finetune30.errors import ConfigError

EXTENDS = "extends"
_NEAR_ENOUGH = 0.65


@dataclass(frozen=True)
class Key:
    """A key that holds a value: its JSON schema, and what it expects in words."""

    path: str
    schema: Mapping[str, Any]
    expects: str

    @property
    def is_text(self) -> bool:
        """Whether only text, or null, can stand here."""
        parts = self.schema.get("anyOf", [self.schema])
        return all(part.get("type") in ("string", "null") for part in parts)

    def takes_word(self, word: str) -> bool:
        """Whether the key has this word among its choices, such as ``no`` of eval_strategy."""
        return word in self.schema.get("enum", ())


@cache
def keys() -> dict[str, Key]:
    """Every key that holds a value, by its dotted path, in the order of the schema."""
    root = ExperimentConfig.model_json_schema()
    found: dict[str, Key] = {}

    def walk(schema: Mapping[str, Any], prefix: str) -> None:
        for name, part in schema["properties"].items():
            path = f"{prefix}{name}"
            if "$ref" in part:
                walk(root["$defs"][part["$ref"].rsplit("/", 1)[-1]], f"{path}.")
            else:
                found[path] = Key(path, part, expected(part))

    walk(root, "")
    return found


@cache
def sections() -> frozenset[str]:
    """Dotted paths of the groups of keys, such as ``training`` and ``data.validation_rules``."""
    return frozenset(path.rsplit(".", 1)[0] for path in keys() if "." in path)


def json_schema() -> dict[str, Any]:
    """JSON schema of a configuration file; each description ends with what the key expects."""
    schema = ExperimentConfig.model_json_schema()
    for model in (schema, *schema["$defs"].values()):
        for part in model["properties"].values():
            if "$ref" not in part:
                part["description"] = f"{part['description']}. Expects {expected(part)}"
            part.pop("title", None)
    schema["properties"] = {
        EXTENDS: {
            "type": "string",
            "description": "Another YAML file, relative to this one, whose values hold unless given here",
        },
        **schema["properties"],
    }
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def field_schema(path: str) -> dict[str, Any]:
    """The part of ``json_schema`` that describes one key or section.

    Raises: ConfigError with the nearest key if there is no such path.
    """
    part = json_schema()
    sections_by_ref = part["$defs"]
    for name in path.split("."):
        if name not in part.get("properties", {}):
            raise ConfigError(f"there is no key {printable(path)}", where="--field", hint=nearest(path, {}) or None)
        part = part["properties"][name]
        if "$ref" in part:
            part = {**sections_by_ref[part["$ref"].rsplit("/", 1)[-1]]}
    return part


def nearest(path: str, other_names: Mapping[str, str]) -> str:
    """Advice on an unknown path: where it belongs, what was probably meant, or nothing.

    Args:
        other_names: Known aliases by path, with the key each stands for.
    """
    section, _, name = path.rpartition(".")
    wanted = name.lower().replace("-", "_")[:80]
    known = {**{key: key for key in keys()}, **{s: s for s in sections()}, **other_names}
    homes = list(dict.fromkeys(known[p] for p in known if p.rpartition(".")[2] == wanted))
    same_section = [home for home in homes if home.rpartition(".")[0] == section]
    if same_section:
        return f"did you mean {same_section[0]}?"
    if homes:
        return f"{printable(name)} belongs at {' or '.join(homes)}"

    def likeness(candidate: str) -> float:
        home, _, last = candidate.rpartition(".")
        return SequenceMatcher(None, wanted, last).ratio() + (0.05 if home == section else 0.0)

    best = max(known, key=likeness)
    if likeness(best) >= _NEAR_ENOUGH:
        return f"did you mean {known[best]}?"
    siblings = [key.rpartition(".")[2] for key in keys() if key.rpartition(".")[0] == section]
    return f"the keys of {section} are {', '.join(siblings)}" if section in sections() else ""
