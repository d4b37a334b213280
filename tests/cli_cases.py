"""``finetune30`` run in this process, as a user sees it: exit code, both streams, never a traceback."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from finetune30 import cli
from tests.data_cases import balanced

GOOD = [(f"{text} is a hotel with rooms and a garden", label) for text, label in balanced(60)]
"""Rows that pass every check."""


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        """The object in the last line of standard output."""
        return json.loads(self.out.splitlines()[-1], parse_constant=_refuse)


Cli = Callable[..., Ended]


def run_here(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], folder: Path, *verbs: str) -> Cli:
    """Runs ``finetune30 VERBS ARGUMENTS`` in a folder, which holds results and data too."""
    monkeypatch.chdir(folder)
    for variable in ("RESULTS_DIR", "DATA_DIR", "DATABASE_URL"):
        monkeypatch.delenv(variable, raising=False)

    def call(*arguments: str) -> Ended:
        monkeypatch.setattr(sys, "argv", ["finetune30", *verbs, *arguments])
        capsys.readouterr()
        code = 0
        try:
            cli.main()
        except SystemExit as end:
            code = int(end.code or 0)
        printed = capsys.readouterr()
        assert "Traceback" not in printed.out + printed.err
        assert "this is a bug" not in printed.err, printed.err
        return Ended(code, printed.out, printed.err)

    return call


def _refuse(constant: str) -> None:
    raise AssertionError(f"{constant} is no JSON")


def write_csv(name: str, rows: Sequence[Sequence[str]], header: Sequence[str] = ("text", "label")) -> str:
    with Path(name).open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *rows])
    return name
