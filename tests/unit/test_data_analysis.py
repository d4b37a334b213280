"""The figures of a dataset: against numbers counted by hand, whatever the language."""

from __future__ import annotations

import json
import math
import random
from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from rich.cells import cell_len

from finetune30.config import ExperimentConfig
from finetune30.data.analysis import Analysis, analyze, lines, vocabulary
from finetune30.data.analysis.lengths import Tally, edges_for
from finetune30.data.analysis.seen import Seen
from finetune30.data.analysis.segments import Segments, trim
from finetune30.data.analysis.telling import log_odds
from finetune30.data.prepare import Found
from finetune30.data.roles import Role
from finetune30.data.table import Cell, Columns, Table, TableWriter

Rows = Sequence[tuple[str, Cell]]

PRAISE, BLAME = "服務員很親切，房間乾淨", "房間很髒，冷氣很吵"
SMALL: Rows = [("good food", "pos"), ("good", "pos"), ("bad bad day out", "neg"), ("", "neg")]


def table(rows: Rows, **columns: str) -> Table:
    writer = TableWriter("rows", Columns("text", "label", **columns), has_lines=False)
    for text, label in rows:
        writer.add(text, label)
    return writer.finish()


def found(train: Rows, **others: Rows) -> Found:
    roles: dict[Role, Rows] = {"train": train, **others}  # type: ignore[dict-item]
    return Found("rows", {role: table(rows) for role, rows in roles.items()})


def characters(texts: Sequence[str], pairs: Sequence[str] | None) -> NDArray[np.int64]:
    """A tokenizer for which every character is a token."""
    return np.array([len(text) for text in texts], np.int64) + (0 if pairs is None else [len(pair) for pair in pairs])


def words_of(analysis: Analysis, label: str) -> list[str]:
    (figures,) = (figures for figures in analysis.labels if figures.name == label)
    return [told.word for told in figures.words]


def test_counts_and_lengths_are_those_counted_by_hand() -> None:
    config = ExperimentConfig(data={"max_length": 8})  # type: ignore[arg-type]

    analysis = analyze(found(SMALL, validation=[("good day", "pos")]), config, lengths=characters)

    train = analysis.splits["train"]
    assert (train.rows, train.empty, train.unlabelled, train.label_counts) == (4, 1, 0, {"neg": 2, "pos": 2})
    assert (train.words.mean, train.words.median, train.words.p99, train.words.longest) == (1.75, 1, 4, 4)
    assert train.words.histogram.edges == (0, 1, 2, 3, 4, 5)
    assert train.words.histogram.counts == (1, 1, 1, 0, 1, 0)
    assert train.tokens is not None
    assert train.tokens.longest == len("bad bad day out")
    assert train.cut == {8: 0.5, 64: 0.0, 128: 0.0, 256: 0.0, 512: 0.0}
    assert (analysis.total_samples, analysis.label_counts) == (5, {"neg": 2, "pos": 3})
    assert (analysis.imbalance_ratio, analysis.is_balanced) == (1.5, True)
    assert [(label.name, label.rows, label.median_words) for label in analysis.labels] == [("neg", 2, 0), ("pos", 2, 1)]


def test_a_held_out_split_is_compared_with_train() -> None:
    comparison = analyze(found(SMALL, test=[("good soup", "pos"), ("soup", "pos")]), ExperimentConfig()).comparisons[
        "test"
    ]

    assert comparison.label_distance == 0.5
    assert comparison.length_difference == -0.25
    assert comparison.unseen_words == 0.5
    assert comparison.unseen_occurrences == round(2 / 3, 6)


def test_log_odds_are_those_of_the_paper() -> None:
    inside, outside = np.array([8, 2]), np.array([1, 9])

    first, second = log_odds(inside, outside)

    # The prior is what both groups hold: 9 and 11 rows.
    expected = math.log((8 + 9) / (2 + 11)) - math.log((1 + 9) / (9 + 11))
    assert first == pytest.approx(expected / math.sqrt(1 / 17 + 1 / 10))
    assert second < 0


def test_telling_words_are_those_that_one_label_uses_more() -> None:
    rows = [(f"the plot was dull {at}", "neg") for at in range(20)]
    rows += [(f"the plot was charming {at}", "pos") for at in range(20)]
    rows += [("the charming one was dull", "neg"), ("2024 2024", "neg")] * 3

    analysis = analyze(found(rows), ExperimentConfig())

    assert words_of(analysis, "neg")[0] == "dull"
    assert words_of(analysis, "pos")[0] == "charming"
    dull = analysis.labels[0].words[0]
    assert (dull.rows, dull.elsewhere) == (23, 0)
    assert "2024" not in words_of(analysis, "neg")


def invented(count: int) -> list[str]:
    """Sentences of a thing, a common character and a quality, from a vocabulary that is wide as a language's."""
    draw = random.Random(30)
    letters = [chr(draw.randrange(0x4E00, 0x9000)) for _ in range(1_000)]
    things = ["服務員", "房間", *("".join(draw.sample(letters, 2)) for _ in range(150))]
    praise = ["親切", "乾淨", *("".join(draw.sample(letters, 2)) for _ in range(150))]
    return [f"{draw.choice(things)}很{draw.choice(praise)}" for _ in range(count)]


def test_chinese_words_are_whole() -> None:
    segments = Segments(invented(3_000))

    assert segments.words("服務員很親切，房間很乾淨 OK") == ["服務員", "很", "親切", "房間", "很", "乾淨", "ok"]


