"""Checking the audit log: the chain from its first row to its last, then its head and its anchor.

Neighbours: ``audit`` opens the transaction, ``chain`` says what a MAC covers.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Row, exc, select, text

from finetune30.access import chain
from finetune30.access.anchor import Mark
from finetune30.access.record import Verdict
from finetune30.access.tables import audit, audit_head

_AT_ONCE = 1000


class _Bad(Exception):  # a verdict on its way out
    def __init__(self, rows: int, first: int | None, reason: str) -> None:
        super().__init__(reason)
        self.verdict = Verdict(ok=False, rows=rows, first_bad=first, reason=reason)


def verdict(connection: Connection, key: bytes, mark: Mark | None, anchor: Path) -> Verdict:
    """What the rows say, as they are at one moment.

    Args:
        connection: Of a transaction that has read nothing yet.
        mark: What the anchor at ``anchor`` says; None where there is none.
    """
    if connection.dialect.name == "postgresql":  # by default each statement sees another moment
        connection.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"))
    try:
        last = _walked(connection, key, mark)
        _check_end(connection, last, mark, anchor)
    except _Bad as bad:
        return bad.verdict
    return Verdict(ok=True, rows=last.seq, first_bad=None, reason=f"{last.seq} rows, the chain is whole")


def _walked(connection: Connection, key: bytes, mark: Mark | None) -> Mark:
    """The last row; every row before it follows from the one before it."""
    last = Mark(0, "")
    for row in _rows(connection):
        seq = last.seq + 1
        if row.seq < seq:
            raise _Bad(last.seq, row.seq, f"row {row.seq} does not belong there: rows are numbered from 1")
        if row.seq > seq:
            raise _Bad(last.seq, seq, f"row {seq} is missing")
        wanted = chain.mac(key, last.mac, row._asdict())
        if not chain.is_same(row.mac, wanted):
            other = " (or the whole log was written with another key)" if seq == 1 else ""
            raise _Bad(last.seq, seq, f"row {seq} was changed, put in or moved{other}")
        if mark and mark.seq == seq and not chain.is_same(mark.mac, wanted):
            raise _Bad(last.seq, seq, f"row {seq} is not the one the anchor knows: the log was written anew")
        last = Mark(seq, wanted)
    return last


def _check_end(connection: Connection, last: Mark, mark: Mark | None, anchor: Path) -> None:
    head = connection.execute(select(audit_head.c.seq, audit_head.c.mac)).first()
    if head is None:
        raise _Bad(last.seq, None, "the head of the log is missing: nobody knows how far it reached")
    reached = max(head.seq, mark.seq if mark else 0)
    if reached > last.seq:
        raise _Bad(last.seq, last.seq + 1, f"rows {last.seq + 1} to {reached} are missing: the end was cut off")
    if head.seq < last.seq:
        raise _Bad(last.seq, head.seq + 1, f"row {head.seq + 1} was put in: the head of the log does not know it")
    if not chain.is_same(head.mac, last.mac):
        raise _Bad(last.seq, None, "the head of the log was changed")
    if mark is None and last.seq:
        raise _Bad(last.seq, None, f"there is no anchor at {anchor}: the end may have been cut off")


def _rows(connection: Connection) -> Iterator[Row[Any]]:
    """All rows by their number, some at a time."""
    after, at_once = None, _AT_ONCE
    while True:
        wanted = select(audit).order_by(audit.c.seq).limit(at_once)
        try:
            rows = connection.execute(wanted if after is None else wanted.where(audit.c.seq > after)).all()
        except exc.OperationalError as cause:
            if "decode" not in str(cause.orig):
                raise
            # SQLite holds bytes that are no text: which row is it?
            if at_once == 1:
                seq = (after or 0) + 1
                raise _Bad(seq - 1, seq, f"row {seq} was changed: it is no text any more") from cause
            at_once = 1
            continue
        if not rows:
            return
        yield from rows
        after = rows[-1].seq
