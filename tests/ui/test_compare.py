"""Runs side by side: which are chosen, what is called better, which rows flipped. S105 and S106 for this page."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from finetune30.ui import figures
from finetune30.ui.comparing import flipped
from finetune30.ui.seats import Seat
from finetune30.ui.words import words
from tests.api.service import Service
from tests.trained import Trained
from tests.ui.test_experiments import said, start

Look = Callable[..., AppTest]


@pytest.fixture
def runs(service: Service, trained: Trained, ana: Seat) -> dict[str, str]:
    """Ana's finished runs by what they are called in ``tests.trained``; ``trained`` is the oldest."""
    store, owner = service.services.jobs.store, ana.person.name
    return {name: trained.copy(name, store, service.settings, owner) for name in ("trained", "guessed", "fewer")}


def table(page: AppTest, column: str) -> Any:
    """The first table that has this column."""
    return next(one.value for one in page.dataframe if column in one.value)


def test_who_has_too_few_runs_is_told_what_to_do(ana: Seat, run_page: Look) -> None:
    page = run_page("compare", ana)
    assert words("compare.too_few", "en") in said(page)
    page.button(key="compare_submit").click().run()
    assert not page.exception

    start(ana, "only one")
    page = run_page("compare", ana)
    assert words("compare.too_few", "en") in said(page)
    assert not page.exception


def test_without_a_choice_the_newest_is_compared_with_the_one_before(
    ana: Seat, service: Service, trained: Trained, runs: dict[str, str], run_page: Look
) -> None:
    page = run_page("compare", ana)
    assert page.query_params["ids"] == f"{runs['guessed']},{runs['fewer']}"
    assert not page.exception
    assert not page.error

    page = run_page("compare", ana, ids=runs["guessed"])
    assert page.query_params["ids"] == f"{runs['trained']},{runs['guessed']}"
    page = run_page("compare", ana, ids=runs["trained"])
    assert words("compare.no_before", "en") in said(page)
    assert words("compare.one_more", "en") in said(page)

    (other,) = start(ana, "on other data")
    service.ended(other, eval={"accuracy": 0.5})
    again = trained.copy("guessed", service.services.jobs.store, service.settings, ana.person.name)
    page = run_page("compare", ana)
    assert page.query_params["ids"] == f"{runs['guessed']},{again}"  # on the same rows


def test_figures_stand_side_by_side_and_the_best_is_marked(ana: Seat, runs: dict[str, str], run_page: Look) -> None:
    page = run_page("compare", ana, ids=f"{runs['guessed']},{runs['trained']}")

    shown = table(page, "difference").set_index("name")
    told = ana.client.compare([runs["guessed"], runs["trained"]])
    accuracies = next(one["values"] for one in told["figures"] if one["figure"] == "eval.accuracy")
    assert accuracies[1] > accuracies[0]
    assert shown.loc["Validation: accuracy", "B"] == f"★ {100 * accuracies[1]:.2f} %"
    assert not shown.loc["Validation: accuracy", "A"].startswith("★")
    assert shown.loc["Validation: accuracy", "difference"] == f"{100 * (accuracies[1] - accuracies[0]):+.2f} pp"
    page.toggle(key="compare_all").set_value(True).run()
    assert "Validation: rows" in list(table(page, "difference")["name"])
    keys = next(one.value for one in page.dataframe if "training.learning_rate" in list(one.value["name"]))
    assert list(keys["name"]) == ["training.learning_rate"]
    assert words("compare.best_same", "en") in said(page)
    assert [metric.delta for metric in page.metric][1] == shown.loc["Validation: accuracy", "difference"]


