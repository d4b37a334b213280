"""Long texts: read as training reads them, while others go on."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest

from finetune30 import modeling
from finetune30.modeling.shared import reading
from finetune30.modeling.shared.reading import Reader
from finetune30.modeling.tokens import encode
from tests.serving.desk import Desk

_LETTERS = (
    "film ",
    "good,",
    "a",
    " ",
    "    ",
    "\n",
    "\t",
    "\u3000",
    "電影",
    "é",
    "e\u0301",
    "ﬁ",
    "🎬",
    "\u200d",
    "x" * 150,
    "Σ ",
)


def _long_texts() -> list[str]:
    draw = random.Random(5)
    found = ["".join(draw.choices(_LETTERS, k=3000)) for _ in range(12)]
    # Beginnings that hold few tokens, or none.
    found += ["a" + " " * 9000 + "b c", " " * 9000 + "film " * 40, ("y" * 200 + " ") * 60, "\u200d " * 5000 + "film"]
    return [*found, "film " * 5000, "film" * 5000, "電影" * 5000, "a b" + " \n" * 9000, "film", "film " * 40]


def _assert_read_as_training_reads(name: str, texts: Sequence[str], pairs: Sequence[str] | None) -> None:
    base = modeling.inspect(name)
    reader = Reader(base)
    for length in (8, 16, 32):
        tokens = encode(base.tokenizer, texts, length, pairs=pairs)
        for read in (reader.read(texts, pairs, length), _one_by_one(reader, texts, pairs, length)):
            for at, one in enumerate(read):
                assert one.ids.tolist() == tokens.ids[tokens.starts[at] : tokens.starts[at + 1]].tolist()
            assert [at for at, one in enumerate(read) if one.truncated] == tokens.cut.tolist()


def _one_by_one(reader: Reader, texts: Sequence[str], pairs: Sequence[str] | None, length: int) -> list[Any]:
    rows = [slice(at, at + 1) for at in range(len(texts))]
    return [reader.read(texts[row], pairs and pairs[row], length)[0] for row in rows]


@pytest.mark.parametrize("name", ["bert", "roberta", "builtin:minilm"])
@pytest.mark.parametrize("paired", [False, True])
def test_long_texts_are_read_as_training_reads_them(tiny_model: Callable[[str], Path], name: str, paired: bool) -> None:
    texts = _long_texts()
    found = name if name.startswith("builtin:") else str(tiny_model(name))
    if not paired:
        return _assert_read_as_training_reads(found, texts, None)
    # Training keeps every combination of what is cut off: here not as long as above.
    texts = [text[: 50 * at % 700 + at] or "x" for at, text in enumerate(texts * 4)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reading, "QUICK_CHARACTERS", 0)
        return _assert_read_as_training_reads(found, texts, texts[::-1])


def test_the_rest_of_a_long_text_is_not_read(tiny_model: Callable[[str], Path]) -> None:
    reader = Reader(modeling.inspect(str(tiny_model("bert"))))
    assert reader._cuts
    assert len(reading._beginning("film " * 100_000, 32)) < 32 * 64 + 10
    [found] = reader._slow.encoded(["film " * 100_000], 32)
    [read] = reader.read(["film " * 100_000], None, 32)
    assert read.ids.tolist() == found.ids
    assert read.truncated


def test_two_long_texts_do_not_take_all_memory(tiny_model: Callable[[str], Path]) -> None:
    """All combinations of what is cut off would be thousands of millions."""
    reader = Reader(modeling.inspect(str(tiny_model("bert"))))
    before = psutil.Process().memory_info().rss
    [read] = reader.read(["電 " * 150_000], ["影 " * 150_000], 32)
    assert len(read.ids) == 32
    assert read.truncated
    assert psutil.Process().memory_info().rss - before < 1 << 30


def test_others_go_on_while_a_long_text_is_read() -> None:
    """Without a space in it, so that all of it is read."""
    reader = Reader(modeling.inspect("builtin:minilm"))
    steps = 0
    with ThreadPoolExecutor(1) as pool:
        read = pool.submit(reader.read, ["," * 300_000], None, 32)
        while not read.done():
            time.sleep(0.001)
            steps += 1
    assert read.result()[0].truncated
    assert steps > 50


def test_a_short_text_does_not_wait_for_a_long_one(desk: Desk) -> None:
    short = {"text": "film", "adapter": desk.run(seed=62)}
    desk.post("/predict", short).raise_for_status()
    live = desk.service.following.live(short["adapter"])
    pair = desk.run(seed=61, text_pair=True)
    ended = threading.Event()

    def ask() -> None:
        long = {"text": "a", "text_pair": "," * 300_000, "adapter": pair}
        while not ended.is_set():
            desk.post("/predict", long).raise_for_status()

    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(ask)
        try:
            # Somebody reads a long text: who reads a short one, on the loop, gets along without that lock.
            with live.reader._slow._lock:
                for _ in range(20):
                    desk.post("/predict", short).raise_for_status()
        finally:
            ended.set()
        asked.result(60)
