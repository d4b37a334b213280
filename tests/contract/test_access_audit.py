"""The audit log: S108, S111, S112 of the reliability plan and what a list shows, on both databases."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import Connection, Engine, text

from finetune30 import database
from finetune30.access import Audit, AuditRow, Role, Users
from finetune30.access.anchor import Anchor, Mark
from finetune30.errors import BadInput, StorageError

KEY = b"Qp7sYv2nTd8gBk4mXc1wZr6hJf9aLe3u"
PASSWORD = "correct horse battery"


@pytest.fixture
def audit(engine: Engine, tmp_path: Path) -> Audit:
    return Audit(engine, KEY, tmp_path / "audit.anchor")


def note(audit: Audit, connection: Connection, action: str = "login", **other: object) -> int:
    row: dict[str, object] = {
        "actor_id": "u_0123456789abcdef",
        "actor_name": "ana",
        "role": "user",
        "target": "run_1",
        "outcome": "ok",
        "address": "203.0.113.7",
        "request_id": "r1",
    }
    return audit.record(connection, action=action, **(row | other))  # type: ignore[arg-type]


@pytest.fixture
def add(audit: Audit, engine: Engine) -> Callable[..., int]:
    """One row in a transaction of its own."""

    def one(action: str = "login", **other: object) -> int:
        with database.write(engine) as connection:
            return note(audit, connection, action, **other)

    return one


def test_a_row_keeps_what_it_was_given(audit: Audit, add: Callable[..., int]) -> None:
    assert (audit.verify().ok, audit.find()) == (True, [])

    detail = {"列": [1, 2.5, None, True], "loss": float("nan"), "deep": {"a": "\0\ud800"}}
    assert [add(), add("train", actor_id=None, actor_name="", detail=detail)] == [1, 2]

    second, first = audit.find()
    expected = AuditRow(
        1, first.at, "u_0123456789abcdef", "ana", "user", "login", "run_1", "ok", "203.0.113.7", "r1", None
    )
    assert first == expected
    assert (second.seq, second.actor_id, second.actor_name) == (2, None, "")
    assert second.detail == {**detail, "loss": None}
    assert first.at <= second.at
    assert audit.verify().rows == 2
    assert audit.verify().ok


def test_filters_are_joined_and_pages_follow_each_other(audit: Audit, add: Callable[..., int]) -> None:
    for number in range(6):
        add(
            ("login", "train", "cancel")[number % 3],
            actor_id=f"u_{number % 2:016x}",
            role=("user", "admin")[number % 2],
        )
    rows = {row.seq: row for row in audit.find()}

    def found(**filters: object) -> list[int]:
        return [row.seq for row in audit.find(**filters)]  # type: ignore[arg-type]

    assert found() == [6, 5, 4, 3, 2, 1]
    assert found(user_id=f"u_{1:016x}") == found(role="admin") == [6, 4, 2]
    assert found(action="train") == [5, 2]
    assert found(action="train", role="admin") == [2]
    assert found(start_time=rows[5].at) == [seq for seq in (6, 5, 4, 3, 2, 1) if rows[seq].at >= rows[5].at]
    assert found(end_time=rows[1].at) == [seq for seq in (6, 5, 4, 3, 2, 1) if rows[seq].at <= rows[1].at]
    assert found(limit=2) == [6, 5]
    assert found(limit=2, before=5) == [4, 3]
    assert found(before=1) == found(before=-(2**40)) == found(user_id="' OR 1=1 --") == found(role="\0") == []
    assert found(before=2**40, limit=1000)[0] == 6
    for wrong in ({"limit": 0}, {"limit": 1001}, {"start_time": float("nan")}, {"end_time": float("inf")}):
        with pytest.raises(BadInput):
            found(**wrong)


def test_many_at_once_make_one_chain(audit: Audit, add: Callable[..., int]) -> None:
    with ThreadPoolExecutor(8) as pool:
        numbers = sorted(pool.map(lambda _: add(), range(40)))

    assert numbers == list(range(1, 41))
    assert audit.verify().ok
    assert audit.verify().rows == 40


def test_s108_control_characters_stay_one_row_and_one_line(audit: Audit, add: Callable[..., int]) -> None:
    bad = "ana\r\n2026 admin logged in\x1b[2J%0a\u202e\0\ud800"
    add(bad, actor_name=bad, target=bad, address=bad, request_id=bad, detail={"agent": bad, bad: 1})

    (row,) = audit.find()
    assert row.actor_name == "ana\r\n2026 admin logged in\x1b[2J%0a\u202e�?"
    assert row.detail is not None
    assert row.detail["agent"] == bad
    assert len(json.dumps(row.detail).splitlines()) == 1
    assert audit.verify().ok


def test_endless_values_are_cut(audit: Audit, add: Callable[..., int]) -> None:
    add("x" * 10_000, actor_id="u" * 100, role="r" * 100, outcome="o" * 100, detail={"x": "y" * 100_000})

    (row,) = audit.find()
    assert (len(row.action), len(row.actor_id or ""), len(row.role), len(row.outcome)) == (200, 18, 16, 16)
    assert row.detail == {"left_out_characters": 100_009}
    assert audit.verify().ok


def test_s111_the_log_cannot_be_changed_or_deleted(audit: Audit, add: Callable[..., int], engine: Engine) -> None:
    add()
    add()

    for statement in (
        "UPDATE audit SET actor_name = 'ben' WHERE seq = 1",
        "UPDATE audit SET seq = 7 WHERE seq = 2",
        "DELETE FROM audit WHERE seq = 2",
        "DELETE FROM audit",
        "UPDATE audit_head SET seq = 1",
        "UPDATE audit_head SET mac = 'x'",
        "DELETE FROM audit_head",
    ):
        with pytest.raises(StorageError, match="audit log"), database.write(engine) as connection:
            connection.execute(text(statement))

    assert [row.seq for row in audit.find()] == [2, 1]
    assert audit.verify().ok


def test_s111_nor_replaced_or_emptied(audit: Audit, add: Callable[..., int], engine: Engine) -> None:
    add()
    tricks = {
        "sqlite": (
            "INSERT OR REPLACE INTO audit SELECT * FROM audit",
            "REPLACE INTO audit_head (id, seq, mac) VALUES (1, 0, '')",
        ),
        "postgresql": ("TRUNCATE audit", "TRUNCATE audit_head", "TRUNCATE audit CASCADE"),
    }
    for statement in tricks[engine.dialect.name]:
        with pytest.raises(StorageError, match="audit log"), database.write(engine) as connection:
            connection.execute(text(statement))
    assert audit.verify().ok


def test_s112_a_change_without_its_row_is_rolled_back(
    audit: Audit, engine: Engine, users: Users, tmp_path: Path
) -> None:
    """The insert fails, as on a full disk; the change it tells of is not there either."""
    fail = {
        "sqlite": ("CREATE TRIGGER full BEFORE INSERT ON audit BEGIN SELECT RAISE(ABORT, 'no room'); END",),
        "postgresql": ("ALTER TABLE audit ADD CONSTRAINT no_room CHECK (seq < 0)",),
    }
    with database.write(engine) as connection:
        for statement in fail[engine.dialect.name]:
            connection.execute(text(statement))

    def change() -> None:
        with database.write(engine) as connection:
            users.add("ana", Role.USER, PASSWORD)
            note(audit, connection, "user.add")

    with pytest.raises(StorageError, match=r"no.room"):
        change()

    assert (users.all(), audit.find()) == ([], [])
    assert not (tmp_path / "audit.anchor").exists()
    assert audit.verify().ok


def test_a_row_is_rolled_back_with_its_change_and_its_number_given_again(
    audit: Audit, add: Callable[..., int], engine: Engine
) -> None:
    def fail() -> None:
        with database.write(engine) as connection:
            note(audit, connection)
            raise ZeroDivisionError

    add()
    with pytest.raises(ZeroDivisionError):
        fail()

    assert audit.verify().ok  # the anchor knows only what was committed
    assert add() == 2
    assert audit.verify().ok


def test_an_anchor_that_cannot_be_written_costs_no_change(
    engine: Engine, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    audit = Audit(engine, KEY, tmp_path / "missing" / "audit.anchor")

    with database.write(engine) as connection:
        note(audit, connection)

    assert len(audit.find()) == 1
    assert "anchor" in caplog.text
    assert "no anchor" in audit.verify().reason


def test_the_anchor_survives_a_torn_write_and_never_goes_back(tmp_path: Path) -> None:
    anchor = Anchor(tmp_path / "anchor", KEY)
    marks = [Mark(seq, f"{seq:064x}") for seq in range(1, 6)]
    for mark in marks:
        anchor.advance(mark)
    anchor.advance(marks[1])
    assert anchor.read() == marks[4]

    whole = anchor.path.read_bytes()
    for place in range(len(whole)):
        anchor.path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        assert anchor.read() in (marks[3], marks[4])

    anchor.path.write_bytes(b"")
    with pytest.raises(StorageError, match="damaged"):
        anchor.read()
    anchor.path.write_bytes(whole)
    with pytest.raises(StorageError, match="another key"):
        Anchor(anchor.path, b"k" * 32).read()
    assert anchor.path.stat().st_mode & 0o777 == 0o600
