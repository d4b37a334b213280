"""How long ``finetune30 --help`` takes over ``python -c "import typer"``: both as whole processes, in turn."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path

ROUNDS = 11


def measure() -> dict[str, float]:
    """Medians in seconds and the median of the ratios, pair by pair; the first pair warms up."""
    program = Path(sys.executable).with_name("finetune30")
    ours, peer = [], []
    for _ in range(ROUNDS + 1):
        ours.append(_seconds([str(program), "--help"]))
        peer.append(_seconds([sys.executable, "-c", "import typer"]))
    ratios = [a / b for a, b in zip(ours[1:], peer[1:], strict=True)]
    return {
        "finetune30_help_s": statistics.median(ours[1:]),
        "import_typer_s": statistics.median(peer[1:]),
        "ratio": statistics.median(ratios),
        "ratio_min": min(ratios),
        "ratio_max": max(ratios),
    }


def _seconds(command: list[str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - began