def test_on_different_rows_no_accuracy_is_called_better(ana: Seat, runs: dict[str, str], run_page: Look) -> None:
    page = run_page("compare", ana, ids=f"{runs['trained']},{runs['fewer']}")

    shown = table(page, "difference").set_index("name")
    assert "★" not in "".join(shown.loc["Validation: accuracy", ["A", "B"]])
    assert words("compare.best_other", "en") in said(page)
    assert "the 20 rows all have" in said(page)
    assert page.metric[1].proto.color == page.metric[1].proto.MetricColor.GRAY
    assert page.metric[1].proto.direction == page.metric[1].proto.MetricDirection.NONE
    same = run_page("compare", ana, ids=f"{runs['guessed']},{runs['trained']}")
    assert same.metric[1].proto.color == same.metric[1].proto.MetricColor.GREEN


def test_flipped_rows_are_counted_listed_filtered_and_read_whole(
    ana: Seat, runs: dict[str, str], run_page: Look
) -> None:
    ids = [runs["guessed"], runs["trained"]]
    told = ana.client.compare(ids, flips="gained", limit=1000)
    page = run_page("compare", ana, ids=",".join(ids))

    counts = table(page, "gained")
    assert list(counts["gained"]) == [told["flips"][0]["gained"]]
    assert counts["gained"][0] > 0
    assert f"B is right on {told['flips'][0]['gained']} rows that A has wrong" in said(page)
    kind = next(one for one in page.get("button_group") if one.key == "compare_kind")
    kind.set_value("gained").run()
    listed = table(page, "text")
    assert list(listed["row"]) == [one["row"] for one in told["flipped"]][: flipped.PAGE_ROWS]
    assert all(cell.startswith("✓") for cell in listed["B"])
    assert all(cell.startswith("✕") for cell in listed["A"])
    key = "compare_rows_gained_0"
    page.session_state[key] = {"selection": {"rows": [0], "columns": [], "cells": []}}
    page.run()
    assert told["flipped"][0]["text"] in [text.value for text in page.text]
    assert not page.exception


def test_the_file_of_flipped_rows_has_all_and_nothing_a_spreadsheet_computes(
    ana: Seat, runs: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flipped, "_FETCHED", 2)
    ids = [runs["guessed"], runs["trained"]]
    told = ana.client.compare(ids, flips="any", limit=1000)

    file = flipped._as_csv(ana.client, ids, "any", ["A", "B"]).decode("utf-8-sig")

    listed = list(csv.DictReader(io.StringIO(file)))
    assert [int(row["row"]) for row in listed] == [one["row"] for one in told["flipped"]]
    assert {row["B right"] for row in listed} <= {"True", "False"}
    assert "A certainty" in listed[0]
    assert [flipped._safe(text) for text in ("=1+1", "-x", "@a", "fine", "", None)] == [
        "'=1+1",
        "'-x",
        "'@a",
        "fine",
        "",
        "",
    ]


def test_curves_and_matrices_are_drawn_and_told_in_words(ana: Seat, runs: dict[str, str], run_page: Look) -> None:
    page = run_page("compare", ana, ids=f"{runs['trained']},{runs['guessed']}")

    plots = {one.key: one for one in page.get("plotly_chart")} if page.get("plotly_chart") else {}
    assert {"compare_curves", "compare_confusion_A", "compare_confusion_B"} <= set(plots)
    assert "at the end, from" in said(page)
    assert "nothing was measured" in said(page)
    for axis in ("epoch", "minutes"):
        next(one for one in page.get("button_group") if one.key == "compare_axis").set_value(axis).run()
        assert not page.exception
        assert not page.error
    page.selectbox(key="compare_curve").set_value("eval_accuracy").run()
    assert "%" in page.caption[-1].value or "%" in said(page)
    next(one for one in page.get("button_group") if one.key == "compare_class_figure").set_value("support").run()
    assert not page.exception
    assert not page.error


