"""Every row of the security checklist has its test, or a reason why it has none yet; ``docs/security.md`` says so."""

from __future__ import annotations

import re

import pytest

from tests.api.matrix import ALSO, LATER, PAGE, ROWS, rows_shown

# What a database answers, so it is shown on SQLite and on PostgreSQL.
ON_BOTH = {*range(1, 45), *range(46, 59), 63, *range(80, 87), 88, *range(101, 106), *range(108, 113), 115}
WITHOUT = {
    35: "counts in memory, not in a database",
    36: "counts in memory; a service is started for each case",
    47: "nothing is asked of a database before a head is whole",
    48: "no parser of forms is there",
    56: "later",
    110: "a fault of the program itself",
}


def test_every_row_has_a_test_or_a_reason() -> None:
    tests = rows_shown()

    assert [row for row in ROWS if not tests[f"s{row}"] and not tests[ALSO.get(row, "")] and row not in LATER] == []
    assert set(ROWS) == set(range(1, 116))


@pytest.mark.parametrize("guarantee", ["g7", "g8", "g9", "g10", "g15", "g17", "g18", *(f"g{n}" for n in range(25, 31))])
def test_every_guarantee_of_the_api_has_a_test_over_http(guarantee: str) -> None:
    assert any(file.startswith(("tests/api/", "tests/contract/")) for file, _ in rows_shown()[guarantee])


def test_what_asks_a_database_is_shown_on_both() -> None:
    tests = rows_shown()

    assert [row for row in sorted(ON_BOTH - set(WITHOUT)) if not any(both for _, both in tests[f"s{row}"])] == []


def test_the_page_names_each_row_and_no_test_that_is_not_there() -> None:
    tests = rows_shown()
    shown = dict(re.findall(r"^\| S(\d+) \| .*? \| (.*?) \| ", PAGE.read_text(encoding="utf-8"), re.MULTILINE))

    assert set(map(int, shown)) == set(ROWS)
    for row, cell in shown.items():
        there = {file for file, _ in tests[f"s{row}"] | tests[ALSO.get(int(row), "")]}
        named = {f"tests/{name}" for name in re.findall(r"`([^`]+)`", cell)}
        assert named <= there, f"S{row}: run python -m tests.api.matrix"
        assert named or cell.startswith("later: "), f"S{row}"
