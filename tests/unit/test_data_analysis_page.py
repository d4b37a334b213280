"""The HTML page: one file that opens offline, in which nothing of users is run."""

from __future__ import annotations

import html
import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
import pytest

from finetune30.config import ExperimentConfig
from finetune30.data.analysis import analyze, lines, page, write_page
from finetune30.data.prepare import Found
from finetune30.data.quality import inspect
from finetune30.data.table import Cell, Columns, TableWriter
from finetune30.errors import DataError

SCRIPT = "<script>alert('owned')</script>"
LABELS = (SCRIPT, "</script><img src=x onerror=alert(1)>", "<b>bold</b> & {{ 7*7 }}", "服務很好")


def found(labels: tuple[Cell, ...] = LABELS, source: str = SCRIPT) -> Found:
    tables = {}
    for role, rows in (("train", 12), ("test", 5)):
        writer = TableWriter("rows", Columns("text", "label"), has_lines=False)
        for at in range(rows * len(labels)):
            label = labels[at % len(labels)]
            writer.add(f"{label} word{at % len(labels)} 房間很大", label)
        tables[role] = writer.finish()
    return Found(source, tables, notes=(SCRIPT,))  # type: ignore[arg-type]


def figures(made: str) -> list[dict[str, Any]]:
    return [json.loads(html.unescape(drawn)) for drawn in re.findall(r'data-figure="([^"]*)"', made)]


@pytest.fixture(scope="module")
def made() -> str:
    config = ExperimentConfig()
    return page(analyze(found(), config), inspect(found(), config))


def test_no_script_of_a_label_is_in_the_page(made: str) -> None:
    ours = re.split(r"<script>", made)

    assert len(ours) == 3
    assert SCRIPT not in made
    assert "<img src=x" not in made
    assert "<b>bold</b>" not in made
    assert "{{ 7*7 }}" in html.unescape(made)
    (allowed,) = re.findall(r"script-src ([^;]*);", html.unescape(made[: made.index("<style>")]))
    assert all(source.startswith("'sha256-") for source in allowed.split(" "))


def test_plotly_sees_labels_as_text_not_as_html(made: str) -> None:
    shares = figures(made)[0]

    assert sorted(map(html.unescape, shares["data"][0]["y"])) == sorted(LABELS)
    assert not any("<" in name for name in shares["data"][0]["y"] + shares["layout"]["yaxis"]["ticktext"])


def test_nothing_unseen_in_a_name_acts_on_the_page() -> None:
    unseen = "\u202e\u2066\u200f\x1b\x07\u2028\ufeff"
    config = ExperimentConfig()
    rows = found((f"so_{unseen}me", "other", "全形\u3000空白"), source=f"rows{unseen}.csv")
    source = replace(rows, notes=(f"a note{unseen}",))

    made = html.unescape(page(analyze(source, config), inspect(source, config)))
    own = made[: made.index("<script>")]

    assert "so_<wbr>\ufffd" in own
    assert "全形\u3000空白" in own
    assert not set(unseen) & set(own)


def test_every_plot_is_one_that_plotly_accepts(made: str) -> None:
    several: tuple[Cell, ...] = (("a", "b"), ("b",), ())
    many = tuple(f"label_{at}" for at in range(120))
    pages = [made, page(analyze(found(several), ExperimentConfig())), page(analyze(found(many), ExperimentConfig()))]

    drawn = [figure for one in pages for figure in figures(one)]

    assert len(drawn) > 20
    for figure in drawn:
        go.Figure(figure)  # raises on a property it does not know


def test_the_page_asks_for_nothing_from_outside() -> None:
    made = page(analyze(found(("a", "b"), source="rows"), ExperimentConfig()))
    own = made[: made.index("<script>")]

    assert "default-src 'none'" in html.unescape(own)
    assert not re.search(r"<[^>]* (?:src|href)=|url\(|@import", own)
    assert "Plotly" in made


def test_the_page_tells_what_the_checks_found(made: str) -> None:
    assert "split_leak" in made
    assert "test:0" in html.unescape(made) or "train:0" in html.unescape(made)
    assert "<h2>Quality</h2>" not in page(analyze(found(), ExperimentConfig()))


def test_a_figure_says_which_splits_it_is_of(made: str) -> None:
    rows = found(("a", "b"))
    alone = analyze(replace(rows, tables={"train": rows.tables["train"]}), ExperimentConfig())

    assert "balanced, all splits</span>" in made
    assert "median text, train</span>" in made
    assert "LABELS: balanced, 1 to 1 over all splits;" in "\n".join(lines(analyze(rows, ExperimentConfig())))
    assert "balanced</span>" in page(alone)
    assert "LABELS: balanced, 1 to 1;" in "\n".join(lines(alone))


def test_the_same_analysis_gives_the_same_bytes() -> None:
    assert page(analyze(found(), ExperimentConfig())) == page(analyze(found(), ExperimentConfig()))


def test_the_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text("old")

    write_page(path, analyze(found(source="資料"), ExperimentConfig()))

    assert path.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert "資料" in path.read_text(encoding="utf-8")
    assert [file.name for file in tmp_path.iterdir()] == ["report.html"]


def test_a_missing_library_is_an_error_that_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "plotly.offline", None)

    with pytest.raises(DataError, match="plotly"):
        page(analyze(found(), ExperimentConfig()))


def test_describing_data_loads_no_plots_and_no_models() -> None:
    heavy = {"plotly", "jinja2", "torch", "transformers"}
    code = f"import sys, finetune30.data.analysis; print(sorted({heavy} & set(sys.modules)))"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"
