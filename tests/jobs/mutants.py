"""Seeded bugs in the code that claims, keeps alive, ends, reaps, cancels and supervises: ``make mutants``.

    python -m tests.jobs.mutants [WORD ...]     only the bugs whose name holds one of the words

Each is put into a copy of the package by exact replacements of text; then the tests that should notice
run against the copy. Ends with 1 if a bug goes unnoticed, or if its text is not in the code any more.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import finetune30
from tests.jobs.seeded import MUTANTS, Mutant

ROOT = Path(__file__).parents[2]
PACKAGE = Path(finetune30.__file__).parent
_LIMIT_S = 240
_FAILED = 1  # pytest: tests ran and some failed; anything else is an error of ours


def main(words: list[str]) -> int:
    """Try the mutants; returns the exit code."""
    possible = [mutant for mutant in MUTANTS if mutant.needs is None or shutil.which(mutant.needs)]
    chosen = [mutant for mutant in possible if not words or any(word in mutant.name for word in words)]
    told: list[str] = []
    sound = Mutant("none", (), tuple(dict.fromkeys(test for mutant in chosen for test in mutant.tests)))
    print("the same tests without a seeded bug ...", flush=True)
    if not _green(sound):
        return 1
    print("| seeded bug | tests | noticed by | seconds |\n|---|---|---|---:|", flush=True)
    for mutant in chosen:
        began = time.monotonic()
        noticed, by = _try(mutant)
        if not noticed:
            told.append(mutant.name)
        tests = " ".join(test.partition("::")[2] or test for test in mutant.tests)
        print(f"| {mutant.name} | {tests} | {by} | {time.monotonic() - began:.0f} |", flush=True)
    print(f"\n{len(chosen) - len(told)} of {len(chosen)} seeded bugs were noticed")
    for name in told:
        print(f"NOT NOTICED: {name}")
    return 1 if told else 0


def _green(sound: Mutant) -> bool:
    """Whether the tests pass on the package as it is; a test that always fails notices nothing."""
    done, said = _run(str(PACKAGE.parent), sound, limit_s=_LIMIT_S * 4, patience_s=60)
    if done != 0:
        print("they fail without a seeded bug, too:\n" + "\n".join(said.splitlines()[-40:]))
    return done == 0


def _try(mutant: Mutant) -> tuple[bool, str]:
    with tempfile.TemporaryDirectory(prefix="finetune30-mutant-") as home:
        copy = Path(home) / "finetune30"
        shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
        for path, old, new in mutant.edits:
            text = (copy / path).read_text(encoding="utf-8")
            if text.count(old) != 1:
                return False, f"**its text is {text.count(old)} times in {path}**"
            (copy / path).write_text(text.replace(old, new), encoding="utf-8")
        return _noticed(home, mutant)


def _noticed(home: str, mutant: Mutant) -> tuple[bool, str]:
    done, said = _run(home, mutant, limit_s=_LIMIT_S, patience_s=15)
    if done is None:
        return True, "a hang"
    failed = [line for line in said.splitlines() if line.startswith(("FAILED tests", "ERROR tests"))]
    if done == _FAILED and failed:
        return True, failed[0].split("::")[-1].split(" - ")[0]
    return False, f"**nobody** (exit code {done})"


def _run(home: str, mutant: Mutant, limit_s: float, patience_s: float) -> tuple[int | None, str]:
    """Exit code of pytest, None if it took too long, and what it said."""
    with subprocess.Popen(
        [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *mutant.tests],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": home, "OMP_NUM_THREADS": "1", "FINETUNE30_PATIENCE_S": str(patience_s)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as tests:
        try:
            said, _ = tests.communicate(timeout=limit_s)
        except subprocess.TimeoutExpired:
            os.killpg(tests.pid, signal.SIGKILL)
            return None, ""
    return tests.returncode, said


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
