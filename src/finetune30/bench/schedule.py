"""Who works when: a process for each recipe, one round each in turn, the limit measured between rounds.

Machines get faster and slower while they are watched; a ratio of neighbouring rounds does not.
Neighbours: ``worker`` is the process, ``report`` makes tables of what is found here.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, field
from typing import Any

from finetune30.errors import BadInput, Finetune30Error

_LEAVING_S = 20


class Process:
    """A worker process; whoever starts it closes it."""

    def __init__(self) -> None:
        # A file, not a pipe: a pipe nobody reads holds 64 KiB, and then stops who writes.
        self._said = tempfile.TemporaryFile("w+", errors="replace")  # noqa: SIM115 - lives as long as the process
        self.child = subprocess.Popen(
            [sys.executable, "-P", "-m", "finetune30.bench.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            # What it says besides is kept for the last words, or shown to who asks for all of it.
            stderr=None if os.environ.get("FINETUNE30_DEBUG") else self._said,
            text=True,
        )

    def let_go(self) -> None:
        """Tell the process that nothing more will be asked; it ends in its own time."""
        if self.child.stdin is not None:
            with suppress(BrokenPipeError):
                self.child.stdin.close()
            self.child.stdin = None

    def close(self) -> None:
        """End the process: kindly, so that it removes its temporary files, then by force."""
        self.let_go()
        try:
            self.child.communicate(timeout=_LEAVING_S)
        except (subprocess.TimeoutExpired, BrokenPipeError):
            self.child.kill()
            self.child.communicate()
        self._said.close()

    def ask(self, do: str, **request: Any) -> dict[str, Any]:
        """One request, one answer.

        Raises: BadInput, or another error, as the process met it; one with its last words, if it died.
        """
        assert self.child.stdin is not None  # noqa: S101 - both are pipes
        assert self.child.stdout is not None  # noqa: S101
        try:
            self.child.stdin.write(json.dumps({"do": do, **request}) + "\n")
            self.child.stdin.flush()
            line = self.child.stdout.readline()
        except BrokenPipeError:
            line = ""
        if line:
            answer: dict[str, Any] = json.loads(line)
            if "error" in answer:
                raise _error(answer)
            return answer
        self.child.wait()
        self._said.seek(0)
        said = self._said.read().strip().splitlines() or ["it said nothing"]
        raise Finetune30Error(f"a benchmark process ended: {said[-1]}", hint="FINETUNE30_DEBUG=1 shows all it says")


@dataclass(frozen=True)
class Contender:
    """A recipe on one configuration.

    Attributes:
        steps: Optimizer steps of a round, warm-up included.
    """

    recipe: str
    adapter: str
    config: dict[str, Any]
    precision: str
    steps: int


@dataclass
class Seen:
    """The rounds of one contender.

    Attributes:
        rates: FLOP per second of the machine around each round.
    """

    contender: Contender
    tokens_per_s: list[float] = field(default_factory=list)
    samples_per_s: list[float] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)
    peak_bytes: int = 0
    profile: str | None = None


def interleave(
    contenders: Sequence[Contender],
    rounds: int,
    rate: Callable[[Process, str], float],
    tell: Callable[[str], None],
    *,
    profiled: Sequence[str] = (),
) -> list[Seen]:
    """Let every contender train a round, in turn, ``rounds`` times.

    Args:
        rate: Measures the machine's limit in a precision, in the given process.
        profiled: Recipes whose time is broken down by operation afterwards.
    """
    with ExitStack() as stack:
        limit = stack.enter_context(closing(Process()))
        processes = []
        for contender in contenders:
            tell(f"preparing {contender.recipe} ({contender.adapter})")
            process = stack.enter_context(closing(Process()))
            process.ask("prepare", recipe=contender.recipe, config=contender.config, steps=contender.steps)
            processes.append(process)
        seen = [Seen(contender) for contender in contenders]
        for number in range(rounds):
            tell(f"round {number + 1} of {rounds}")
            for process, found in zip(processes, seen, strict=True):
                before = rate(limit, found.contender.precision)
                answer = process.ask("round")
                after = rate(limit, found.contender.precision)
                found.rates.append((before + after) / 2)
                found.tokens_per_s.append(answer["tokens"] / answer["seconds"])
                found.samples_per_s.append(answer["samples"] / answer["seconds"])
                found.peak_bytes = max(found.peak_bytes, answer["peak_bytes"])
        for process, found in zip(processes, seen, strict=True):
            if found.contender.recipe in profiled:
                found.profile = process.ask("profile")["table"]
        for process in (limit, *processes):
            process.let_go()
        return seen


def _error(answer: dict[str, Any]) -> Finetune30Error:
    """The error of another process, with the exit code it would have there."""
    told = answer["error"]
    kind = BadInput if answer["exit_code"] == BadInput.exit_code else Finetune30Error
    error = kind(told["message"], where=told["where"], hint=told["hint"])
    error.code = told["code"]
    return error
