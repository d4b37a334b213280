"""The catalog of a database: runs, and models with their aliases.

Neighbours: the registry resolves addresses, experiments know which run is the newest; ``following`` asks.
"""

from __future__ import annotations

from typing import Any

from finetune30.errors import ModelError, NotFound
from finetune30.experiments import ExperimentStore, Status
from finetune30.registry import Models, Resolved, Visibility
from finetune30.serving.catalog import Found

_LONGEST = 512


class Books:
    """Looks addresses up in the registry and among the experiments."""

    def __init__(self, store: ExperimentStore, models: Models) -> None:
        self._store = store
        self._models = models

    def find(self, address: str | None) -> Found:
        """See ``Catalog``.

        Raises: NotFound, StateError, BadInput, StorageError.
        """
        resolved = self._models.resolve(address if address is not None else self._newest())
        return _found(address, resolved)

    def moved(self) -> object:
        """See ``Catalog``: changes of the registry, and which run is the newest."""
        try:
            return self._models.changes(), self._newest()
        except NotFound:
            return self._models.changes(), None

    def _newest(self) -> str:
        return self._store.newest(Status.SUCCESS).id


def _found(address: str | None, resolved: Resolved) -> Found:
    data: dict[str, Any] = dict(resolved.config.get("data", {}))
    longest = data.get("max_length", _LONGEST)
    if not isinstance(longest, int):
        raise ModelError("the run's configuration has no data.max_length", where=resolved.experiment_id)
    return Found(
        address=address or "newest",
        experiment_id=resolved.experiment_id,
        folder=resolved.folder,
        base_model=resolved.base_model,
        base_revision=resolved.base_revision,
        max_length=longest,
        owner=resolved.owner,
        everybodys=resolved.visibility is Visibility.TEAM,
        sha256=resolved.sha256,
        fault=resolved.fault,
        model=resolved.model,
        version=resolved.version,
        alias=resolved.alias,
    )
