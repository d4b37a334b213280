"""Who works when: a process for each recipe, one round each in turn, the limit measured between rounds.

Machines get faster and slower while they are watched; a ratio of neighbouring rounds does not.
Neighbours: ``worker`` is the process, ``report`` makes tables of what is found here.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from typing import Any

from finetune30.errors import RunFailed


class Process:
    """A worker process; whoever starts it closes it."""

    def __init__(self) -> None:
        self.child = subprocess.Popen(
            [sys.executable, "-P", "-m", "finetune30.bench.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def close(self) -> None:
        """End the process."""
        self.child.kill()
        self.child.communicate()

    def ask(self, do: str, **request: Any) -> dict[str, Any]:
        """One request, one answer.

        Raises: RunFailed with the last thing the process said, if it died.
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
            return answer
        said = self.child.communicate()[1].strip().splitlines() or ["nothing"]
        raise RunFailed(f"a benchmark process ended ({said[-1]})", hint="FINETUNE30_DEBUG=1 shows more")


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
        return seen
