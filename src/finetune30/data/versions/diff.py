"""Two versions side by side: rows added, removed, relabelled, moved to another split.

Rows are matched by content, not by position: first those that are the same in split, text and label,
then by text within a split (relabelled), then by text and label across splits (moved); what is left
was added or removed. Texts that occur several times are matched one by one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from finetune30.data.fold import key_of, numbered
from finetune30.errors import StorageError


@dataclass(frozen=True)
class Row:
    """A row of a version, for people: ``train:17``."""

    place: str
    text: str
    label: str
    pair: str | None = None


@dataclass(frozen=True)
class Difference:
    """What changed from one version to another.

    Args:
        relabelled, moved: Pairs (before, after).
        unchanged: Rows that are the same in split, text and label.
    """

    added: list[Row]
    removed: list[Row]
    relabelled: list[tuple[Row, Row]]
    moved: list[tuple[Row, Row]]
    unchanged: int


def compare(before: Path, after: Path) -> Difference:
    """Compare two folders of split files."""
    one, other = _Rows(before), _Rows(after)
    left, right = np.arange(len(one.texts)), np.arange(len(other.texts))
    same, left, right = _matched(
        one.split ^ one.texts ^ one.labels, other.split ^ other.texts ^ other.labels, left, right
    )
    relabelled, left, right = _matched(one.split ^ one.texts, other.split ^ other.texts, left, right)
    moved, left, right = _matched(one.texts ^ one.labels, other.texts ^ other.labels, left, right)
    shown_before = one.rows(np.concatenate([left, relabelled[:, 0], moved[:, 0]]))
    shown_after = other.rows(np.concatenate([right, relabelled[:, 1], moved[:, 1]]))
    return Difference(
        added=[shown_after[at] for at in right.tolist()],
        removed=[shown_before[at] for at in left.tolist()],
        relabelled=[(shown_before[a], shown_after[b]) for a, b in relabelled.tolist()],
        moved=[(shown_before[a], shown_after[b]) for a, b in moved.tolist()],
        unchanged=len(same),
    )


def _matched(
    keys_before: NDArray[np.uint64], keys_after: NDArray[np.uint64], left: NDArray[np.int64], right: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Match rows by key, equal keys one by one in order; returns the pairs and what is left on both sides."""
    first, second = numbered(keys_before[left]), numbered(keys_after[right])
    _, at_first, at_second = np.intersect1d(first, second, assume_unique=True, return_indices=True)
    pairs = np.stack([left[at_first], right[at_second]], axis=1)
    pairs = pairs[pairs[:, 0].argsort()]
    return pairs, np.delete(left, at_first), np.delete(right, at_second)


class _Rows:
    """Keys of all rows of a version; texts are read again only for the few that are shown."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files = [folder / f"{name}.parquet" for name in ("train", "validation", "test")]
        self.files = [file for file in self.files if file.is_file()]
        split, texts, labels, self.sizes = [], [], [], []
        for file in self.files:
            count = 0
            for text, pair, label in self._read(file):
                # Different hashes for the three, so that a text is never taken for a label. With their
                # lengths, because joined strings could be cut in two places.
                split.append(key_of(f"split {file.stem}"))
                texts.append(key_of(f"text {len(text)} {text}{'' if pair is None else f' pair {pair}'}"))
                labels.append(key_of("label " + (label if isinstance(label, str) else repr(sorted(label)))))
                count += 1
            self.sizes.append(count)
        self.split, self.texts, self.labels = (np.array(keys, np.uint64) for keys in (split, texts, labels))

    def rows(self, wanted: NDArray[np.int64]) -> dict[int, Row]:
        """Some rows by their number."""
        found, number, asked = {}, 0, set(wanted.tolist())
        for file in self.files:
            for place, (text, pair, label) in enumerate(self._read(file)):
                if number in asked:
                    told = label if isinstance(label, str) else " + ".join(label)
                    found[number] = Row(f"{file.stem}:{place}", text, told, pair)
                number += 1
        return found

    def _read(self, file: Path) -> Iterator[tuple[str, str | None, str | list[str]]]:
        import pyarrow as pa
        from pyarrow import parquet

        try:
            with parquet.ParquetFile(file, page_checksum_verification=True) as opened:
                for batch in opened.iter_batches(8_192):
                    columns = batch.to_pydict()
                    pairs = columns.get("text_pair") or [None] * len(columns["text"])
                    yield from zip(columns["text"], pairs, columns["label"], strict=True)
        except (pa.ArrowException, OSError, KeyError) as cause:
            reason = str(cause).splitlines()[0][:200]
            raise StorageError(
                f"the rows of a version cannot be read: {reason}", where=str(file), hint="restore it from a backup"
            ) from cause
