"""What a run answered on its validation split, row by row, with the texts where they are kept.

``eval_predictions.parquet`` holds the answers; the version of the data that the run used holds the texts, in the
same order. What is in memory of each row is a dozen bytes; texts and probabilities are read for the rows that
are asked for. A file that is not as the pipeline writes it is one clear error.
Neighbours: ``pipeline.result`` writes the file, ``data.versions`` keeps the rows, ``flips`` compares.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from finetune30.data.fold import key_of, numbered, whole
from finetune30.data.versions import VersionStore
from finetune30.data.versions.card import ID
from finetune30.errors import StorageError
from finetune30.experiments import Experiment, ExperimentFolder
from finetune30.experiments.opened import OpenFile, open_file, open_plain
from finetune30.reports.shapes import Answer, Name, Order

_ROWS_AT_ONCE = 8_192
_ANSWERS_AT_ONCE = 20_000


def open_predictions(experiment: Experiment, results_dir: Path, data_dir: Path) -> Predictions | None:
    """The predictions of a run; None where it has left none.

    Raises: StorageError if they cannot be read.
    """
    folder = ExperimentFolder(results_dir, experiment.id)
    answers = open_file(folder, folder.eval_predictions)
    if answers is None:
        return None
    texts = None
    if experiment.dataset_hash and ID.fullmatch(experiment.dataset_hash):  # no other string becomes a path
        texts = open_plain(VersionStore(data_dir).folder(experiment.dataset_hash) / "validation.parquet")
    try:
        return Predictions(answers, texts)
    except BaseException:
        answers.close()
        if texts is not None:
            texts.close()
        raise


class Predictions:
    """The rows of one run's validation split. To be closed, or used in a ``with`` block.

    Attributes:
        label_names: By id.
        several: A row may have several labels.
        right: Shape (rows,): the answer is the label.
        certainty: Shape (rows,), see ``Answer``.
        answers: Shape (rows,): positions in ``spoken``, the distinct answers there are.
    """

    def __init__(self, answers: OpenFile, texts: OpenFile | None) -> None:
        import pyarrow as pa

        self._files = [one for one in (answers, texts) if one is not None]
        with readable():
            self._answers = _opened(answers.file)
            schema = self._answers.schema_arrow
            names: dict[str, str] = json.loads((schema.metadata or {})[b"id2label"])
            self.label_names = [str(names[str(at)]) for at in range(len(names))]
            self.several = bool(pa.types.is_list(schema.field("label").type))
            self._scan()
        self._texts: Any = None
        if texts is not None:
            with readable():
                self._texts = _opened(texts.file)
                if self._texts.metadata.num_rows != len(self):
                    self._texts = None

    def __len__(self) -> int:
        return len(self.right)

    def __enter__(self) -> Predictions:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give the files back."""
        for one in self._files:
            one.close()

    @property
    def wrong(self) -> int:
        """Rows whose answer is not the label."""
        return int((~self.right).sum())

    def ordered(self, order: Order, *, wrong_only: bool = False) -> NDArray[np.int64]:
        """Positions: as they come, or the least (the most) certain of the right answer first."""
        positions = np.flatnonzero(~self.right) if wrong_only else np.arange(len(self))
        if order == "row":
            return positions
        certainty = self.certainty[positions]
        return positions[np.argsort(certainty if order == "worst" else -certainty, kind="stable")]

    def rows(self, positions: NDArray[np.int64]) -> list[Answer]:
        """These rows, in this order.

        Raises: StorageError.
        """
        wanted = np.unique(positions)
        with readable():
            told = _picked(self._answers, None, wanted)
            texts: list[dict[str, Any]] = [{}] * len(wanted)
            if self._texts is not None:
                columns = [name for name in ("row", "text", "text_pair") if name in self._texts.schema_arrow.names]
                texts = _picked(self._texts, columns, wanted)
            found = {
                at: self._answer(at, values, text)
                for at, values, text in zip(wanted.tolist(), told, texts, strict=True)
            }
        return [found[at] for at in positions.tolist()]

    def every(self, positions: NDArray[np.int64], at_once: int = _ANSWERS_AT_ONCE) -> Iterator[Answer]:
        """These rows, in this order, some at a time.

        Raises: StorageError.
        """
        for begin in range(0, len(positions), at_once):
            yield from self.rows(positions[begin : begin + at_once])

    def keys(self) -> NDArray[np.uint64] | None:
        """A number for each row, equal where text and label are; None where the texts are not kept.

        Raises: StorageError.
        """
        if self._texts is None:
            return None
        keys = []
        with readable():
            for batch in self._texts.iter_batches(_ROWS_AT_ONCE):
                columns = batch.to_pydict()
                pairs = columns.get("text_pair") or [None] * len(columns["text"])
                for text, pair, label in zip(columns["text"], pairs, columns["label"], strict=True):
                    label = label if isinstance(label, str) else sorted(label)
                    keys.append(key_of(json.dumps([whole(text, pair), label])))
        return numbered(np.array(keys, np.uint64))

    def spoken_at(self, position: int) -> Name:
        """The answer to a row."""
        found = self.spoken[int(self.answers[position])]
        return list(found) if isinstance(found, tuple) else found

    def _scan(self) -> None:
        """Look at every row once."""
        right, certainty, answers = [], [], []
        known: dict[str | tuple[str, ...], int] = {name: at for at, name in enumerate(self.label_names)}
        known = {} if self.several else known
        for batch in self._answers.iter_batches(_ROWS_AT_ONCE, columns=["label", "predicted", "probabilities"]):
            given = _matrix(batch.column("probabilities"), len(self.label_names))
            labels, predicted = batch.column("label"), batch.column("predicted")
            if self.several:
                truth, said = (_flags(one, given.shape) for one in (labels, predicted))
                right.append((truth == said).all(axis=1))
                certainty.append(np.where(truth, given, 1 - given).min(axis=1))
                spoken = (tuple(self.label_names[at] for at in np.flatnonzero(row)) for row in said)
                answers.append(np.array([known.setdefault(one, len(known)) for one in spoken], np.int64))
            else:
                truth, said = (one.to_numpy(zero_copy_only=False).astype(np.int64) for one in (labels, predicted))
                if (
                    len(truth)
                    and not 0 <= min(truth.min(), said.min()) <= max(truth.max(), said.max()) < given.shape[1]
                ):
                    raise ValueError("a label that has no name")
                right.append(truth == said)
                certainty.append(given[np.arange(len(truth)), truth])
                answers.append(said)
        self.right: NDArray[np.bool_] = np.concatenate([np.zeros(0, bool), *right])
        self.certainty: NDArray[np.float64] = np.concatenate([np.zeros(0), *certainty])
        self.answers: NDArray[np.int64] = np.concatenate([np.zeros(0, np.int64), *answers])
        self.spoken: Sequence[str | tuple[str, ...]] = list(known)

    def _answer(self, position: int, told: dict[str, Any], text: dict[str, Any]) -> Answer:
        same = text.get("row") == told["row"]  # else the texts are not those of these answers
        return Answer(
            position,
            int(told["row"]),
            text.get("text") if same else None,
            text.get("text_pair") if same else None,
            self._named(told["label"]),
            self._named(told["predicted"]),
            bool(self.right[position]),
            _finite(float(self.certainty[position])),
            {name: _finite(p) for name, p in zip(self.label_names, told["probabilities"], strict=True)},
        )

    def _named(self, ids: int | list[int]) -> Name:
        return [self.label_names[at] for at in ids] if isinstance(ids, list) else self.label_names[ids]


