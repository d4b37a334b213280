"""Texts become token ids once, exactly as the tokenizer says, in memory or in a mapped file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from finetune30 import modeling
from finetune30.modeling import tokens
from finetune30.modeling.tokens import encode
from tests import tiny

TEXTS = [text for text, _ in tiny.rows(20)]


@pytest.fixture
def tokenizer(tiny_model: Callable[[str], Path]) -> object:
    return modeling.inspect(str(tiny_model("bert"))).tokenizer


@pytest.mark.parametrize("cached", [False, True])
def test_a_batch_is_what_the_tokenizer_itself_makes(tokenizer, tmp_path: Path, cached: bool) -> None:
    found = encode(tokenizer, TEXTS, 32, tmp_path if cached else None)
    rows = [3, 0, 17]

    batch = found.batch(rows)

    expected = tokenizer([TEXTS[row] for row in rows], padding=True, return_tensors="pt")
    assert torch.equal(batch["input_ids"], expected["input_ids"])
    assert torch.equal(batch["attention_mask"], expected["attention_mask"])
    assert found.lengths()[3] == expected["attention_mask"][0].sum()


@pytest.mark.parametrize("cached", [False, True])
@pytest.mark.parametrize("architecture", tiny.ARCHITECTURES)
def test_a_batch_of_pairs_is_what_the_tokenizer_itself_makes(
    tiny_model: Callable[[str], Path], tmp_path: Path, architecture: str, cached: bool
) -> None:
    tokenizer = modeling.inspect(str(tiny_model(architecture))).tokenizer
    pairs = [*TEXTS[1:], "film " * 20]
    rows = [3, 0, 19]

    found = encode(tokenizer, TEXTS, 24, tmp_path if cached else None, pairs)

    expected = tokenizer(
        [TEXTS[row] for row in rows],
        [pairs[row] for row in rows],
        truncation=True,
        max_length=24,
        padding=True,
        return_tensors="pt",
    )
    batch = found.batch(rows)
    assert batch.keys() == expected.keys()
    for name, value in batch.items():
        assert torch.equal(value, expected[name]), name
    assert ("token_type_ids" in batch) == (architecture == "bert")
    whole = [len(tokenizer(text, pair)["input_ids"]) for text, pair in zip(TEXTS, pairs, strict=True)]
    assert found.cut.tolist() == [row for row, length in enumerate(whole) if length > 24]
    assert 19 in found.cut


def test_pairs_are_other_files_than_their_texts_and_than_other_pairs(tokenizer, tmp_path: Path) -> None:
    encode(tokenizer, ["a", "b"], 32, tmp_path, ["c", "d"])
    encode(tokenizer, ["a", "b"], 32, tmp_path, ["c", "d"])
    encode(tokenizer, ["a", "b"], 32, tmp_path, ["c", "e"])
    encode(tokenizer, ["a", "c"], 32, tmp_path, ["b", "d"])
    encode(tokenizer, ["a", "c", "b", "d"], 32, tmp_path)

    assert len(list(tmp_path.iterdir())) == 4


@pytest.mark.parametrize("cached", [False, True])
def test_a_text_without_its_second_is_refused(tokenizer, tmp_path: Path, cached: bool) -> None:
    with pytest.raises(ValueError, match=r"shorter|length"):
        encode(tokenizer, ["a", "b"], 32, tmp_path if cached else None, ["c"])


@pytest.mark.parametrize("architecture", ["distilbert", "roberta"])
def test_token_types_that_the_model_does_not_take_are_not_given(
    tiny_model: Callable[[str], Path], tmp_path: Path, architecture: str
) -> None:
    """transformers reads DistilBERT's texts with BERT's tokenizer, and many RoBERTa know one type only."""
    import json
    import shutil

    from transformers import BertTokenizer

    folder = Path(shutil.copytree(tiny_model(architecture), tmp_path / "model"))
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "good", "film"]
    BertTokenizer(vocab=dict(zip(words, range(7), strict=True))).save_pretrained(folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "type_vocab_size": 1}))

    base = modeling.inspect(str(folder))

    assert encode(base.tokenizer, ["good"], 32, None, ["film"]).types is None
    base.tokenizer.save_pretrained(tmp_path / "saved")
    kept = json.loads((tmp_path / "saved" / "tokenizer_config.json").read_text())["model_input_names"]
    assert kept == ["input_ids", "attention_mask"]


def test_nothing_is_masked_where_nothing_is_padded(tokenizer) -> None:
    assert set(encode(tokenizer, ["good film"] * 3, 32).batch([0, 2])) == {"input_ids"}


def test_a_tokenizer_that_pads_on_the_left_does_so_here(tokenizer) -> None:
    tokenizer.padding_side = "left"
    try:
        batch = encode(tokenizer, ["good", "good film was good"], 32).batch([0, 1])
        expected = tokenizer(["good", "good film was good"], padding=True, return_tensors="pt")
    finally:
        tokenizer.padding_side = "right"
    assert torch.equal(batch["input_ids"], expected["input_ids"])
    assert torch.equal(batch["attention_mask"], expected["attention_mask"])


def test_cut_texts_are_known_by_position(tokenizer) -> None:
    found = encode(tokenizer, ["good", "film " * 6, "film " * 7, "film " * 6 + "good"], 8)

    assert found.cut.tolist() == [2, 3]
    assert found.truncated == 2
    assert found.lengths().tolist() == [3, 8, 8, 8]


def test_no_text_at_all_is_no_token(tokenizer, tmp_path: Path) -> None:
    assert len(encode(tokenizer, [], 8)) == 0
    assert len(encode(tokenizer, [], 8, tmp_path)) == 0


def test_the_second_reading_is_the_file_of_the_first(tokenizer, tmp_path: Path) -> None:
    first = encode(tokenizer, TEXTS, 32, tmp_path)
    (file,) = tmp_path.iterdir()
    written = file.read_bytes()

    class Silent:
        """The same tokenizer, which must not be asked again."""

        def __getattr__(self, name: str) -> object:
            return getattr(tokenizer, name)

        def __call__(self, *_: object, **__: object) -> None:
            raise AssertionError("read again")

    Silent.__qualname__ = type(tokenizer).__qualname__
    second = encode(Silent(), TEXTS, 32, tmp_path)

    assert np.array_equal(first.ids, second.ids)
    assert not second.ids.flags.owndata  # mapped, not read
    assert file.read_bytes() == written


@pytest.mark.parametrize("change", ["texts", "max_length", "tokenizer"])
def test_other_texts_lengths_or_tokenizers_are_other_files(
    tokenizer, tiny_model: Callable[[str], Path], tmp_path: Path, change: str
) -> None:
    encode(tokenizer, TEXTS, 32, tmp_path)
    other = modeling.inspect(str(tiny_model("roberta"))).tokenizer if change == "tokenizer" else tokenizer

    encode(other, TEXTS[:-1] if change == "texts" else TEXTS, 31 if change == "max_length" else 32, tmp_path)

    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("damage", [b"", b"ARROW1", None])
def test_a_damaged_file_is_read_anew(tokenizer, tmp_path: Path, damage: bytes | None) -> None:
    expected = encode(tokenizer, TEXTS, 32, tmp_path).ids.tolist()
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:-100] if damage is None else damage)

    assert encode(tokenizer, TEXTS, 32, tmp_path).ids.tolist() == expected


def test_a_changed_byte_is_noticed_and_the_texts_are_read_anew(tokenizer, tmp_path: Path) -> None:
    expected = encode(tokenizer, TEXTS, 32, tmp_path).ids.tolist()
    (file,) = tmp_path.iterdir()
    content = bytearray(file.read_bytes())
    for position in range(0, len(content), 37):
        changed = bytearray(content)
        changed[position] ^= 1
        file.write_bytes(changed)
        assert encode(tokenizer, TEXTS, 32, tmp_path).ids.tolist() == expected, position


def test_an_arrow_file_of_something_else_is_read_anew(tokenizer, tmp_path: Path) -> None:
    import pyarrow as pa

    expected = encode(tokenizer, TEXTS, 32, tmp_path).ids.tolist()
    (file,) = tmp_path.iterdir()
    for table in (pa.table({"ids": [1, 2]}), pa.schema([("ids", pa.int32())]).empty_table()):
        with pa.OSFile(str(file), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table)
        assert encode(tokenizer, TEXTS, 32, tmp_path).ids.tolist() == expected


def test_a_setting_of_the_tokenizer_that_only_python_knows_makes_another_file(
    tiny_model: Callable[[str], Path], tmp_path: Path
) -> None:
    import json
    import shutil

    for value in (False, True):
        folder = Path(shutil.copytree(tiny_model("bert"), tmp_path / str(value)))
        settings = json.loads((folder / "tokenizer_config.json").read_text())
        (folder / "tokenizer_config.json").write_text(json.dumps({**settings, "split_special_tokens": value}))
        encode(modeling.inspect(str(folder)).tokenizer, ["good [SEP] film"], 32, tmp_path / "cache")

    assert len(list((tmp_path / "cache").iterdir())) == 2


def test_a_cache_that_cannot_be_written_does_not_matter(tokenizer, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")

    assert len(encode(tokenizer, TEXTS, 32, tmp_path / "file" / "tokens")) == 20


def test_the_cache_forgets_what_was_not_used_for_longest(
    tokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import os

    for age, length in enumerate((30, 31, 32)):
        encode(tokenizer, TEXTS, length, tmp_path)
        newest = max(tmp_path.iterdir(), key=lambda file: file.stat().st_mtime_ns)
        os.utime(newest, (1_000_000 + age, 1_000_000 + age))
    size = next(tmp_path.iterdir()).stat().st_size
    monkeypatch.setattr(tokens, "_CACHE_BYTES", int(2.5 * size))

    encode(tokenizer, TEXTS, 29, tmp_path)

    assert sorted(int(file.stat().st_mtime) for file in tmp_path.iterdir())[0] == 1_000_002
    assert len(list(tmp_path.iterdir())) == 2


def test_token_types_are_kept_where_a_tokenizer_gives_any(tokenizer) -> None:
    class Typed:
        """Marks every second token."""

        pad_token_id, pad_token_type_id, padding_side = 0, 3, "right"

        def __call__(self, texts: list[str], **_: object) -> dict[str, list[list[int]]]:
            ids = [[7] * len(text) for text in texts]
            return {"input_ids": ids, "token_type_ids": [[i % 2 for i in range(len(row))] for row in ids]}

    batch = encode(Typed(), ["abc", "a"], 32).batch([0, 1])

    assert batch["token_type_ids"].tolist() == [[0, 1, 0], [0, 3, 3]]
