"""Which split of a source is train, which validation, which test.

The configuration may name them; else the usual names decide. Two that fit one role are an error,
never a choice made silently. Neighbours: local asks for files of a folder, hub for named splits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from finetune30.data.table import did_you_mean, shortened
from finetune30.errors import DataError

if TYPE_CHECKING:
    from finetune30.config import ExperimentConfig

Role = Literal["train", "validation", "test"]
_USUAL: dict[Role, tuple[str, ...]] = {
    "train": ("train",),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test",),
}


@dataclass(frozen=True)
class Candidate:
    """A split of a source: what it is called, and what people see (the file's name)."""

    name: str
    shown: str


def assign(candidates: Sequence[Candidate], config: ExperimentConfig, where: str) -> dict[Role, Candidate]:
    """The split of each role, ``train`` always among them.

    Raises: DataError when a named split is missing, two fit one role, or one is named twice.
    """
    told = told_splits(config)
    roles = {role: _only(_called(candidates, name, role, where), role, where) for role, name in told.items()}
    if len(set(roles.values())) < len(roles):
        names = ", ".join(f"{_key(role)}: {candidate.name}" for role, candidate in roles.items())
        raise DataError(f"one split has two roles: {names}", where=where, hint="each role needs rows of its own")
    for role, usual in _USUAL.items():
        fitting = [one for one in candidates if one.name.casefold() in usual and one not in roles.values()]
        if role not in roles and fitting:
            roles[role] = _only(fitting, role, where)
    if "train" not in roles:
        raise DataError(
            f"there is no train split; there is {_listed(candidates)}",
            where=where,
            hint="name it: data.train_split",
        )
    return roles


def told_splits(config: ExperimentConfig) -> dict[Role, str]:
    """The splits that the configuration names itself."""
    told: dict[Role, str | None] = {
        "train": config.data.train_split,
        "validation": config.data.validation_split,
        "test": config.data.test_split,
    }
    return {role: name for role, name in told.items() if name is not None}


def _called(candidates: Sequence[Candidate], name: str, role: Role, where: str) -> list[Candidate]:
    fitting = [one for one in candidates if one.name == name]
    if not fitting:
        names = [one.name for one in candidates]
        raise DataError(
            f"there is no split {name!r} ({_key(role)}); there is {shortened(names) or 'none'}",
            where=where,
            hint=did_you_mean(name, names) or "name one of these",
        )
    return fitting


def _only(fitting: Sequence[Candidate], role: Role, where: str) -> Candidate:
    if len(fitting) > 1:
        names = " and ".join(one.shown for one in fitting)
        raise DataError(
            f"two {role} splits: {names}",
            where=where,
            hint=f"remove one, or name the one to use: {_key(role)}",
        )
    return fitting[0]


def _key(role: Role) -> str:
    return f"data.{role}_split"


def _listed(candidates: Sequence[Candidate]) -> str:
    return shortened([one.shown for one in candidates]) or "nothing"
