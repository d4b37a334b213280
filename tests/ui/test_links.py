"""Names in tables that lead to their pages: what stands in such a cell, and which row a click means."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from finetune30.ui import links
from finetune30.ui.seats import Seat
from tests.api.service import Service
from tests.registered import succeed

Run = Callable[..., AppTest]


@pytest.mark.parametrize("name", ["films", "電影 50 %", "<b>x</b> [y](//evil.example)", "a: [b]", ""])
def test_a_name_is_shown_as_it_is(name: str) -> None:
    assert links.cell(name) == name


@pytest.mark.parametrize("name", [":material/bug_report: x", '["a", "b"]', " [1, 2] ", "\t:material/x:"])
def test_s105_a_name_is_no_icon_and_no_menu(name: str) -> None:
    assert links.cell(name) == f"\u2060{name}"


@pytest.mark.parametrize(
    ("click", "rows", "meant"),
    [
        (None, ["a", "b"], None),
        ({"row": 1, "label": "b"}, ["a", "b"], 1),
        ({"row": 1, "label": "b"}, ["a", "a", "b"], 2),  # a row came before it
        ({"row": 1, "label": "b"}, ["b", "a", "b"], None),  # which of them, nobody knows
        ({"row": 1, "label": "b"}, ["b"], 0),
        ({"row": 1, "label": "b"}, ["a"], None),
        ({"row": 0, "label": "\u2060[1]"}, ["[1]"], 0),
    ],
)
def test_a_click_means_the_row_that_was_seen(
    monkeypatch: pytest.MonkeyPatch, click: Any, rows: Sequence[str], meant: int | None
) -> None:
    monkeypatch.setitem(st.session_state, "names", click)

    assert links.clicked("names", rows, range(len(rows))) == meant


def test_runs_datasets_models_and_what_belongs_to_runs_have_names_to_click(
    ana: Seat, root: Seat, service: Service, run_page: Run
) -> None:
    run, _ = (ana.client.train({"experiment_name": name}).task_id for name in ("ours", "waits"))
    succeed(service.services.jobs.store, service.settings.results_dir, run)
    ana.client.register("ours-model", run)

    def kind(page: AppTest, column: str) -> Any:
        import json

        tables = [json.loads(one.proto.columns) for one in page.dataframe if column in one.value]
        return tables[0][column]["type_config"]["type"]

    assert kind(run_page("experiments", ana), "name") == "button"
    assert kind(run_page("models", ana), "name") == "button"
    assert kind(run_page("models", ana, name="ours-model"), "run") == "button"
    assert next(one for one in run_page("admin", root).dataframe if "place" in one.value) is not None
