"""``finetune30 runs compare``: runs side by side, in a terminal and for scripts; on runs that were trained."""

from __future__ import annotations

import json

import pytest
from click.testing import Result
from tests.trained import Trained
from typer.testing import CliRunner

from finetune30.cli.runs import app
from finetune30.errors import BadInput, NotFound, UsageError


@pytest.fixture(autouse=True)
def place(trained: Trained, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command line finds the runs that were trained."""
    monkeypatch.setenv("RESULTS_DIR", str(trained.settings.results_dir))
    monkeypatch.setenv("DATA_DIR", str(trained.settings.data_dir))
    monkeypatch.setenv("TZ", "UTC")
    monkeypatch.delenv("DATABASE_URL", raising=False)


def compared(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["compare", *arguments], catch_exceptions=False)


def test_two_runs_show_what_differs_what_came_out_and_which_rows_flipped(trained: Trained) -> None:
    poor, good = trained.runs["guessed"], trained.runs["trained"]

    shown = compared(poor.id, good.id, "--rows", "1").stdout

    assert f"A  {poor.id}" in shown
    assert f"B  {good.id}" in shown
    assert "training.learning_rate" in shown
    assert "seed" not in shown
    assert "eval.accuracy" in shown
    assert f"{good.eval_accuracy:.4g}" in shown
    assert "negative" in shown
    assert "rows: 32 evaluated by all, the same data" in shown
    assert "A → B" in shown
    assert shown.count("row ") == 1
    assert "more; --rows N shows more" in shown


def test_the_object_for_scripts_is_what_the_api_answers(trained: Trained) -> None:
    ids = [trained.runs[name].id for name in ("trained", "guessed", "fewer")]

    told = json.loads(compared(*ids, "--json").stdout.splitlines()[-1], parse_constant=lambda _: 1 / 0)

    assert [one["id"] for one in told["runs"]] == ids
    assert told["evaluated"] == {"match": "shared", "rows": 20, "of": [32, 32, 24], "why": None}
    assert [one["to"] for one in told["flips"]] == ids[1:]
    lost = json.loads(compared(*ids[:2], "--json", "--flips", "lost").stdout.splitlines()[-1])
    assert {tuple(one["right"] for one in row["answers"]) for row in lost["flipped"]} == {(True, False)}


@pytest.mark.parametrize("count", [1, 6])
def test_less_than_two_runs_or_more_than_five_are_bad_input(trained: Trained, count: int) -> None:
    with pytest.raises(BadInput, match="expected 2 to 5"):
        compared(*[trained.runs["trained"].id] * count)


def test_one_run_twice_is_bad_input_and_an_unknown_one_is_not_found(trained: Trained) -> None:
    good = trained.runs["trained"].id
    with pytest.raises(BadInput, match="different"):
        compared(good, good)
    with pytest.raises(NotFound):
        compared(good, "nobody_20260101_000000")
    with pytest.raises(UsageError, match="gained"):
        compared(good, trained.runs["guessed"].id, "--flips", "sideways")


def test_a_run_without_files_still_shows_its_figures(trained: Trained, monkeypatch: pytest.MonkeyPatch) -> None:
    poor, good = trained.runs["guessed"].id, trained.runs["trained"].id
    away = trained.folder("guessed").eval_predictions
    hidden = away.rename(away.with_suffix(".away"))
    try:
        shown = compared(poor, good).stdout
    finally:
        hidden.rename(away)

    assert "eval.accuracy" in shown
    assert "rows: cannot be compared: not all runs have left predictions" in shown
