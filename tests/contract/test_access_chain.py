"""G28: who changes the audit log without its key is found, and the first row that suffered is named.

Whoever can take the triggers away can change rows; here they are gone. Each example starts from the same whole log.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, delete, insert, literal_column, select, text, update

from finetune30 import database
from finetune30.access import Audit, Verdict, chain
from finetune30.access.tables import audit as table
from finetune30.access.tables import audit_head

KEY, OTHER_KEY = b"Qp7sYv2nTd8gBk4mXc1wZr6hJf9aLe3u", b"Zx4tGm9pUj1vNs6yRb3kHw8cLq5dFe2a"
ROWS = 6
_UNLOCK = {
    "sqlite": [f"DROP TRIGGER audit_{name}" for name in ("update", "delete", "insert", "head_update", "head_delete")],
    "postgresql": ["ALTER TABLE audit DISABLE TRIGGER USER", "ALTER TABLE audit_head DISABLE TRIGGER USER"],
}
Row = dict[str, Any]


@dataclass
class Log:
    """A log of six rows that anybody may write."""

    engine: Engine
    audit: Audit
    anchor: Path
    rows: list[Row]
    head: Row

    def put(self, rows: list[Row], head: Row | None = None) -> None:
        """The log consists of these rows."""
        with database.write(self.engine) as connection:
            connection.execute(delete(table))
            if rows:
                connection.execute(insert(table), rows)
            connection.execute(update(audit_head).values(**{**self.head, **(head or {})}))

    def judged(self, rows: list[Row], head: Row | None = None) -> Verdict:
        """What ``verify`` says to these rows."""
        self.put(rows, head)
        return self.audit.verify()

    def signed(self, rows: list[Row], start: int, key: bytes = OTHER_KEY) -> list[Row]:
        """The rows with MACs of ``key`` from ``start`` on."""
        done = rows[:start]
        for row in rows[start:]:
            done.append({**row, "mac": chain.mac(key, done[-1]["mac"] if done else "", row)})
        return done


@pytest.fixture
def log(engine: Engine, tmp_path: Path) -> Log:
    audit = Audit(engine, KEY, tmp_path / "anchor")
    for number in range(ROWS):
        with database.write(engine) as connection:
            audit.record(
                connection,
                actor_id=f"u_{number % 2:016x}" if number else None,
                actor_name=f"ana{number}",
                role="user",
                action="train",
                target=f"run_{number}",
                outcome="ok",
                address="203.0.113.7",
                request_id=f"r{number}",
                detail={"number": number} if number % 2 else None,
            )
    with database.write(engine) as connection:
        for statement in _UNLOCK[engine.dialect.name]:
            connection.execute(text(statement))
        rows = [dict(row._mapping) for row in connection.execute(select(table).order_by(table.c.seq))]
        head = dict(connection.execute(select(audit_head)).one()._mapping)
    return Log(engine, audit, tmp_path / "anchor", rows, head)


def examples(count: int) -> Callable[[Any], Any]:
    return settings(
        max_examples=count, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
    )


def renumbered(rows: list[Row]) -> list[Row]:
    return [{**row, "seq": seq} for seq, row in enumerate(rows, 1)]


def test_g28_a_whole_log_is_whole(log: Log) -> None:
    assert log.judged(log.rows) == Verdict(ok=True, rows=ROWS, first_bad=None, reason="6 rows, the chain is whole")


def _other(value: object, draw: st.DataObject) -> object:
    """Another value of the same type: one character or bit of it flipped."""
    if value is None:
        return "{}"
    if isinstance(value, float):
        return draw.draw(st.sampled_from([value + 0.001, -value, value + 3600]))
    assert isinstance(value, str)
    if not value or draw.draw(st.booleans()):
        return draw.draw(st.sampled_from([value + " ", value + "x", "x" + value]))[-64:] + "x"
    place, bit = draw.draw(st.integers(0, len(value) - 1)), draw.draw(st.integers(0, 6))
    flipped = chr(ord(value[place]) ^ 1 << bit)
    return value[:place] + (flipped if flipped != "\0" else "x") + value[place + 1 :]


@examples(150)
@given(draw=st.data())
def test_g28_every_single_flip_is_found(log: Log, draw: st.DataObject) -> None:
    place = draw.draw(st.integers(0, ROWS - 1))
    column = draw.draw(st.sampled_from([name for name in log.rows[0] if name != "seq"]))
    longest = {"actor_id": 18, "role": 16, "outcome": 16, "mac": 64}.get(column, 1000)
    value = _other(log.rows[place][column], draw)
    value = value[:longest] if isinstance(value, str) else value
    if value == log.rows[place][column]:
        return
    rows = [dict(row) for row in log.rows]
    rows[place][column] = value

    found = log.judged(rows)

    assert (found.ok, found.first_bad) == (False, place + 1)


@examples(60)
@given(draw=st.data())
def test_g28_every_deletion_swap_and_insertion_is_found(log: Log, draw: st.DataObject) -> None:
    how = draw.draw(st.sampled_from(["delete", "delete and renumber", "swap", "insert", "append", "move"]))
    first, second = sorted(draw.draw(st.lists(st.integers(0, ROWS - 1), min_size=2, max_size=2, unique=True)))
    rows = [dict(row) for row in log.rows]
    bad = first + 1
    match how:
        case "delete":
            del rows[first]
        case "delete and renumber":
            del rows[first]
            rows = renumbered(rows)
        case "swap":
            rows[first], rows[second] = rows[second], rows[first]
            rows = renumbered(rows)
        case "insert":
            rows.insert(first, dict(rows[second]))
            rows = renumbered(rows)
        case "append":
            rows.append({**rows[second], "seq": ROWS + 1})
            bad = ROWS + 1
        case "move":
            rows[second] = {**rows[second], "seq": draw.draw(st.sampled_from([0, -1, ROWS + 5]))}
            bad = second + 1 if rows[second]["seq"] > 0 else rows[second]["seq"]

    found = log.judged(rows)

    assert (found.ok, found.first_bad) == (False, bad), how
    if how == "delete" and first < ROWS - 1:
        assert found.reason == f"row {bad} is missing"


@examples(30)
@given(kept=st.integers(0, ROWS - 1), head_too=st.booleans())
def test_g28_a_cut_end_is_found_even_with_its_head_put_right(log: Log, kept: int, head_too: bool) -> None:
    head = {"seq": kept, "mac": log.rows[kept - 1]["mac"] if kept else ""}

    found = log.judged(log.rows[:kept], head if head_too else None)

    assert (found.ok, found.first_bad) == (False, kept + 1)


@examples(30)
@given(start=st.integers(0, ROWS - 1), more=st.integers(0, 2))
def test_g28_a_log_written_anew_with_another_key_is_found(log: Log, start: int, more: int) -> None:
    changed = [dict(row) for row in log.rows] + [{**log.rows[-1], "seq": ROWS + 1 + one} for one in range(more)]
    changed[start]["actor_name"] = "somebody else"
    rows = log.signed(changed, start)

    found = log.judged(rows, {"seq": len(rows), "mac": rows[-1]["mac"]})

    assert (found.ok, found.first_bad) == (False, start + 1)


@examples(20)
@given(start=st.integers(0, ROWS - 1))
def test_g28_who_has_the_key_but_not_the_anchor_is_found(log: Log, start: int) -> None:
    changed = [dict(row) for row in log.rows]
    changed[start]["actor_name"] = "somebody else"
    rows = log.signed(changed, start, KEY)

    found = log.judged(rows, {"mac": rows[-1]["mac"]})

    assert (found.ok, found.first_bad) == (False, ROWS)
    assert "anchor" in found.reason


def test_g28_a_changed_or_missing_head_is_found(log: Log) -> None:
    for head, bad in (({"seq": 9}, 7), ({"seq": 3}, 4), ({"mac": "0" * 64}, None)):
        found = log.judged(log.rows, head)
        assert (found.ok, found.first_bad) == (False, bad)

    with database.write(log.engine) as connection:
        connection.execute(delete(audit_head))
    assert "head of the log is missing" in log.audit.verify().reason


def test_g28_a_missing_damaged_or_foreign_anchor_is_found(log: Log) -> None:
    shutil.copy(log.anchor, log.anchor.with_name("kept"))
    log.anchor.unlink()
    assert "there is no anchor" in log.audit.verify().reason

    log.anchor.write_text("damaged")
    assert "damaged" in log.audit.verify().reason

    shutil.copy(log.anchor.with_name("kept"), log.anchor)
    assert log.audit.verify().ok
    assert not Audit(log.engine, OTHER_KEY, log.anchor.with_name("none")).verify().ok


def test_g28_values_of_any_type_are_found(log: Log) -> None:
    """SQLite takes bytes for text, even such as are no text at all."""
    if log.engine.dialect.name != "sqlite":
        pytest.skip("PostgreSQL keeps types")
    for value in (literal_column("x'616e6133'"), literal_column("CAST(x'ff' AS TEXT)"), 7, ""):
        log.put(log.rows)
        with database.write(log.engine) as connection:
            connection.execute(update(table).where(table.c.seq == 4).values(actor_name=value))
        found = log.audit.verify()
        assert (found.ok, found.first_bad) == (False, 4), value


def test_g28_what_is_written_while_it_is_checked_is_no_fault(log: Log) -> None:
    """The anchor is read first, then one moment of the database."""
    log.put(log.rows)
    behind = log.anchor.read_bytes()
    with database.write(log.engine) as connection:
        log.audit.record(
            connection,
            actor_id=None,
            actor_name="ben",
            role="user",
            action="login",
            target="",
            outcome="ok",
            address="",
            request_id="",
        )
    log.anchor.write_bytes(behind)

    assert log.audit.verify() == Verdict(ok=True, rows=7, first_bad=None, reason="7 rows, the chain is whole")
