"""The catalog of a database: runs, and models with their aliases.

Neighbours: the registry resolves addresses, experiments know which run is the newest; ``following`` asks.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from finetune30.errors import ModelError, NotFound
from finetune30.experiments import ExperimentStore, Status
from finetune30.registry import Models, Resolved, Visibility
from finetune30.serving.catalog import Found
from finetune30.serving.evaluated import Texts, texts_of

_LONGEST = 512


class Books:
    """Looks addresses up in the registry and among the experiments.

    Args:
        data_dir: Where versions of data are kept; None where nobody asks for a run's texts.
    """

    def __init__(self, store: ExperimentStore, models: Models, data_dir: Path | None = None) -> None:
        self._store = store
        self._models = models
        self._data_dir = data_dir

    def find(self, address: str | None, owner: str | None = None) -> Found:
        """See ``Catalog``.

        Raises: NotFound, StateError, BadInput, StorageError.
        """
        resolved = self._models.resolve(address if address is not None else self._newest(owner))
        return _found(address, resolved, self._data_dir)

    def marks(self, asked: Sequence[tuple[str, Path]]) -> list[object]:
        """See ``Catalog``: a few queries for all, and of each folder the files that ``find`` reads."""
        known = self._models.marks([address for address, _ in asked])
        return [_mark(mark, folder) for mark, (_, folder) in zip(known, asked, strict=True)]

    def moved(self) -> object:
        """See ``Catalog``: changes of the registry, and which run is the newest."""
        try:
            return self._models.changes(), self._newest()
        except NotFound:
            return self._models.changes(), None

    def _newest(self, owner: str | None = None) -> str:
        found = self._store.overview(status=Status.SUCCESS, owner=owner, limit=1)
        if not found:
            raise NotFound("there is no successful run yet", hint="finetune30 train")
        return found[0].id


def _mark(known: object, final_model: Path) -> object:
    """None where nothing is known, or where what is there was never sealed: then every file would count."""
    sealed = _stamp(f"{final_model}/manifest.json")
    if known is None or sealed is None:
        return None
    return known, sealed, _stamp(f"{final_model}/config.json"), _stamp(f"{final_model.parents[1]}/environment.json")


def _stamp(path: str) -> object:
    try:
        found = os.stat(path)  # noqa: PTH116 - thousands of them, where each Path takes as long as the look itself
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _found(address: str | None, resolved: Resolved, data_dir: Path | None) -> Found:
    data: dict[str, Any] = dict(resolved.config.get("data", {}))
    longest = data.get("max_length", _LONGEST)
    if not isinstance(longest, int):
        raise ModelError("the run's configuration has no data.max_length", where=resolved.experiment_id)
    base_sha256 = _noted(resolved.folder, "base_model_sha256")
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
        base_sha256=base_sha256 if isinstance(base_sha256, str) else None,
        fault=resolved.fault,
        evaluated=partial(_texts, resolved.folder, data_dir),
        model=resolved.model,
        version=resolved.version,
        alias=resolved.alias,
    )


def _texts(final_model: Path, data_dir: Path | None) -> Texts:
    return () if data_dir is None else texts_of(data_dir, _noted(final_model, "dataset_sha256"))


def _noted(final_model: Path, key: str) -> Any:
    """What the run wrote down beside its results, see ``pipeline.attempt``."""
    try:
        return json.loads((final_model.parents[1] / "environment.json").read_text(encoding="utf-8")).get(key)
    except (OSError, ValueError, AttributeError):
        return None
