"""Tokens counted as the real tokenizer counts them, and the languages a model's name tells."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests import tiny
from transformers import AutoTokenizer, BertTokenizer

from finetune30.errors import ModelError
from finetune30.modeling.language import languages_of
from finetune30.modeling.lengths import counter_of, lengths_by, longer_than
from finetune30.modeling.source import Source, locate

TEXTS = [
    "", " ", "good", "the film was good and the food was not", "unbelievably antidisestablishmentarian",
    "房間很大，很乾淨。", "😀👍🏽", "naïve café", "a\x00b\u200bc", "[SEP] [CLS] [MASK]", "x" * 300, "word " * 700,
    "tabs\tand\nlines", "ไม่ดี",
]  # fmt: skip


def source_of(folder: Path) -> Source:
    return Source(str(folder), str(folder), None, folder)


def counted(tokenizer: Any, texts: list[str], pairs: list[str] | None = None) -> list[int]:
    """What transformers makes of them, uncut."""
    return [len(ids) for ids in tokenizer(texts, pairs, truncation=False, verbose=False)["input_ids"]]


@cache
def built_in() -> Any:
    return counter_of(locate("builtin:minilm"))


@pytest.fixture
def minilm() -> Any:
    return built_in()


@pytest.mark.parametrize("pairs", [False, True])
def test_the_built_in_models_tokens_are_counted_as_transformers_counts_them(minilm: Any, pairs: bool) -> None:
    real = AutoTokenizer.from_pretrained(locate("builtin:minilm").folder)
    seconds = TEXTS[::-1] if pairs else None

    assert lengths_by(minilm)(TEXTS, seconds).tolist() == counted(real, TEXTS, seconds)
    assert lengths_by(real)(TEXTS, seconds).tolist() == counted(real, TEXTS, seconds)


@pytest.mark.parametrize("architecture", tiny.ARCHITECTURES)
@pytest.mark.parametrize("pairs", [False, True])
def test_tiny_models_tokens_are_counted_as_transformers_counts_them(
    tiny_model: Callable[[str], Path], architecture: str, pairs: bool
) -> None:
    folder = tiny_model(architecture)
    seconds = TEXTS[::-1] if pairs else None

    lengths = lengths_by(counter_of(source_of(folder)))(TEXTS, seconds)

    assert lengths.tolist() == counted(AutoTokenizer.from_pretrained(folder), TEXTS, seconds)


def test_how_somebody_else_cuts_and_pads_does_not_count() -> None:
    real = AutoTokenizer.from_pretrained(locate("builtin:minilm").folder)
    before = lengths_by(real)(TEXTS).tolist()
    real(TEXTS, truncation=True, max_length=4, padding=True)

    assert lengths_by(real)(TEXTS).tolist() == before
    assert [len(ids) for ids in real(TEXTS, truncation=True, max_length=4)["input_ids"]] == [min(4, n) for n in before]


def test_a_tokenizer_written_in_python_is_counted_too(tmp_path: Path) -> None:
    (tmp_path / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *tiny.PLAIN]) + "\n")
    real = BertTokenizer(str(tmp_path / "vocab.txt"))

    class Slow:  # has no backend to ask
        def __call__(self, *given: Any, **options: Any) -> Any:
            return real(*given, **options)

    lengths = lengths_by(Slow())
    assert lengths(["the film", ""], None).tolist() == counted(real, ["the film", ""])
    assert lengths(["the film"], ["was"]).tolist() == counted(real, ["the film"], ["was"])
    assert lengths([], None).tolist() == []


SIGNS = st.text(st.characters(max_codepoint=127), max_size=30) | st.text(max_size=15) | st.sampled_from(TEXTS)


@given(st.lists(st.tuples(SIGNS, SIGNS), max_size=6), st.booleans(), st.integers(2, 40))
def test_the_shortcut_for_short_ascii_texts_never_misses(
    rows: list[tuple[str, str]], pairs: bool, max_length: int
) -> None:
    counter = built_in()
    texts, seconds = [text for text, _ in rows], [second for _, second in rows] if pairs else None

    longer = longer_than(counter, max_length)(texts, seconds)

    assert longer.tolist() == (lengths_by(counter)(texts, seconds) > max_length).tolist()


@given(st.text("ab \t", max_size=6), st.text("ab \t", max_size=6), st.booleans(), st.integers(2, 14))
def test_the_shortcut_leaves_room_for_the_space_some_put_in_front_of_each_text(
    text: str, second: str, pairs: bool, max_length: int
) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    counter = Tokenizer(models.WordLevel({"[UNK]": 0, "[S]": 1}, unk_token="[UNK]"))
    counter.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Metaspace(prepend_scheme="always"), pre_tokenizers.Split("", "isolated")]
    )
    counter.post_processor = processors.TemplateProcessing(
        single="[S] $A [S]", pair="[S] $A [S] $B [S]", special_tokens=[("[S]", 1)]
    )
    seconds = [second] if pairs else None

    assert longer_than(counter, max_length)([text], seconds) == (lengths_by(counter)([text], seconds) > max_length)


def test_a_character_that_is_several_tokens_is_not_taken_for_one(minilm: Any) -> None:
    text = "각간갈감갑강"
    (length,) = lengths_by(minilm)([text], None).tolist()
    assert length > len(text) + 6

    assert longer_than(minilm, length - 1)([text], None).tolist() == [True]
    assert longer_than(minilm, length - 1)(["well"], [text]).tolist() == [True]


def test_no_text_has_no_length(minilm: Any) -> None:
    assert lengths_by(minilm)([], None).tolist() == longer_than(minilm, 8)([], []).tolist() == []


def test_a_broken_tokenizer_is_an_error_that_names_the_file(tmp_path: Path, tiny_model: Callable[[str], Path]) -> None:
    folder = tmp_path / "model"
    shutil.copytree(tiny_model("bert"), folder)
    (folder / "tokenizer.json").write_text("{}")

    with pytest.raises(ModelError, match="cannot be read") as refused:
        counter_of(source_of(folder))

    assert refused.value.where == str(folder / "tokenizer.json")


def test_counting_loads_neither_torch_nor_transformers() -> None:
    program = (
        "import sys; from finetune30.modeling.lengths import counter_of, longer_than;"
        "from finetune30.modeling.language import languages_of; from finetune30.modeling.source import locate;"
        "source = locate('builtin:minilm'); longer = longer_than(counter_of(source), 4);"
        "assert longer(['a good film', 'x'], None).tolist() == [True, False]; assert languages_of(source) == {'en'};"
        "print(sorted({'torch', 'transformers', 'peft'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=120)

    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("name", "codes"),
    [
        ("builtin:minilm", {"en"}),
        ("bert-base-uncased", {"en"}),
        ("google-bert/bert-base-cased", {"en"}),
        ("FacebookAI/roberta-large", {"en"}),
        ("distilbert/distilbert-base-uncased", {"en"}),
        ("microsoft/deberta-v3-small", {"en"}),
        ("answerdotai/ModernBERT-base", {"en"}),
        ("BAAI/bge-small-en-v1.5", {"en"}),
        ("bert-base-chinese", {"zh"}),
        ("hfl/chinese-macbert-base", {"zh"}),
        ("BAAI/bge-base-zh-v1.5", {"zh"}),
        ("ckiplab/albert-tiny-chinese", {"zh"}),
        ("models/roberta_zh/", {"zh"}),
        ("camembert-base", {"fr"}),
        ("dbmdz/bert-base-german-cased", {"de"}),
        ("cl-tohoku/bert-base-japanese-v3", {"ja"}),
        ("klue/roberta-base", {"ko"}),
        ("klue/bert-base", {"ko"}),
        ("dccuchile/bert-base-spanish-wwm-cased", {"es"}),
        ("dbmdz/bert-base-italian-xxl-cased", {"it"}),
        ("vinai/phobert-base", {"vi"}),
        ("neuralmind/bert-base-portuguese-cased", {"pt"}),
        ("google/gemma-3-270m-it", None),
        ("google/gemma-3-1b-pt", None),
        ("bert-base-multilingual-cased", None),
        ("xlm-roberta-base", None),
        ("microsoft/mdeberta-v3-base", None),
        ("jhu-clsp/mmBERT-base", None),
        ("my/own-model", None),
    ],
)
def test_a_models_name_tells_its_languages(tmp_path: Path, name: str, codes: set[str] | None) -> None:
    assert languages_of(Source(name, name, None, tmp_path)) == codes


@pytest.mark.parametrize(
    ("card", "codes"),
    [
        ("---\nlanguage: fr\nlicense: mit\n---\n# Card", {"fr"}),
        ("---\nlicense: mit\nlanguage:\n- en\n- zh\n---\n", {"en", "zh"}),
        ("---\nlanguage: [de, en]\n---\n", {"de", "en"}),
        ("---\nlanguage:\n  - zh-tw\ntags:\n- nl\n---\n", {"zh"}),
        ("---\r\nlanguage: en\r\n---\r\n", {"en"}),
        ("---\nlanguage: multilingual\n---\n", None),
        ("---\nlanguage:\n- en\n- fr\n- de\n- es\n---\n", None),
        ("---\nlicense: mit\n---\nlanguage: en\n", None),
        ("language: en\n", None),
        ("", None),
        (b"---\nlanguage: en\n\xff\n---\n", None),
        (None, None),
    ],
)
def test_else_its_card_tells_them(tmp_path: Path, card: str | bytes | None, codes: set[str] | None) -> None:
    if card is not None:
        (tmp_path / "README.md").write_bytes(card.encode() if isinstance(card, str) else card)

    assert languages_of(Source("my/own-model", "my/own-model", None, tmp_path)) == codes
