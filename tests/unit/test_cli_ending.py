"""How every call ends: a message for people, one object for scripts, the documented exit code."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import pytest
from tests.cli_cases import Cli, run_here
from tests.version_cases import frozen, plain

from finetune30 import data
from finetune30.data.versions import VersionStore

PROGRAM = [sys.executable, "-m", "finetune30"]


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Cli:
    """Runs ``finetune30 ARGUMENTS`` in an empty folder; no traceback ever."""
    return run_here(monkeypatch, capsys, tmp_path)


@pytest.mark.parametrize(
    ("arguments", "verb", "words"),
    [
        (["data", "validate", "--txt-column", "text", "x.csv"], "data validate", "--text-column"),
        (["data", "validate", "one.csv", "two.csv"], "data validate", "(two.csv)"),
        (["data", "versions", "show"], "data versions show", "Missing argument"),
        (["data", "versions", "diff", "x", "y", "--rows", "-1"], "data versions diff", "--rows"),
        (["data", "validte"], "data", "Did you mean 'validate'?"),
    ],
)
def test_misuse_is_told_to_people_and_to_scripts(program: Cli, arguments: list[str], verb: str, words: str) -> None:
    ended = program(*arguments, "--json")

    assert (ended.code, ended.out.count("\n")) == (2, 1)
    assert set(ended.json["error"]) == {"code", "message", "where", "hint"}
    assert (ended.json["error"]["code"], ended.json["error"]["where"]) == ("usage", f"finetune30 {verb}")
    assert words in ended.json["error"]["message"]
    assert ended.err.startswith(f"Usage: finetune30 {verb} ")
    assert f"Try 'finetune30 {verb} -h' for help." in ended.err
    assert words in ended.err
    assert program(*arguments).out == ""


def test_help_and_version_are_no_errors(program: Cli) -> None:
    assert program("--version").out.startswith("finetune30 ")
    told = program("data", "versions", "--help")
    assert (told.code, told.err) == (0, "")
    assert program("data").code == 2


def test_ctrl_c_is_told_too(program: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def pressed(_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(data, "glance", pressed)

    ended = program("data", "validate", "rows.csv", "--json")

    assert (ended.code, ended.json["error"]["code"]) == (130, "interrupted")
    assert ended.err == "error: stopped by Ctrl+C\n"


def test_with_json_nobody_is_asked(program: Cli) -> None:
    version = frozen(VersionStore(Path("data")), plain())

    ended = program("data", "versions", "delete", version.id, "--json")

    assert (ended.code, ended.json["error"]["where"]) == (2, "--yes")
    assert "Delete" not in ended.err
    assert program("data", "versions", "show", version.id).code == 0


def test_a_question_without_an_answer_does_nothing(program: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    version = frozen(VersionStore(Path("data")), plain())
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))

    ended = program("data", "versions", "delete", version.id)

    assert ended.code == 1
    assert "nothing was done" in ended.err
    assert program("data", "versions", "show", version.id).code == 0


# An output that takes nothing -------------------------------------------------------------------

SPOKEN = [["data", "validate", "rows.csv", "--json"], ["data", "validate", "none.csv", "--json"], ["--help"]]


@pytest.mark.parametrize("arguments", SPOKEN)
def test_a_reader_that_left_ends_the_call_quietly(arguments: list[str], tmp_path: Path) -> None:
    many_rows(tmp_path)
    with subprocess.Popen(
        [*PROGRAM, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path
    ) as started:
        assert started.stdout
        assert started.stderr
        started.stdout.close()
        err = started.stderr.read()

    assert started.returncode == 141
    assert "Traceback" not in err
    assert "BrokenPipe" not in err
    assert "bug" not in err


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a disk that is always full")
@pytest.mark.parametrize("arguments", SPOKEN)
def test_a_full_disk_is_one_message(arguments: list[str], tmp_path: Path) -> None:
    many_rows(tmp_path)
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run([*PROGRAM, *arguments], stdout=full, stderr=subprocess.PIPE, text=True, cwd=tmp_path)

    assert ended.returncode == 1
    assert ended.stderr.splitlines()[-1] == "error: standard output cannot be written: No space left on device"
    assert "Traceback" not in ended.stderr
    assert "bug" not in ended.stderr


def many_rows(folder: Path) -> None:
    """A report on these is larger than any buffer."""
    (folder / "rows.csv").write_text("text,label\n" + "the same text,yes\nthe same text,no\n" * 5_000)