def test_rows_of_several_labels_have_a_matrix_for_each(
    ana: Seat, service: Service, trained: Trained, runs: dict[str, str], run_page: Look
) -> None:
    several = trained.copy("several", service.services.jobs.store, service.settings, ana.person.name)

    page = run_page("compare", ana, ids=f"{several},{runs['trained']}")

    assert not page.exception
    assert not page.error
    assert page.selectbox(key="compare_label").options == ["book", "film", "food"]
    page.selectbox(key="compare_label").set_value("food").run()
    assert not page.exception
    assert not page.error


def test_up_to_five_runs_in_the_order_of_the_address(ana: Seat, runs: dict[str, str], run_page: Look) -> None:
    waiting = start(ana, "w1", "w2", "w3")
    ids = [waiting[2], runs["guessed"], runs["trained"], *waiting[:2], runs["fewer"]]

    page = run_page("compare", ana, ids=",".join([ids[0], *ids]))

    assert page.query_params["ids"] == ",".join(ids[:5])
    assert "Not ended yet: A, D, E" in said(page).replace("\\", "")
    assert words("compare.best_other", "en") in said(page)
    assert not page.exception
    assert not page.error
    page.selectbox(key="compare_base").set_value(ids[1]).run()
    assert page.query_params["ids"] == ",".join([ids[1], *ids[2:5]])
    page.button(key="compare_open_A").click().run()
    assert page.query_params["id"] == ids[1]


def test_s106_runs_of_others_and_unknown_ones_are_refused_and_the_choice_stays(
    ana: Seat, bo: Seat, runs: dict[str, str], run_page: Look
) -> None:
    own = start(bo, "mine", "mine too")

    for other in (runs["trained"], "no_such_run", "../../etc", "<script>"):
        page = run_page("compare", bo, ids=f"{own[0]},{other}")
        assert words("shell.not_there", "en") in said(page)
        assert not page.error
        assert not page.exception
        assert words("compare.one_more", "en") in said(page)
        assert page.selectbox(key="compare_base").value == own[0]
        assert "tiny" not in said(page)


def test_an_api_that_is_away_is_told_calmly(cut_off: Seat, run_page: Look) -> None:
    page = run_page("compare", cut_off, ids="a,b")

    assert words("shell.away", "en") in said(page)
    assert not page.exception
    assert page.query_params["ids"] == "a,b"


def test_in_chinese(service: Service, trained: Trained, seat_of: Callable[..., Seat], run_page: Look) -> None:
    person = service.person()
    store = service.services.jobs.store
    ids = [trained.copy(name, store, service.settings, person.name) for name in ("trained", "guessed")]

    page = run_page("compare", seat_of(person, "zh-TW"), ids=",".join(ids))

    assert page.title[0].value == "比較訓練"
    assert not page.exception
    assert "驗證：準確率" in list(table(page, "difference")["name"])


def test_what_is_better() -> None:
    kind = figures.kind_of("eval.loss")
    assert figures.best([0.2, None, 0.1], kind) == {2}
    assert figures.best([0.1, None, 0.1], kind) == set()
    assert figures.best([0.10001, 0.10002, 0.3], kind) == {0, 1}  # alike, as far as is shown
    assert figures.best([0.9, 0.8], figures.kind_of("eval.accuracy")) == {0}
    assert figures.best([3, 8], figures.kind_of("train.steps")) == set()
    assert figures.best([0.9, 0.8], figures.kind_of("train.loss")) == set()
    assert figures.best([1, 2], figures.kind_of("eval.unheard_of")) == set()
    assert figures.difference([0.5, 0.75], figures.kind_of("eval.accuracy")) == "+25.00 pp"
    assert figures.difference([2.0, 1.0], figures.kind_of("train.runtime_s")) == "-50.0 %"
    assert figures.difference([0, 1.0], figures.kind_of("train.runtime_s")) == "–"
    assert figures.name_of("eval.unheard_of") == "Validation: unheard_of"
    assert [figures.plain(one) for one in (None, True, 1.5, ["a", None], "x")] == [
        "null",
        "true",
        "1.5",
        "[a, null]",
        "x",
    ]
