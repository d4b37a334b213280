"""Submit over HTTP until the disk that holds the database is full, read, make room, and look what is left.

Usage: full_disk.py FOLDER, a small file system of its own.
"""

from __future__ import annotations

import sqlite3
import sys
from pathlib import Path

from tests.api.service import refused, serving


def main(folder: Path) -> str:
    """What became of the submissions, in a sentence."""
    ballast = folder / "ballast"
    with serving(folder / "home", {}) as service:
        ana, made = service.person(), []
        ballast.write_bytes(b"x" * 6_500_000)
        for _ in range(5000):
            answer = ana.post("/train", {})
            if answer.status_code != 202:
                refused(answer, 503, "disk_full")
                break
            made.append(answer.json()["task_id"])
        else:
            raise AssertionError("the disk never filled")
        assert made, "nothing was accepted before"
        for path in (f"/task/{made[0]}", "/me", "/tasks?limit=1", "/experiments?owner=me&limit=1", "/health", "/ready"):
            answer = ana.get(path)
            assert answer.status_code == 200, (path, answer.text)
        refused(ana.post("/train", {}), 503, "disk_full")
        assert service.services.access.audit.verify().first_bad is None
        ballast.unlink()
        made.append(ana.post("/train", {}).json()["task_id"])
        assert ana.post(f"/task/{made[0]}/cancel").status_code == 202
        assert {row.id for row in service.services.jobs.store.find()} == set(made)
        rows = list(service.services.access.audit.every())
        assert [row.target for row in rows if row.action == "task.submit" and row.outcome == "ok"] == made
        assert service.services.access.audit.verify().ok
        database = service.settings.results_dir / "experiments.db"
    with sqlite3.connect(database) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()
    return "nothing was lost"


if __name__ == "__main__":
    print(main(Path(sys.argv[1])))
