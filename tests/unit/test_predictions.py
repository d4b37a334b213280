"""Answers of runs, row by row: read, put in order, compared, exported; and a damaged file is one clear error."""

from __future__ import annotations

import csv
import io
import json
import random
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from tests.trained import Trained

from finetune30.errors import StorageError
from finetune30.experiments import ExperimentFolder
from finetune30.reports.compare import compare
from finetune30.reports.exported import csv_pieces, inert, jsonl_pieces
from finetune30.reports.flips import p_value
from finetune30.reports.predictions import Predictions, open_predictions
from finetune30.reports.shapes import Answer


def predictions(trained: Trained, name: str) -> Predictions:
    found = open_predictions(trained.runs[name], trained.settings.results_dir, trained.settings.data_dir)
    assert found is not None
    return found


def table(trained: Trained, name: str) -> dict[str, list]:
    return pq.read_table(trained.folder(name).eval_predictions).to_pydict()


@pytest.mark.parametrize("name", ["trained", "guessed", "fewer", "several"])
def test_rows_hold_what_the_pipeline_wrote_and_their_texts(trained: Trained, name: str) -> None:
    run, written = trained.runs[name], table(trained, name)
    folder = trained.settings.data_dir / "datasets" / str(run.dataset_hash)
    texts = pq.read_table(folder / "validation.parquet").to_pydict()
    with predictions(trained, name) as found:
        rows = found.rows(np.arange(len(found)))
        right = [a == b for a, b in zip(written["label"], written["predicted"], strict=True)]
        assert found.wrong == right.count(False)
        assert [one.right for one in rows] == right
    assert [one.row for one in rows] == written["row"]
    assert [one.text for one in rows] == texts["text"]
    assert [one.label for one in rows] == texts["label"]
    for one, given in zip(rows, written["probabilities"], strict=True):
        assert list(one.probabilities.values()) == pytest.approx(given, abs=1e-6)
    metrics = run.metrics or {}
    assert right.count(True) / len(right) == pytest.approx(metrics["eval"]["accuracy"])


@pytest.mark.parametrize("name", ["guessed", "several"])
def test_the_worst_come_first_and_the_best_last(trained: Trained, name: str) -> None:
    with predictions(trained, name) as found:
        worst = [one.certainty for one in found.rows(found.ordered("worst"))]
        best = [one.certainty for one in found.rows(found.ordered("best"))]
        wrong = found.rows(found.ordered("worst", wrong_only=True))
        assert worst == sorted(worst)
        assert best == sorted(best, reverse=True)
        assert len(wrong) == found.wrong
        assert not any(one.right for one in wrong)
        if name == "guessed":
            first = found.rows(found.ordered("worst"))[0]
            assert first.certainty == first.probabilities[str(first.label)]


def test_flips_are_those_that_counting_by_hand_finds(trained: Trained) -> None:
    runs = [trained.runs["trained"], trained.runs["guessed"]]
    one, other = (table(trained, name) for name in ("trained", "guessed"))
    right = [[a == b for a, b in zip(t["label"], t["predicted"], strict=True)] for t in (one, other)]
    pairs = list(zip(*right, strict=True))

    found = compare(runs, trained.settings.results_dir, trained.settings.data_dir, kind="gained", limit=1000)

    (counts,) = found.flips
    assert (found.evaluated.match, found.evaluated.rows) == ("same", 32)
    assert counts.gained == pairs.count((False, True)) > 0
    assert counts.lost == pairs.count((True, False)) > 0
    assert (counts.both_right, counts.both_wrong) == (pairs.count((True, True)), pairs.count((False, False)))
    assert [row.position for row in found.flipped] == [at for at, pair in enumerate(pairs) if pair == (False, True)]
    assert (found.flipped_rows, found.next) == (counts.gained, None)


def test_pages_of_flips_hold_each_row_once(trained: Trained) -> None:
    runs = [trained.runs[name] for name in ("trained", "guessed", "fewer")]
    places = trained.settings.results_dir, trained.settings.data_dir
    seen, after = [], 0
    while True:
        page = compare(runs, *places, after=after, limit=3)
        seen += [row.position for row in page.flipped]
        if page.next is None:
            break
        after = page.next

    assert seen == [row.position for row in compare(runs, *places, limit=1000).flipped]
    assert len(seen) == page.flipped_rows > 3


def test_other_data_is_matched_by_text_and_label(trained: Trained) -> None:
    runs = [trained.runs["trained"], trained.runs["fewer"]]
    found = compare(runs, trained.settings.results_dir, trained.settings.data_dir, limit=1000)

    assert (found.evaluated.match, found.evaluated.rows, found.evaluated.of) == ("shared", 20, [32, 24])
    with predictions(trained, "trained") as before, predictions(trained, "fewer") as after:
        one = {row.text: row.predicted for row in before.rows(np.arange(32))}
        other = {row.text: row.predicted for row in after.rows(np.arange(24))}
    flipped = {row.text: [said.predicted for said in row.answers] for row in found.flipped}
    assert flipped == {text: [one[text], other[text]] for text in one if text in other and one[text] != other[text]}
    assert flipped


