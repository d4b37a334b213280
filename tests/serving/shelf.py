"""Adapters on a shelf: tiny ones by name, and a catalog whose names a test moves."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from safetensors.torch import load_file, save_file

from finetune30.errors import NotFound
from finetune30.serving.catalog import Found
from tests.modeling.test_shared import save_adapter


class Shelf:
    """A catalog of folders.

    Args:
        model: Folder of the base model of all adapters.
    """

    def __init__(self, folder: Path, model: Path) -> None:
        self.folder = folder
        self.model = model
        self.names: dict[str | None, str] = {}
        self.moves = 0
        # Raised at the next look at this name.
        self.faults: dict[str | None, Exception] = {}
        self.everybodys = True
        self.split: Sequence[tuple[str, str | None]] = ()  # texts that all were evaluated on
        self.looks: list[str | None] = []

    def add(self, name: str, *, labels: int = 2, seed: int = 1) -> Path:
        """An adapter by this name."""
        return save_adapter(self.folder / name, self.model, labels=labels, seed=seed)

    def damage(self, name: str, source: str, change: Callable[[Path], None]) -> None:
        """A copy of an adapter, damaged."""
        shutil.copytree(self.folder / source, self.folder / name)
        change(self.folder / name)

    def move(self, name: str | None, to: str) -> None:
        """Let a name mean an adapter."""
        self.names[name] = to
        self.moves += 1

    def find(self, address: str | None, owner: str | None = None) -> Found:
        """See ``Catalog``."""
        del owner
        self.looks.append(address)
        if (fault := self.faults.pop(address, None)) is not None:
            raise fault
        experiment_id = self.names.get(address, address)
        if experiment_id is None or not (self.folder / experiment_id).is_dir():
            raise NotFound("there is no such adapter")
        folder = self.folder / experiment_id
        return Found(
            address or "newest",
            experiment_id,
            folder,
            str(self.model),
            None,
            32,
            "ana",
            everybodys=self.everybodys,
            evaluated=lambda: self.split,
        )

    def marks(self, asked: Sequence[tuple[str, Path]]) -> list[object]:
        """See ``Catalog``."""
        return [self._mark(address) for address, _ in asked]

    def _mark(self, address: str) -> object:
        experiment_id = self.names.get(address, address)
        if address in self.faults or not (self.folder / experiment_id).is_dir():
            return None
        return experiment_id, self.everybodys

    def moved(self) -> object:
        """See ``Catalog``."""
        return self.moves


def change_weights(folder: Path, change: Callable[[dict[str, object]], object]) -> None:
    """Change the tensors of an adapter."""
    path = folder / "adapter_model.safetensors"
    weights = load_file(path)
    change(weights)
    save_file(weights, path)
