"""``make bench``: run every benchmark, print ratios, and one JSON line with machine and versions."""

from __future__ import annotations

import json

from benchmarks import startup, training
from finetune30.monitoring import environment_report


def main() -> None:
    """Measure and print."""
    results = {}
    for name, measure in (("startup", startup.measure), ("training", training.measure)):
        results[name] = figures = measure()
        print(f"{name}: " + "  ".join(f"{key} {value:.3g}" for key, value in figures.items()), flush=True)
    print(json.dumps({"results": results, "environment": environment_report()}))


main()
