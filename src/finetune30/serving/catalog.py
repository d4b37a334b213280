"""What an address means: a run's id, ``name/3``, ``name@champion``, or the newest successful run.

Neighbours: the registry knows models and aliases, experiments the runs; ``following`` asks again and again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol


def _no_fault() -> str | None:
    return None


def _no_texts() -> Sequence[tuple[str, str | None]]:
    return ()


@dataclass(frozen=True)
class Found:
    """What an address means now.

    Attributes:
        address: As it was asked for.
        base_model, base_revision: As the run's configuration names its base.
        owner: Whose it is.
        sha256: Of all its files, as they were registered.
        base_sha256: Of the weights of the base it was trained on; None where a revision pins them, or nobody knows.
        fault: What is not as it was registered, naming the file; None if every byte is.
        evaluated: Texts it was evaluated on, each with the second one of a pair; none where they are no longer kept.
        everybodys: Every user may ask it.
        model, version, alias: Where it stands in the registry, if it was found there.
    """

    address: str
    experiment_id: str
    folder: Path
    base_model: str
    base_revision: str | None
    max_length: int
    owner: str
    everybodys: bool = False
    sha256: str = ""
    base_sha256: str | None = None
    fault: Callable[[], str | None] = field(default=_no_fault, compare=False)
    evaluated: Callable[[], Sequence[tuple[str, str | None]]] = field(default=_no_texts, compare=False)
    model: str | None = None
    version: int | None = None
    alias: str | None = None

    @property
    def key(self) -> tuple[str, str]:
        """What is in memory for it: the same run with other files is another adapter."""
        return self.experiment_id, self.sha256


class Catalog(Protocol):
    """Where addresses are looked up."""

    def find(self, address: str | None, owner: str | None = None) -> Found:
        """What an address means; None means the newest successful run, of this owner if one is given.

        Raises: NotFound, StateError, StorageError.
        """
        ...

    def marks(self, asked: Sequence[tuple[str, Path]]) -> list[object]:
        """For each something that differs when ``find`` of it may answer otherwise; None: only ``find`` can tell.

        Args:
            asked: Addresses, each with the folder it meant last.
        Raises: StorageError.
        """
        ...

    def moved(self) -> object:
        """Something that differs when an address may have come to mean another run."""
        ...