@contextmanager
def readable() -> Iterator[None]:
    """What a damaged file raises, as one error of ours."""
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowException, OSError, ValueError, KeyError, TypeError, IndexError, OverflowError) as cause:
        raise StorageError(
            f"the predictions of a run cannot be read: {str(cause).splitlines()[0][:200] if str(cause) else cause!r}",
            hint="restore the run's folder from a backup; its model does not need this file",
        ) from cause


def _opened(file: BinaryIO) -> Any:
    from pyarrow import parquet

    return parquet.ParquetFile(file, page_checksum_verification=True)


def _picked(file: Any, columns: list[str] | None, wanted: NDArray[np.int64]) -> list[dict[str, Any]]:
    """Some rows of a file, at ascending positions."""
    import pyarrow as pa

    found: list[dict[str, Any]] = []
    offset = 0
    for batch in file.iter_batches(_ROWS_AT_ONCE, columns=columns):
        if len(found) == len(wanted):
            break
        begin, end = np.searchsorted(wanted, [offset, offset + batch.num_rows])
        if begin < end:
            found += batch.take(pa.array(wanted[begin:end] - offset)).to_pylist()
        offset += batch.num_rows
    if len(found) < len(wanted):
        raise ValueError("it holds fewer rows than it says")
    return found


def _matrix(column: Any, width: int) -> NDArray[np.float64]:
    """Lists of equal length as a matrix."""
    flat = column.flatten().to_numpy(zero_copy_only=False).astype(np.float64)
    found: NDArray[np.float64] = flat.reshape(len(column), width)
    return found


def _flags(column: Any, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Lists of ids as a row of flags each."""
    found = np.zeros(shape, bool)
    sizes = column.value_lengths().to_numpy(zero_copy_only=False)
    ids = column.flatten().to_numpy(zero_copy_only=False)
    if len(ids) and ids.min() < 0:
        raise ValueError("a label that has no name")
    found[np.repeat(np.arange(len(column)), sizes), ids] = True
    return found


def _finite(value: float) -> float | None:
    return round(value, 6) if math.isfinite(value) else None
