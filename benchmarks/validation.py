"""``data validate`` on ten thousand to five million generated rows: time a row, and peak memory.

Each size is a process of its own that runs the command as a user does, on a CSV with some of each
fault in it. Memory should not grow with the rows, nor the time a row.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

SIZES = (10_000, 100_000, 1_000_000, 5_000_000)
_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_VOCABULARY = 20_000


def measure(sizes: tuple[int, ...] = SIZES) -> list[dict[str, float]]:
    """A row of the table for each size."""
    print("| rows | CSV MiB | seconds | microseconds a row | peak MiB | status |")
    print("|---|---|---|---|---|---|")
    return [_point(size) for size in sizes]


def _point(size: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "rows.csv")
        write(path, size)
        began = time.perf_counter()
        report = Path(folder, "report.json")
        with report.open("w", encoding="utf-8") as out:
            child = subprocess.Popen(
                [sys.executable, "-m", "finetune30", "data", "validate", str(path), "--json"], stdout=out, cwd=folder
            )
            _, status, used = os.wait4(child.pid, 0)
        seconds = time.perf_counter() - began
        child.returncode = os.waitstatus_to_exitcode(status)
        found = json.loads(report.read_text(encoding="utf-8").splitlines()[-1])
        assert found["total_samples"] == size, found
        point = {
            "rows": size, "csv_bytes": path.stat().st_size, "seconds": seconds, "peak_bytes": used.ru_maxrss * 1024,
        }  # fmt: skip
        print(
            f"| {size:,} | {point['csv_bytes'] / 2**20:,.0f} | {seconds:,.1f} | {seconds / size * 1e6:,.1f} "
            f"| {point['peak_bytes'] / 2**20:,.0f} | {found['status']} |",
            flush=True,
        )
        return point


def write(path: Path, size: int) -> None:
    """A CSV of so many rows: random sentences, two labels, one row in a hundred with some fault."""
    with path.open("w", encoding="utf-8", newline="") as file:
        file.write("text,label\n")
        file.writelines(_rows(size))


def _rows(size: int) -> Iterator[str]:
    draw = random.Random(30)  # noqa: S311 - nothing secret is drawn
    vocabulary = ["".join(draw.choices(_LETTERS, k=draw.randint(2, 9))) for _ in range(_VOCABULARY)]
    faults = ("", "a", "<b>{}</b>", "{}\x07", "{} write to ann@example.org", "{} " * 40)
    last = "nothing yet"
    for number in range(size):
        text = " ".join(draw.choices(vocabulary, k=draw.randint(5, 15)))
        if number % 100 == 99:
            text = last if number % 200 == 199 else draw.choice(faults).replace("{}", text)
        last = text
        yield f"{text},{'good' if draw.random() < 0.5 else 'bad'}\n"
