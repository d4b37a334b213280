"""``make bench``: every benchmark in turn, ratios on the screen, and one JSON line with machine and versions.

``python -m benchmarks NAME ...`` runs some of them: startup, whole_run, jobs, api, login, uploads, scale,
page, faults, validation, serving, training.
"""

from __future__ import annotations

import json
import sys

from benchmarks import api, faults, jobs, login, page, scale, serving, startup, uploads, validation, whole_run
from finetune30.bench.training import FULL, run
from finetune30.monitoring import environment_report

BENCHMARKS = {
    "startup": startup.measure,
    "whole_run": whole_run.measure,
    "jobs": jobs.measure,
    "api": api.measure,
    "login": login.measure,
    "uploads": uploads.measure,
    "scale": scale.measure,
    "page": page.measure,
    "faults": faults.measure,
    "validation": validation.measure,
    "serving": serving.measure,
    "training": lambda: run(FULL, "cpu", lambda text: print(text, flush=True)),
}


def main() -> None:
    """Measure and print."""
    results = {}
    for name in [word for word in sys.argv[1:] if word != "--quick"] or BENCHMARKS:
        print(f"\n{name}", flush=True)
        results[name] = BENCHMARKS[name]()
    print(json.dumps({"results": results, "environment": environment_report()}))


main()
