"""Which file of tests begins first: the long ones, so that none of them runs alone at the end.

xdist hands out whole files and would begin with those of many tests, but the longest hold few: one that begins last
keeps the others waiting. The seconds are a guess for a quiet machine with two cores; only their order matters, and a
file that is not named here comes after, the one with more tests first. Neighbours: ``conftest`` asks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Protocol, TypeVar


class Named(Protocol):
    """As pytest's items are: the file stands before the first ``::``."""

    @property
    def nodeid(self) -> str: ...


Test = TypeVar("Test", bound=Named)

SECONDS = {
    "tests/e2e/test_kill.py": 160,
    "tests/jobs/test_history.py": 100,
}


def longest_first(items: Sequence[Test], seconds: Mapping[str, float] = SECONDS) -> list[Test]:
    """The tests file by file, each file's in their own order."""
    files = [item.nodeid.partition("::")[0] for item in items]
    tests = Counter(files)
    places = sorted(range(len(items)), key=lambda at: (-seconds.get(files[at], 0), -tests[files[at]], files[at]))
    return [items[at] for at in places]
