"""What the registry knows: models, versions, aliases, moves; who may read and change them.

Promises: a name and an alias are plain enough for addresses, paths of HTTP and shells; ``latest`` is computed and
never set; who asks is a name and whether everything is theirs, whoever they are elsewhere.
Neighbours: ``models`` makes these, ``addresses`` reads ``name@alias``. No SQL here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from finetune30.errors import BadInput
from finetune30.registry import manifest

NAME_PATTERN = r"[a-z0-9][a-z0-9._-]{0,63}"
LATEST = "latest"
# At least one character that is no digit, for a number names a version; at most 64.
ALIAS_PATTERN = r"(?:[a-z][a-z0-9._-]{0,63}|[0-9]{1,31}[a-z._-][a-z0-9._-]{0,32})"
# Words that a path of the API needs for itself.
RESERVED = frozenset({"resolve"})
# What other registries call their stages; here they are aliases like any other.
STAGES = ("Staging", "Production", "Archived")
LONGEST_TEXT = 2000
_NAME = re.compile(NAME_PATTERN)
_ALIAS = re.compile(ALIAS_PATTERN)


class Visibility(StrEnum):
    """Who may read and use a model beside its owner and admins: nobody, or everybody who is logged in."""

    PRIVATE = "private"
    TEAM = "team"


class Kind(StrEnum):
    """How an alias was moved."""

    POINT = "point"
    ROLLBACK = "rollback"
    DROP = "drop"


@dataclass(frozen=True)
class Actor:
    """Who asks.

    Attributes:
        everything: May read and change what is not theirs: an admin, or the operator of the machine.
    """

    name: str
    everything: bool = False


@dataclass(frozen=True)
class Model:
    """A name under which versions are kept.

    Attributes:
        versions: How many there are.
        latest: The highest number of those.
        aliases: Alias -> number of the version it points at.
    """

    id: int
    name: str
    owner: str
    visibility: Visibility
    description: str
    created_at: float
    versions: int
    latest: int | None
    aliases: Mapping[str, int]

    def may_read(self, by: Actor) -> bool:
        """Whether ``by`` may see and use it."""
        return self.visibility is Visibility.TEAM or self.may_change(by)

    def may_change(self, by: Actor) -> bool:
        """Whether ``by`` may register, move aliases and delete."""
        return by.everything or by.name == self.owner


@dataclass(frozen=True)
class Version:
    """One experiment's adapter under a number of its own; neither ever changes.

    Attributes:
        sha256: Of the manifest of its files, see ``manifest``.
    """

    model: str
    number: int
    experiment_id: str
    sha256: str
    registered_at: float
    registered_by: str
    note: str
    aliases: tuple[str, ...]
    base_model: str
    base_revision: str | None
    dataset: str
    dataset_hash: str | None
    eval_accuracy: float | None

    @property
    def address(self) -> str:
        """As it is written everywhere: ``name/3``."""
        return f"{self.model}/{self.number}"


@dataclass(frozen=True)
class Alias:
    """Where an alias points.

    Attributes:
        previous: Where a rollback would move it; None where it has been nowhere else that is still there.
    """

    model: str
    alias: str
    number: int
    moved_at: float
    moved_by: str
    previous: int | None


@dataclass(frozen=True)
class Move:
    """One line of an alias's history, in order of ``seq``; ``to_number`` is None where it was dropped."""

    seq: int
    model: str
    alias: str
    kind: Kind
    from_number: int | None
    to_number: int | None
    moved_at: float
    moved_by: str
    note: str


@dataclass(frozen=True)
class Candidate:
    """A successful experiment whose ``final_model/`` is there and whole."""

    experiment_id: str
    files: manifest.Files

    @property
    def sha256(self) -> str:
        """Of its manifest."""
        return manifest.digest(self.files)


@dataclass(frozen=True)
class Resolved:
    """What an address means just now: everything that is needed to load it and to say what it is.

    Attributes:
        model: Name and ``version`` in the registry; None for an experiment that was named by its id.
        alias: Through which it was found, ``latest`` too; None where a number or an id was given.
        folder: ``final_model/``.
        sha256: Of the manifest: who loads ``folder`` asks ``fault`` first.
        owner: Of the model, else of the experiment.
        config: The configuration it was trained with.
    """

    address: str
    model: str | None
    version: int | None
    alias: str | None
    experiment_id: str
    folder: Path
    files: manifest.Files
    sha256: str
    owner: str
    visibility: Visibility
    base_model: str
    base_revision: str | None
    label_names: tuple[str, ...]
    dataset: str
    dataset_hash: str | None
    eval_accuracy: float | None
    config: Mapping[str, Any]

    def fault(self) -> str | None:
        """What is not as it was registered, naming the file; None if every byte is. Reads all of them."""
        return manifest.fault(self.folder, self.files)

    def may_read(self, by: Actor) -> bool:
        """Whether ``by`` may use it."""
        return by.everything or by.name == self.owner or self.visibility is Visibility.TEAM

    def to_dict(self) -> dict[str, Any]:
        """What may be told to others: no path of this machine."""
        told = {
            key: value for key, value in asdict(self).items() if key not in ("address", "folder", "config", "files")
        }
        return {**told, "label_names": list(self.label_names)}


def checked_name(name: str) -> str:
    """``name``, if a model may be called so.

    Raises: BadInput.
    """
    if not _NAME.fullmatch(name) or name in RESERVED:
        raise BadInput(
            "this is no name for a model, expected 1 to 64 of a-z, 0-9 and . _ -, a letter or digit first",
            where="name",
            hint=f"such as sentiment or film-reviews; {', '.join(sorted(RESERVED))} is taken",
        )
    return name


def checked_alias(alias: str) -> str:
    """``alias`` as it is kept: the stages of other registries are written in lower case.

    Raises: BadInput.
    """
    alias = alias.lower() if alias in STAGES else alias
    if not _ALIAS.fullmatch(alias) or alias == LATEST:
        raise BadInput(
            "this is no alias, expected 1 to 64 of a-z, 0-9 and . _ -, a letter or digit first, and no number",
            where="alias",
            hint="such as champion, staging or production; latest is the newest version by itself",
        )
    return alias


def checked_text(text: str, where: str) -> str:
    """A note or a description, if it is not too long.

    Raises: BadInput.
    """
    text = text.replace("\0", "\ufffd")
    if len(text) > LONGEST_TEXT:
        raise BadInput(f"{len(text)} characters, expected at most {LONGEST_TEXT}", where=where)
    return text
