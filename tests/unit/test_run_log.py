"""logs.txt: one line an event, at once, from the first moment on."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from finetune30.monitoring import RunLog

STAMP = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}\+08:00  "


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "logs.txt"


def lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines()


def test_each_line_has_a_time_in_the_zone_and_is_there_at_once(path: Path) -> None:
    with RunLog("Asia/Taipei") as log:
        log.open(path)
        log.line("loss 0.5 情感")

        assert re.fullmatch(STAMP + "loss 0.5 情感", lines(path)[0])


def test_the_zone_is_the_settings_unless_said(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    with RunLog() as log:
        log.open(path)
        log.line("x")

    assert "+09:00  x" in lines(path)[0]


def test_what_was_said_before_there_was_a_folder_comes_first(path: Path) -> None:
    with RunLog("Asia/Taipei") as log:
        log.line("early")
        assert not path.exists()
        log.open(path)
        log.line("late")

    assert [line.split("  ")[1] for line in lines(path)] == ["early", "late"]


def test_a_resumed_run_adds_to_its_log(path: Path) -> None:
    for text in ("first", "second"):
        with RunLog("Asia/Taipei") as log:
            log.open(path)
            log.line(text)

    assert [line.split("  ")[1] for line in lines(path)] == ["first", "second"]


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("a\nb\r\nc", r"a\nb\r\nc"),
        ("\x1b[31mred\x1b[0m", r"\x1b[31mred\x1b[0m"),
        ("nul \0 bell \a", r"nul \x00 bell \x07"),
        ("one\u2028two\x85three", r"one\u2028two\x85three"),
        ("\u202egnp.exe", r"\u202egnp.exe"),
        ("half \ud800", r"half \ud800"),
        ("全形　空格 👩‍💻 é", "全形　空格 👩‍💻 é"),
    ],
)
def test_s108_no_text_can_break_or_forge_a_line(path: Path, text: str, written: str) -> None:
    with RunLog("Asia/Taipei") as log:
        log.open(path)
        log.line(text)

    (line,) = path.read_text(encoding="utf-8").split("\n")[:-1]
    assert re.sub(STAMP, "", line) == written


def test_lines_of_many_threads_stay_whole(path: Path) -> None:
    with RunLog("Asia/Taipei") as log:
        log.open(path)
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda number: log.line(f"{number} " + "x" * 5000), range(200)))

    found = lines(path)
    assert len(found) == 200
    assert all(re.fullmatch(STAMP + r"\d+ x{5000}", line) for line in found)


def test_others_may_read_the_log(path: Path) -> None:
    with RunLog("Asia/Taipei") as log:
        log.open(path)

    assert path.stat().st_mode & 0o444 == 0o444
