"""An exit without a last word, in words for its user."""

from __future__ import annotations

import pytest

from finetune30.worker.verdict import EXIT_CODES, judge, memory_kills


@pytest.mark.parametrize(
    ("exit_code", "code", "again", "says"),
    [
        (-9, "killed", True, "SIGKILL"),
        (-15, "killed", True, "SIGTERM"),
        (-11, "crashed", True, "SIGSEGV"),
        (-6, "crashed", True, "SIGABRT"),
        (-7, "crashed", True, "SIG"),
        (-40, "crashed", True, "signal 40"),
        (0, "crashed", True, "exit code 0"),
        (1, "crashed", True, "exit code 1: No module named 'torch'"),
        (76, "crashed", True, "exit code 76"),
        (70, "out_of_memory", False, "No module"),
        (71, "data_invalid", False, ""),
        (72, "model_invalid", False, ""),
        (73, "disk_full", False, ""),
        (74, "diverged", False, ""),
        (77, "run_failed", False, "refused its input"),
    ],
)
def test_what_may_pass_is_tried_again_and_everything_has_a_code(
    exit_code: int, code: str, again: bool, says: str
) -> None:
    verdict = judge(exit_code, said="No module named 'torch'")

    assert (verdict.error.code, verdict.again) == (code, again)
    assert says in verdict.error.message
    assert verdict.error.hint


def test_a_kill_is_often_the_memory_and_sometimes_surely() -> None:
    maybe, surely = judge(-9), judge(-9, out_of_memory=True)

    assert "memory" in (maybe.error.hint or "")
    assert (surely.error.code, surely.again) == ("out_of_memory", True)


def test_every_code_an_attempt_exits_with_is_understood() -> None:
    for code, number in EXIT_CODES.items():
        if code not in ("lease_lost", "data_quality"):
            assert judge(number).error.code == code


def test_the_kernels_count_is_a_number_or_unknown() -> None:
    assert memory_kills() is None or memory_kills() >= 0  # type: ignore[operator]
