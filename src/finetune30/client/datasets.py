"""Datasets: files sent to the server, what its checks say of them, versions of data.

Neighbours: ``transfer`` has the pieces of a file; a configuration names a dataset by its ``dataset_name``.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from finetune30.client.address import segment
from finetune30.client.answers import Page, shaped
from finetune30.client.answers_more import Dataset, DataVersion, Repaired
from finetune30.client.asking import every
from finetune30.client.transfer import Told, Transfers, pieces_of
from finetune30.client.wire import Request
from finetune30.errors import DataError, Unreachable

_PAGE = 100
_POLL_S = 1.0
# What is computed when it is asked for first takes its time.
_SLOW_S = 60.0


class Datasets(Transfers):
    """``/datasets``."""

    def upload(
        self,
        path: Path | str,
        *,
        name: str | None = None,
        told: Told | None = None,
        label_columns: Sequence[str] | None = None,
        **options: str | None,
    ) -> Dataset:
        """Send a CSV, TSV, JSONL or Parquet file; it is kept at once and checked soon (``checked`` waits).

        Args:
            name: What it is to be called; the file's name if left out.
            told: Called with the bytes sent so far and all there are.
            options: How it is read: ``text_column``, ``label_column``, ``encoding`` and other keys of ``data``.
        Raises: DataError for a file that cannot be read, RemoteError.
        """
        path = Path(path)
        try:
            size = path.stat().st_size
            with path.open("rb"):
                pass
        except OSError as cause:
            raise DataError(f"cannot be read: {cause.strerror}", where=str(path)) from cause
        columns = None if label_columns is None else ",".join(label_columns)
        asked = Request(
            "POST",
            "/datasets",
            {"name": name or path.name, "label_columns": columns, **options},
            # With its length, the server refuses what is too large before it is sent.
            headers={"Content-Type": "application/octet-stream", "Content-Length": str(size)},
            content=lambda: pieces_of(path, told),
        )
        answer = self._send(asked)
        return shaped(Dataset, answer.json(), answer.server)

    def checked(self, dataset_id: str, *, patience_s: float = 600.0) -> Dataset:
        """A dataset once its checks have ended: ``ready`` or ``refused``.

        Raises: Unreachable where they have not after the patience.
        """
        until = time.monotonic() + patience_s
        while (found := self.dataset(dataset_id)).is_checking:
            if time.monotonic() > until:
                raise Unreachable(f"its checks go on after {patience_s:g} s", where=dataset_id, hint="ask again later")
            time.sleep(_POLL_S)
        return found

    def datasets(self, *, owner: str | None = None, limit: int | None = None) -> Iterator[Dataset]:
        """One's files (an admin's: all), the newest first."""
        size = _PAGE if limit is None else min(limit, _PAGE)

        def page(after: str | None) -> Page[Dataset]:
            return self._page("/datasets", "datasets", Dataset, {"owner": owner, "limit": size, "after": after})

        return every(page, limit)

    def dataset(self, dataset_id: str) -> Dataset:
        """One file: its state, what the checks found, its version."""
        return self._get(_at(dataset_id), Dataset)

    def check_dataset(self, dataset_id: str, **options: str | None) -> Dataset:
        """Check it again, read in another way: ``text_column``, ``label_column`` and so on."""
        return self._post(f"{_at(dataset_id)}/check", Dataset, **options)

    def repair_dataset(self, dataset_id: str) -> Repaired:
        """A copy with every safe fix made, as a dataset of its own; the file that was sent stays as it is.

        Raises: Refused with status 409 where there is nothing to fix.
        """
        return self._post(f"{_at(dataset_id)}/repair", Repaired)

    def dataset_report(self, dataset_id: str) -> dict[str, Any]:
        """Every row the checks name."""
        return self._object(f"{_at(dataset_id)}/report")

    def download_report(self, dataset_id: str, to: Path | str, *, overwrite: bool = False) -> Path:
        """The same as a page with figures and plots."""
        path, name = f"{_at(dataset_id)}/report", f"{dataset_id}.html"
        return self._fetched(path, Path(to), name, accept="text/html", overwrite=overwrite)

    def dataset_analysis(self, dataset_id: str) -> dict[str, Any]:
        """Figures of its rows: lengths, labels, telling words; made when they are asked for first."""
        asked = Request("GET", f"{_at(dataset_id)}/analysis", safe=True, timeout_s=_SLOW_S, patience_s=_SLOW_S)
        return dict(self._send(asked).json())

    def preview(self, dataset_id: str, rows: int | None = None) -> list[dict[str, Any]]:
        """The first rows of each split, as a training sees them."""
        return list(self._object(f"{_at(dataset_id)}/preview", rows=rows)["rows"])

    def download_dataset(self, dataset_id: str, to: Path | str, *, overwrite: bool = False) -> Path:
        """The file as it was sent, to the byte."""
        name = Path(self.dataset(dataset_id).name).name or dataset_id
        return self._fetched(f"{_at(dataset_id)}/file", Path(to), name, overwrite=overwrite)

    def delete_dataset(self, dataset_id: str) -> None:
        """Forget it; refused while a task needs it."""
        self._delete(_at(dataset_id))

    def data_versions(self, limit: int | None = None) -> Iterator[DataVersion]:
        """Versions of data one may see, the newest first."""
        size = _PAGE if limit is None else min(limit, _PAGE)

        def page(after: str | None) -> Page[DataVersion]:
            return self._page("/datasets/versions", "versions", DataVersion, {"limit": size, "after": after})

        return every(page, limit)

    def data_version(self, version: str) -> DataVersion:
        """One version, by its id or how that begins."""
        return self._get(f"/datasets/versions/{segment(version)}", DataVersion)

    def data_diff(self, before: str, after: str, rows: int | None = None) -> dict[str, Any]:
        """What changed: rows ``added``, ``removed``, ``relabelled``, ``moved``."""
        return self._object(f"/datasets/versions/{segment(before)}/diff/{segment(after)}", rows=rows)


def _at(dataset_id: str) -> str:
    return f"/datasets/{segment(dataset_id)}"
