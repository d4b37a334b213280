"""The order of the files of tests: the longest begin first, whatever the number of their tests."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.order import SECONDS, longest_first

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Item:
    nodeid: str


def test_long_files_come_first_then_those_of_many_tests_each_in_its_own_order() -> None:
    named = ["a.py::z", "b.py::z", "b.py::a[x::y]", "c.py::one", "d.py::one"]

    found = longest_first([Item(name) for name in named], {"d.py": 5, "c.py": 90})

    assert [item.nodeid for item in found] == ["c.py::one", "d.py::one", "b.py::z", "b.py::a[x::y]", "a.py::z"]


def test_every_file_with_a_cost_exists() -> None:
    assert [name for name in SECONDS if not (ROOT / name).is_file()] == []


def test_xdist_keeps_our_order(pytestconfig: pytest.Config) -> None:
    assert pytestconfig.getoption("loadscopereorder", default=False) is False