def test_data_whose_texts_are_gone_cannot_be_matched(trained: Trained, tmp_path: Path) -> None:
    runs = [trained.runs["trained"], trained.runs["fewer"]]
    found = compare(runs, trained.settings.results_dir, tmp_path)

    assert (found.evaluated.match, found.evaluated.rows, found.flips) == ("unknown", None, [])
    assert "not all kept" in str(found.evaluated.why)
    same = compare([runs[0], trained.runs["guessed"]], trained.settings.results_dir, tmp_path)
    assert same.evaluated.match == "same"
    assert {row.text for row in same.flipped} == {None}


def test_configurations_figures_and_confusion_stand_side_by_side(trained: Trained) -> None:
    runs = [trained.runs["guessed"], trained.runs["several"]]
    found = compare(runs, trained.settings.results_dir, trained.settings.data_dir)

    assert [(one.key, one.values) for one in found.configuration] == [("training.learning_rate", [0.001, 0.003])]
    figures = {one.figure: one.values for one in found.figures}
    assert figures["train.runtime_s"] == [1.0, 3.0]
    assert figures["eval.hamming_accuracy"][0] is None
    assert {(one.label, one.values[0] is None) for one in found.per_class} >= {("negative", False), ("film", True)}
    assert [one.labels for one in found.confusion] == [["negative", "positive"], ["book", "film", "food"]]


def test_true_and_one_are_different_values_of_a_key(trained: Trained) -> None:
    run = trained.runs["guessed"]
    one = replace(run, id="a", config={"seed": 1, "deep": {"x": True}})
    other = replace(run, id="b", config={"seed": 1.0, "deep": {"x": 1}, "more": None})
    found = compare([one, other], trained.settings.results_dir, trained.settings.data_dir)

    assert [one.key for one in found.configuration] == ["deep.x", "seed"]


@pytest.mark.parametrize(("gained", "lost"), [(0, 0), (1, 0), (5, 5), (9, 2), (2, 9), (300, 240), (10_000, 10_400)])
def test_the_p_value_is_the_exact_binomial_one(gained: int, lost: int) -> None:
    stats = pytest.importorskip("scipy.stats")
    expected = 1.0 if gained + lost == 0 else stats.binomtest(gained, gained + lost).pvalue

    assert p_value(gained, lost) == pytest.approx(expected, rel=1e-6)


def test_a_damaged_file_is_one_clear_error_and_never_something_else(trained: Trained, tmp_path: Path) -> None:
    whole = trained.folder("guessed").eval_predictions.read_bytes()
    draw = random.Random(7)
    damaged = [b"", b"PAR1", whole[:-5], whole[: len(whole) // 2], whole[4:], b"x" * 1000]
    for _ in range(60):
        at = draw.randrange(len(whole))
        damaged.append(whole[:at] + bytes([whole[at] ^ (1 << draw.randrange(8))]) + whole[at + 1 :])
    run = trained.runs["guessed"]
    folder = ExperimentFolder.create(tmp_path, run.id)
    refused = 0
    for content in damaged:
        folder.eval_predictions.write_bytes(content)
        try:
            with open_predictions(run, tmp_path, tmp_path) as found:  # type: ignore[union-attr]
                found.rows(np.arange(len(found)))
        except StorageError:
            refused += 1
    assert refused > len(damaged) / 2


def test_a_parquet_file_of_other_columns_is_refused(trained: Trained, tmp_path: Path) -> None:
    run = trained.runs["guessed"]
    folder = ExperimentFolder.create(tmp_path, run.id)
    version = trained.settings.data_dir / "datasets" / str(run.dataset_hash) / "validation.parquet"
    shutil.copy(version, folder.eval_predictions)

    with pytest.raises(StorageError, match="cannot be read"):
        open_predictions(run, tmp_path, tmp_path)


def test_texts_of_other_rows_are_not_shown(trained: Trained, tmp_path: Path) -> None:
    """Should the version not be what the run saw, no text is better than a wrong one."""
    run = replace(trained.runs["guessed"], dataset_hash=trained.runs["fewer"].dataset_hash)
    found = open_predictions(run, trained.settings.results_dir, trained.settings.data_dir)
    assert found is not None
    with found:
        assert {one.text for one in found.rows(np.arange(5))} == {None}


@pytest.mark.parametrize("cell", ["=1+1", "+cmd", "-2+3", "@SUM(A1)", "\tx", "\rx", "  =1", "＝1", "\n=1"])
def test_s72_a_cell_that_a_spreadsheet_would_compute_gets_an_apostrophe(cell: str) -> None:
    answer = Answer(0, 0, cell, cell, cell, cell, False, 0.5, {cell: 0.5})
    rows = list(csv.reader(io.StringIO(b"".join(csv_pieces([answer], [cell])).decode(), newline="")))

    assert rows[1][2:6] == [f"'{cell}"] * 4
    told = json.loads(b"".join(jsonl_pieces([answer])))
    assert told["text"] == cell


@pytest.mark.parametrize("cell", ["-1", "+3.5", "-1e-07", "a=b", "", "plain"])
def test_s72_what_is_no_formula_stays_as_it_is(cell: str) -> None:
    assert inert(cell) == cell
