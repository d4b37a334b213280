"""Submit until the disk that holds the database is full, make room, and look what is left of it.

Usage: fill_disk.py FOLDER, a small file system of its own.
"""

from __future__ import annotations

import sqlite3
import sys
from pathlib import Path

from finetune30.errors import DiskFull
from finetune30.experiments import Status
from finetune30.jobs import Jobs
from finetune30.settings import Settings
from tests.jobs.plant import config


def main(folder: Path) -> str:
    """What became of the jobs, in a sentence."""
    settings = Settings(_env_file=None, results_dir=folder / "results", data_dir=folder / "data", tz="UTC")  # type: ignore[call-arg]
    jobs, made = Jobs(settings), []
    ballast = folder / "ballast"
    ballast.write_bytes(b"x" * 900_000)
    refusal = ""
    for number in range(5000):
        try:
            made.append(jobs.submit(config(f"job {number}"), f"owner {number % 3}").id)
        except DiskFull as fault:
            refusal = str(fault)
            break
    assert refusal, "the disk never filled"
    assert len(made) > 10, "nothing was accepted before"
    running = jobs.store.get(made[0])  # reading goes on
    assert running.status is Status.PENDING
    ballast.unlink()
    made.append(jobs.submit(config("after"), "ana").id)
    assert {row.id for row in jobs.store.find()} == set(made), "what was accepted is there, what was refused is not"
    taken = jobs.queue.claim_next("w", queues=("train",), free=1, total=1)
    assert taken is not None
    jobs.close()
    with sqlite3.connect(folder / "results" / "experiments.db") as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()
    print(refusal)
    return "nothing was lost"


if __name__ == "__main__":
    print(main(Path(sys.argv[1])))
