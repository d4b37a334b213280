"""Can a stranger tell by the clock whether a user exists? Goal: no, an AUC of 0.45 to 0.55.

A wrong password, an unknown and a disabled user in random turn, 200 logins of each, on SQLite. The AUC is the share of
pairs in which the first kind took longer (Mann-Whitney): 0.5 says nothing about which it was.
"""

from __future__ import annotations

import random
import tempfile
import time
from contextlib import suppress
from itertools import combinations
from pathlib import Path
from statistics import median

from finetune30 import database
from finetune30.access import Role, Users
from finetune30.errors import LoginRefused

SAMPLES = 200
PASSWORD, WRONG = "correct horse battery", "wrong horse battery"


def measure() -> dict[str, float]:
    """AUC of each pair of kinds, and the median of a refused login in milliseconds."""
    with tempfile.TemporaryDirectory() as folder:
        engine = database.open_engine(f"sqlite:///{Path(folder) / 'login.db'}")
        database.upgrade(engine)
        users = Users(engine)
        users.add("known", Role.USER, PASSWORD)
        users.disable(users.add("disabled", Role.USER, PASSWORD).id)
        times = _times(users)
        engine.dispose()
    found = {f"auc {one} / {other}": round(auc(times[one], times[other]), 3) for one, other in combinations(times, 2)}
    found["refused login, ms"] = round(1000 * median(times["unknown user"]), 1)
    for name, value in found.items():
        print(f"  {name}: {value}", flush=True)
    return found


def auc(one: list[float], other: list[float]) -> float:
    """Share of pairs in which ``one`` is larger; half for equal ones."""
    return sum((a > b) + (a == b) / 2 for a in one for b in other) / (len(one) * len(other))


def _times(users: Users) -> dict[str, list[float]]:
    kinds = {
        "wrong password": ("known", WRONG),
        "unknown user": ("nobody", WRONG),
        "disabled user": ("disabled", PASSWORD),
    }
    turns = [*kinds] * SAMPLES
    random.Random(0).shuffle(turns)  # noqa: S311
    times: dict[str, list[float]] = {kind: [] for kind in kinds}
    for kind in [*kinds] * 5 + turns:  # the first ones warm up
        start = time.perf_counter()
        with suppress(LoginRefused):
            users.verify(*kinds[kind])
        times[kind].append(time.perf_counter() - start)
    return {kind: found[5:] for kind, found in times.items()}
