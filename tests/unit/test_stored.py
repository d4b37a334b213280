"""Columns of texts in memory and on disk: they read like a list, and hold at most a batch."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.version_cases import listed

from finetune30.data import stored
from finetune30.data.stored import Texts, Writer


@pytest.fixture(params=["memory", "disk"], autouse=True, scope="module")
def place(request: pytest.FixtureRequest) -> Iterator[str]:
    """Where the columns lie; batches of three rows, so that a few rows are several batches."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(stored, "_BATCH_ROWS", 3)
        patched.setattr(stored, "_IN_MEMORY_BYTES", 0 if request.param == "disk" else 1 << 30)
        yield request.param


TEXTS = st.lists(st.text(max_size=5), max_size=20).map(
    lambda texts: [text.encode("utf-8", "ignore").decode() for text in texts]
)
BOUND = st.none() | st.integers(-25, 25)
STEP = st.none() | st.integers(-4, 4).filter(bool)


@given(TEXTS, BOUND, BOUND, STEP, st.data())
def test_it_reads_like_a_list(
    texts: list[str], first: int | None, last: int | None, step: int | None, data: st.DataObject
) -> None:
    column = Texts.of(texts)

    assert len(column) == len(texts)
    assert [*column] == texts
    assert column[first:last:step] == texts[first:last:step]
    for at in range(-len(texts), len(texts)):
        assert column[at] == texts[at]
    for beyond in (len(texts), -len(texts) - 1):
        with pytest.raises(IndexError):
            column[beyond]


@given(TEXTS, st.data())
def test_rows_taken_of_rows_taken_are_what_a_list_gives(texts: list[str], data: st.DataObject) -> None:
    def positions(count: int) -> np.ndarray:
        chosen = data.draw(st.sets(st.integers(0, count - 1)) if count else st.just(set()))
        return np.array(sorted(chosen), np.int64)

    one = positions(len(texts))
    some, expected = Texts.of(texts).take(one), [texts[at] for at in one]
    other = positions(len(some))
    fewer = some.take(other)

    assert [*some] == expected
    assert [*fewer] == [expected[at] for at in other] == fewer[:]
    assert fewer[::-1] == [*fewer][::-1]
    assert [(first, chunk.to_pylist()) for first, chunk in fewer.chunks()] == [
        (first, [*fewer][first : first + len(chunk)]) for first, chunk in fewer.chunks()
    ]


@given(TEXTS)
def test_changed_texts_are_changed_wherever_they_are_read(texts: list[str]) -> None:
    column = Texts.of(texts).changed(str.upper)
    upper = [text.upper() for text in texts]

    assert [*column] == upper == column[:]
    assert [text for _, chunk in column.chunks() for text in chunk.to_pylist()] == upper
    assert [*column.take(np.arange(0, len(texts), 2))] == upper[::2]
    assert [*Texts.of(texts)] == texts


@given(TEXTS, TEXTS)
def test_equality_is_that_of_the_texts(one: list[str], other: list[str]) -> None:
    assert (Texts.of(one) == Texts.of(other)) == (one == other)
    assert (Texts.of(one) == other) == (one == other)
    assert Texts.of(one) == tuple(one)
    assert Texts.of(one) != 3


def test_columns_lie_where_they_should(place: str) -> None:
    column = Texts.of(["text"] * 9)

    assert (column._stored._batches is None) == (place == "disk")
    assert column._stored.starts.tolist() == [0, 3, 6, 9]


def test_a_column_is_read_by_several_threads_at_once() -> None:
    texts = [f"text {at}" for at in range(300)]
    column = Texts.of(texts)
    wrong: list[int] = []

    def read(first: int) -> None:
        for at in range(first, 300, 7):
            if column[at] != texts[at] or column[at : at + 5] != texts[at : at + 5]:
                wrong.append(at)

    threads = [threading.Thread(target=read, args=(first,)) for first in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert wrong == []


def test_the_lengths_of_all_texts_of_a_row_bound_a_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored, "_BATCH_ROWS", 1_000)
    monkeypatch.setattr(stored, "_BATCH_CHARACTERS", 100)
    writer = Writer({"text": "string", "pair": "string", "number": "int64"})

    for number in range(20):
        writer.add("x", "y" * 49, number)

    assert np.diff(writer.finish().starts).tolist() == [2] * 10


def test_nothing_is_left_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored.tempfile, "tempdir", str(tmp_path))

    column = Texts.of(["text"] * 99)

    assert listed(tmp_path) == []
    assert [*column] == ["text"] * 99
    del column
    gc.collect()


MEMORY = """
import resource, sys
import numpy as np
from finetune30.data.stored import Texts, Writer
from tests.version_cases import listed
writer = Writer({"text": "string", "pair": "string"})
some = "".join(map(chr, np.random.default_rng(0).integers(32, 126, 5_000)))
for at in range(int(sys.argv[1])):
    writer.add("short", some)
kept = writer.finish()
texts = Texts(kept, "pair")
assert sum(map(len, texts)) == 5_000 * int(sys.argv[1])
assert sum(map(len, texts.take(np.arange(0, len(texts), 2)).changed(str.lower))) == 5_000 * (int(sys.argv[1]) // 2)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10)
"""


@pytest.mark.parametrize("place", ["disk"], indirect=True)
def test_memory_does_not_grow_with_the_rows(place: str) -> None:
    """The peak of a process with 80 MB of texts and of one with 400 MB, the real limits in place."""
    peaks = [
        int(subprocess.run([sys.executable, "-c", MEMORY, rows], capture_output=True, text=True, check=True).stdout)
        for rows in ("16000", "80000")
    ]

    assert peaks[1] - peaks[0] < 60, peaks  # MB; 320 more lie on disk