def test_a_label_of_chinese_texts_is_told_by_words_not_by_halves() -> None:
    rows = [(text, "好" if "親切" in text or "服務員" in text else "差") for text in invented(3_000)]

    told = words_of(analyze(found(rows), ExperimentConfig()), "好")

    assert set(told[:2]) == {"服務員", "親切"}
    assert not {"服務", "務員", "員很", "很親"} & set(told)


def test_77_labels_are_all_in_the_json_and_eight_in_the_text() -> None:
    rows = [(f"about topic{label:02} again", f"intent_{label:02}") for label in range(77) for _ in range(3 + label % 5)]

    analysis = analyze(found(rows), ExperimentConfig())

    told = list(lines(analysis))
    assert len(analysis.to_dict()["labels"]) == 77
    assert all(label.words[0].word == f"topic{label.name[-2:]}" for label in analysis.labels)
    begin = next(at for at, line in enumerate(told) if line.startswith("TELLING"))
    assert sum("topic" in line for line in told[begin:]) == 8
    assert told[-1].strip().startswith("and 69 labels")


def test_an_empty_split_and_one_without_labels_are_described_too() -> None:
    hidden: Rows = [("what is it", "-1")] * 3

    analysis = analyze(found(SMALL, validation=[], test=hidden), ExperimentConfig())

    assert analysis.splits["validation"].rows == 0
    assert analysis.splits["validation"].words.mean == 0.0
    assert analysis.splits["test"].unlabelled == 3
    assert analysis.comparisons["test"].label_distance is None
    assert "-1" not in analysis.label_counts
    assert any("3 test rows tell no label" in line for line in lines(analysis))


def test_a_row_counts_for_each_of_its_labels() -> None:
    rows: Rows = [("rude loud", ("loud", "rude"))] * 4 + [("rude", ("rude",))] * 2 + [("kind", ())] * 2

    analysis = analyze(found(rows), ExperimentConfig())

    assert analysis.splits["train"].label_counts == {"loud": 4, "rude": 6}
    assert analysis.splits["train"].share("rude") == 0.75
    assert analysis.together is not None
    assert (analysis.together.mean, analysis.together.labels_per_row) == (1.25, {0: 2, 1: 2, 2: 4})
    assert [(pair.one, pair.other, pair.rows) for pair in analysis.together.pairs] == [("loud", "rude", 4)]
    assert [(told.word, told.rows, told.elsewhere) for told in analysis.labels[0].words] == [("loud", 4, 0)]


def test_a_pair_is_one_text_in_two_parts() -> None:
    writer = TableWriter("rows", Columns("text", "label", "pair"), has_lines=False)
    writer.add("is it", "yes", pair="it is so")
    writer.add("", "no", pair="")

    train = analyze(Found("rows", {"train": writer.finish()}), ExperimentConfig(), lengths=characters).splits["train"]

    assert (train.characters.longest, train.words.longest, train.empty) == (13, 5, 1)
    assert train.tokens is not None
    assert train.tokens.longest == 13


def test_the_same_rows_give_the_same_figures_though_words_are_sampled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vocabulary, "SAMPLED_AT_MOST", 50)
    rows = [(f"{'good' if at % 2 else 'bad'} word{at % 9} 房間很大", str(at % 2)) for at in range(400)]

    first, second = (analyze(found(rows), ExperimentConfig()) for _ in range(2))

    assert first.counted_rows == 50
    assert first.splits["train"].rows == 400
    assert json.dumps(first.to_dict()) == json.dumps(second.to_dict())
    assert "a sample" in "\n".join(lines(first))


@given(st.lists(st.integers(0, 200_000), min_size=1, max_size=60))
def test_a_tally_is_exact_for_lengths_that_occur_and_close_beyond(lengths: list[int]) -> None:
    tally = Tally()
    tally.add(np.array(lengths))

    for share in (0.5, 0.95, 0.99):
        exact = sorted(lengths)[math.ceil(share * len(lengths)) - 1]
        told = tally.percentile(share)
        assert told == exact if exact < 1 << 14 else exact * (1 - 2e-4) <= told <= exact
    figures = tally.figures(edges_for([tally]))
    assert sum(figures.histogram.counts) == len(lengths)
    assert len(figures.histogram.edges) <= 42
    assert tally.longer(8192) == pytest.approx(sum(length > 8192 for length in lengths) / len(lengths))


def test_counters_do_not_grow_with_what_they_count() -> None:
    tally, seen, rare = Tally(), Seen(), Counter[str]()
    before = tally.nbytes + seen.nbytes

    tally.add(np.arange(100_000))
    seen.add(f"word{at}" for at in range(100_000))
    for at in range(1_000):
        rare.update(["usual", f"rare{at}"])
        trim(rare, 100)

    assert tally.nbytes + seen.nbytes == before
    assert len(rare) <= 100
    assert rare["usual"] == 1_000
    assert seen.has(["word7", "never"]).tolist() == [True, False]


def test_the_text_report_fits_a_terminal_and_hides_escapes() -> None:
    rows = [(f"{PRAISE} word{at}", "非常滿意而且一定會再來的那一種客人真的很滿意") for at in range(9)]
    rows += [(f"{BLAME} word{at}", "\x1b[31mred" + "x" * 200) for at in range(9)]

    told = list(lines(analyze(found(rows, test=rows[:4]), ExperimentConfig(), lengths=characters)))

    assert max(map(cell_len, told)) <= 100
    assert not any("\x1b" in line for line in told)
    assert any("█" in line for line in told)
