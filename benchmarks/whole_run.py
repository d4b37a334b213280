"""Where the seconds of ``make run-local`` go, from the shell's prompt to the metrics, on a warm environment.

Cut by what the run itself writes: the process's start, the first lines of ``logs.txt``, the last
checkpoint, the end. Imports are what passes before the first line, and what the fresh process of the
reload still imports when it is asked.
"""

from __future__ import annotations

import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path

ROUNDS = 3
CONFIG = Path(__file__).parents[1] / "config" / "default.yaml"
_CUTS = (
    ("imports and command line", r"device: "),
    ("model, data, adapter, engine", r"training [\d,]+ of"),
    ("training, evaluations, checkpoints", r"evaluating the saved adapter"),
    ("evaluating and reloading", r"done: accuracy"),
)


def measure() -> dict[str, float]:
    """Median seconds of each part; the first round warms the disk."""
    rounds = [_one() for _ in range(ROUNDS + 1)][1:]
    parts = {name: statistics.median(r[name] for r in rounds) for name in rounds[0]}
    total = sum(parts.values())
    print("| part | seconds | share |\n|---|---|---|")
    for name, seconds in parts.items():
        print(f"| {name} | {seconds:.1f} | {seconds / total:.0%} |")
    print(f"| all | {total:.1f} | |")
    return parts


def _one() -> dict[str, float]:
    program = Path(sys.executable).with_name("finetune30")
    with tempfile.TemporaryDirectory() as folder:
        env = {**os.environ, "RESULTS_DIR": f"{folder}/results", "DATA_DIR": f"{folder}/data", "TZ": "UTC"}
        began = time.time()
        subprocess.run([str(program), "train", str(CONFIG)], env=env, check=True, capture_output=True, cwd=folder)
        ended = time.time()
        (log,) = Path(folder).glob("results/*/logs.txt")
        lines = log.read_text(encoding="utf-8").splitlines()
    times = [began]
    for _, pattern in _CUTS:
        line = next(line for line in lines if re.search(pattern, line))
        times.append(datetime.fromisoformat(line.split("  ")[0].replace(" ", "T")).timestamp())
    parts = {name: later - earlier for (name, _), earlier, later in zip(_CUTS, times, times[1:], strict=False)}
    return {**parts, "leaving": ended - times[-1]}
