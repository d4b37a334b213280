"""The judge of histories sees every broken promise, and none where all were kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.jobs.history import History, Job, violations


def line(what: str, at: float, attempt: int = 1, **more: Any) -> dict[str, Any]:
    return {"task": "a", "attempt": attempt, "pid": 1, "what": what, "at": at, **more}


def good() -> History:
    """One job whose first attempt was lost at step 2 and whose second one did everything."""
    job = Job(
        id="a",
        key="k",
        status="SUCCESS",
        failures=1,
        attempt=2,
        error=None,
        attempts=((1, "LOST"), (2, "SUCCESS")),
        states=((0, "PENDING"), (1, "STARTED"), (1, "PENDING"), (2, "STARTED"), (2, "SUCCESS")),
    )
    steps = [line("start", 0), line("step", 1, step=1), line("step", 2, step=2), line("start", 5, 2)]
    steps += [line("step", 5 + step, 2, step=step) for step in range(1, 21)]
    effects = [*steps, line("end", 30, 2)]
    seen = {"p": [("a", "PENDING"), ("a", "STARTED"), ("a", "PENDING"), ("a", "SUCCESS")]}
    return History(acked={"k": "a"}, maybe={"k"}, seen=seen, jobs=[job], effects=effects)


def change(**values: Any) -> Callable[[History], None]:
    def apply(history: History) -> None:
        history.jobs[0] = replace(history.jobs[0], **values)

    return apply


def add(*lines: dict[str, Any]) -> Callable[[History], None]:
    return lambda history: history.effects.extend(lines)


def test_a_history_that_kept_every_promise_has_no_violation() -> None:
    assert violations(good()) == []


@pytest.mark.parametrize(
    ("word", "spoil"),
    [
        ("lost", change(status="STARTED")),
        ("lost", lambda history: history.acked.update({"other": "b"})),
        ("doubled", lambda history: history.jobs.append(replace(history.jobs[0], id="b"))),
        ("unexpected", lambda history: history.jobs.append(replace(history.jobs[0], id="b", key="x"))),
        ("not read", lambda history: history.missing.append("a")),
        ("changed", lambda history: history.seen["p"].append(("a", "PENDING"))),
        ("changed", lambda history: history.seen.update(q=[("a", "REVOKED")])),
        ("illegal", change(states=((0, "PENDING"), (1, "SUCCESS"), (1, "STARTED"), (2, "SUCCESS")))),
        ("illegal", change(states=((0, "PENDING"), (0, "SUCCESS")))),
        ("illegal", change(states=((0, "STARTED"), (2, "SUCCESS")))),
        ("illegal", change(states=((0, "PENDING"), (2, "STARTED"), (1, "PENDING"), (2, "STARTED"), (2, "SUCCESS")))),
        ("attempts", change(attempts=((2, "SUCCESS"),))),
        ("attempts", change(attempts=((1, None), (2, "SUCCESS")))),
        ("tries", change(failures=4)),
        ("tries", change(failures=2)),
        ("tries", change(status="FAILURE", error={"code": "killed"})),
        ("overlap", add(line("step", 6, step=3))),
        ("overlap", add(line("start", 40, 2))),
        ("doubled", add(line("end", 31, 2))),
        ("doubled", change(status="REVOKED")),
        ("untrue", lambda history: history.effects.pop(-2)),
        ("progress", add(*[line("step", 1, step=1)] * 4)),
    ],
)
def test_the_judge_sees(word: str, spoil: Callable[[History], None]) -> None:
    history = good()
    spoil(history)

    assert word in {violation.partition(":")[0] for violation in violations(history)}
