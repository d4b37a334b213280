"""PROCESS: one recipe, in memory of its own; it works when told to and waits in between.

``python -m finetune30.bench.worker``: one JSON request a line on standard input, one JSON answer a line
on standard output. A process for each recipe, because what ours asks of its process (see
``modeling.process``) would help the peers too. Neighbours: ``schedule`` talks to it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from finetune30.standby import importing

with importing():
    from finetune30.bench.recipes import RECIPES, Round, rounds_of
    from finetune30.config import from_mapping
    from finetune30.errors import Finetune30Error


class Worker:
    """Answers requests; keeps the recipe that was prepared."""

    def __init__(self) -> None:
        self.go: Callable[[], Round] | None = None

    def prepare(self, recipe: str, config: dict[str, Any], steps: int) -> dict[str, Any]:
        """Load model and rows, and train one round that is not counted."""
        self.go = rounds_of(RECIPES[recipe], from_mapping(config), steps)
        self.go()
        return {}

    def round(self) -> dict[str, Any]:
        """Train one round."""
        assert self.go is not None  # noqa: S101 - prepared first
        return {**asdict(self.go()), "peak_bytes": _peak_bytes()}

    def rate(self, shapes: list[list[int]], tokens: int, precision: str, device: str) -> dict[str, Any]:
        """The machine's limit now."""
        from finetune30.bench.rate import linear_rate

        return {"rate": linear_rate({(out, size): n for out, size, n in shapes}, tokens, precision, device)}

    def accuracy(self, recipe: str, config: dict[str, Any], split: str) -> dict[str, Any]:
        """Train to the end and score."""
        from finetune30.bench.accuracy import accuracy_of

        return {"accuracy": accuracy_of(RECIPES[recipe], from_mapping(config), split)}

    def profile(self) -> dict[str, Any]:
        """Where a round's time goes, by torch's profiler."""
        from torch.profiler import ProfilerActivity, profile

        assert self.go is not None  # noqa: S101 - prepared first
        with profile(activities=[ProfilerActivity.CPU]) as profiler:
            self.go()
        averages = profiler.key_averages()
        return {"table": averages.table(sort_by="self_cpu_time_total", row_limit=20, max_name_column_width=40)}


def _peak_bytes() -> int:
    """Most memory this process ever held."""
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def main() -> None:
    """Serve requests until standard input ends."""
    worker = Worker()
    # Libraries print; answers must stand alone on standard output.
    answers, sys.stdout = sys.stdout, sys.stderr
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = getattr(worker, request.pop("do"))(**request)
        except Finetune30Error as error:
            answer = {"error": error.to_dict(), "exit_code": error.exit_code}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
