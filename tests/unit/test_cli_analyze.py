"""``finetune30 data analyze``: text, JSON and one page; what the data verbs load."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.cli_cases import GOOD, Cli, run_here, write_csv
from tests.version_cases import listed


@pytest.fixture
def data(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Cli:
    """Runs ``finetune30 data ARGUMENTS`` in an empty folder; no traceback ever."""
    return run_here(monkeypatch, capsys, tmp_path, "data")


def test_the_analysis_is_text_json_and_a_page_that_loads_nothing(data: Cli) -> None:
    write_csv("rows.csv", GOOD)

    told = data("analyze", "rows.csv")
    assert told.code == 0
    assert "good" in told.out
    figures = data("analyze", "rows.csv", "--json").json
    assert isinstance(figures, dict)
    paged = data("analyze", "rows.csv", "--html", "page.html", "--json")

    assert paged.json["html"] == "page.html"
    page = Path("page.html").read_text(encoding="utf-8")
    own = page[: page.index("<script>")]
    assert "default-src 'none'" in own.replace("&#39;", "'")
    assert not re.search(r"<[^>]*\s(?:src|href)\s*=|@import|url\(", own)
    assert listed(Path()) == ["page.html", "rows.csv"]


@pytest.mark.parametrize("page", ["page.pdf", "none/page.html", "folder.html", "rows.csv/page.html"])
def test_a_page_that_cannot_be_written_is_bad_input(data: Cli, page: str) -> None:
    write_csv("rows.csv", GOOD)
    Path("folder.html").mkdir()

    ended = data("analyze", "rows.csv", "--html", page, "--json")

    assert (ended.code, ended.json["error"]["where"]) == (2, "--html")
    assert listed(Path()) == ["folder.html", "rows.csv"]


# What is loaded ---------------------------------------------------------------------------------

HEAVY = ("torch", "transformers", "datasets", "peft", "sklearn")


@pytest.mark.parametrize(
    "arguments", [["data", "--help"], ["data", "validate", "rows.csv"], ["data", "analyze", "rows.csv"]]
)
def test_nothing_heavy_is_loaded(tmp_path: Path, arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_csv("rows.csv", GOOD)
    program = (
        f"import sys; sys.argv = ['finetune30', *{arguments!r}]; from finetune30 import cli\n"
        "try: cli.main()\nexcept SystemExit as end: assert not end.code\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert done.stdout.splitlines()[-1] == "[]"
