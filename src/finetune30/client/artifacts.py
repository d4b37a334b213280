"""What a run left behind: files, checkpoints, curves, predictions, runs side by side.

Neighbours: ``transfer`` fetches files.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from finetune30.client.address import segment
from finetune30.client.answers import Page
from finetune30.client.answers_more import Artifact, Checkpoint, Prediction
from finetune30.client.asking import every
from finetune30.client.transfer import Transfers

_PAGE = 100
CSV, JSON_LINES = "text/csv", "application/x-ndjson"


class Artifacts(Transfers):
    """``/experiments/{id}/artifacts`` and its neighbours, ``/experiments/compare``."""

    def artifacts(self, experiment_id: str) -> list[Artifact]:
        """What there is to fetch just now; ``final_model.zip`` comes with the run's end."""
        return self._page(f"{_at(experiment_id)}/artifacts", "artifacts", Artifact, {}).items

    def download(self, experiment_id: str, name: str, to: Path | str, *, overwrite: bool = False) -> Path:
        """Fetch an artifact into a file, which is whole or not there.

        Args:
            to: The file, or a folder to put it into.
        """
        return self._fetched(f"{_at(experiment_id)}/artifacts/{segment(name)}", Path(to), name, overwrite=overwrite)

    def download_model(self, experiment_id: str, to: Path | str, *, overwrite: bool = False) -> Path:
        """Fetch the trained adapter: a zip of a plain PEFT folder."""
        return self.download(experiment_id, "final_model.zip", to, overwrite=overwrite)

    def checkpoints(self, experiment_id: str) -> list[Checkpoint]:
        """The checkpoints that are kept, by step."""
        return self._page(f"{_at(experiment_id)}/checkpoints", "checkpoints", Checkpoint, {}).items

    def download_checkpoint(self, experiment_id: str, archive: str, to: Path | str, *, overwrite: bool = False) -> Path:
        """Fetch a checkpoint by the name of its archive."""
        path = f"{_at(experiment_id)}/checkpoints/{segment(archive)}"
        return self._fetched(path, Path(to), archive, overwrite=overwrite)

    def curves(self, experiment_id: str, points: int | None = None) -> dict[str, Any]:
        """``training`` and ``evaluations`` by step, thinned out to so many points; also while it runs."""
        return self._object(f"{_at(experiment_id)}/curves", points=points)

    def predictions(
        self, experiment_id: str, *, order: str | None = None, only: str | None = None, limit: int | None = None
    ) -> Iterator[Prediction]:
        """Rows of the validation split with what was answered.

        Args:
            order: ``row``, ``worst`` (where the right answer seemed least likely first) or ``best``.
            only: ``wrong``.
        """
        size = _PAGE if limit is None else min(limit, _PAGE)

        def page(after: int | None) -> Page[Prediction]:
            query = {"order": order, "only": only, "limit": size, "after": after}
            return self._page(f"{_at(experiment_id)}/predictions", "predictions", Prediction, query)

        return every(page, limit)

    def download_predictions(
        self, experiment_id: str, to: Path | str, *, kind: str = CSV, overwrite: bool = False
    ) -> Path:
        """All of them as a file: CSV, or JSON lines (``application/x-ndjson``)."""
        name = f"{experiment_id}-predictions.{'csv' if kind == CSV else 'jsonl'}"
        return self._fetched(f"{_at(experiment_id)}/predictions", Path(to), name, accept=kind, overwrite=overwrite)

    def compare(
        self,
        experiment_ids: Sequence[str],
        *,
        flips: str | None = None,
        limit: int | None = None,
        after: int | None = None,
    ) -> dict[str, Any]:
        """Two to five runs side by side; the first is what the others are compared with.

        Args:
            flips: Which rows that are answered differently: ``any``, ``gained``, ``lost`` or ``changed``.
        """
        query = {"ids": ",".join(experiment_ids), "flips": flips, "limit": limit, "after": after}
        return self._object("/experiments/compare", **query)


def _at(experiment_id: str) -> str:
    return f"/experiments/{segment(experiment_id)}"
