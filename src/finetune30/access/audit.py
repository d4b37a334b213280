"""The audit log: what was done, tried and refused, and by whom; only ever added to.

Promises: a row is written in the transaction of the change it tells of, so there is never one without the other.
Rows are numbered without a gap and chained by HMAC: ``verify`` names the first row that was changed, moved, added or
removed without the key, the last rows too as far as the anchor was written. Whoever has key, anchor and database can
rewrite all of it: keep the anchor, or an export, where they are not.
Neighbours: ``chain`` signs, ``anchor`` lies outside the database, ``verifying`` checks.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, Row, insert, select, update

from finetune30 import database
from finetune30.access import chain, verifying
from finetune30.access.anchor import Anchor, Mark
from finetune30.access.record import AuditRow, Verdict
from finetune30.access.tables import audit, audit_head
from finetune30.database import now
from finetune30.errors import BadInput, StorageError

MOST = 1000
_log = logging.getLogger(__name__)


class Audit:
    """The log of one database.

    Args:
        key: Signs the rows; at least 32 bytes.
        anchor: File outside the database that knows how far the log reached.
    """

    def __init__(self, engine: Engine, key: bytes, anchor: Path) -> None:
        self._engine = engine
        self._key = key
        self._anchor = Anchor(anchor, key)

    def record(
        self,
        connection: Connection,
        *,
        actor_id: str | None,
        actor_name: str,
        role: str,
        action: str,
        target: str,
        outcome: str,
        address: str,
        request_id: str,
        detail: Mapping[str, Any] | None = None,
    ) -> int:
        """Add a row in the caller's transaction, as its last statement: until its end other writers wait.

        Args:
            connection: Of an open ``database.write``.
            detail: JSON values; no secrets.
        Returns: The row's number.
        """
        head = connection.execute(select(audit_head.c.seq, audit_head.c.mac).with_for_update()).first()
        if head is None:
            raise StorageError("the head of the audit log is missing", hint="run: finetune30 audit verify")
        row: dict[str, Any] = {
            "seq": head.seq + 1,
            "at": connection.scalar(select(now())),
            "actor_id": None if actor_id is None else chain.plain(actor_id, 18),
            "actor_name": chain.plain(actor_name),
            "role": chain.plain(role, 16),
            "action": chain.plain(action),
            "target": chain.plain(target),
            "outcome": chain.plain(outcome, 16),
            "address": chain.plain(address),
            "request_id": chain.plain(request_id),
            "detail": chain.detail_text(detail),
        }
        mark = Mark(row["seq"], chain.mac(self._key, head.mac, row))
        connection.execute(insert(audit).values(**row, mac=mark.mac))
        connection.execute(update(audit_head).values(seq=mark.seq, mac=mark.mac))
        database.after_commit(connection, lambda: self._advance(mark))
        return mark.seq

    def find(
        self,
        *,
        user_id: str | None = None,
        role: str | None = None,
        start_time: float | None = None,
        end_time: float | None = None,
        action: str | None = None,
        limit: int = 100,
        before: int | None = None,
    ) -> list[AuditRow]:
        """Rows that match all that is given, the newest first.

        Args:
            user_id: Id of who did it.
            start_time: First moment, Unix seconds.
            end_time: Last moment, Unix seconds.
            limit: At most so many, 1 to 1000.
            before: Only rows with a smaller number: the next page.
        Raises: BadInput.
        """
        if not 1 <= limit <= MOST:
            raise BadInput(f"limit is {limit}, expected 1 to {MOST}", where="limit")
        if any(at is not None and not math.isfinite(at) for at in (start_time, end_time)):
            raise BadInput("a time is no finite number, expected Unix seconds", where="start_time, end_time")
        texts = ((audit.c.actor_id, user_id), (audit.c.role, role), (audit.c.action, action))
        wanted = select(audit).where(*(column == chain.plain(text) for column, text in texts if text is not None))
        if start_time is not None:
            wanted = wanted.where(audit.c.at >= start_time)
        if end_time is not None:
            wanted = wanted.where(audit.c.at <= end_time)
        if before is not None:
            wanted = wanted.where(audit.c.seq < max(0, min(before, 2**31 - 1)))
        with database.read(self._engine) as connection:
            rows = connection.execute(wanted.order_by(audit.c.seq.desc()).limit(limit)).all()
        return [_to_row(row) for row in rows]

    def every(self) -> Iterator[AuditRow]:
        """All rows, the oldest first."""
        after = 0
        while True:
            wanted = select(audit).where(audit.c.seq > after).order_by(audit.c.seq).limit(MOST)
            with database.read(self._engine) as connection:
                rows = connection.execute(wanted).all()
            if not rows:
                return
            yield from map(_to_row, rows)
            after = rows[-1].seq

    def verify(self) -> Verdict:
        """Whether the log is whole, as far as key and anchor can tell.

        Raises: StorageError if the database cannot be read.
        """
        # The anchor first: what is written while we read may only make the log longer than it says.
        try:
            mark = self._anchor.read()
        except StorageError as damage:
            return Verdict(ok=False, rows=0, first_bad=None, reason=str(damage))
        with database.read(self._engine) as connection:
            return verifying.verdict(connection, self._key, mark, self._anchor.path)

    def _advance(self, mark: Mark) -> None:
        try:
            self._anchor.advance(mark)
        except OSError as cause:  # the change is committed; what follows will anchor it
            _log.warning("the anchor of the audit log cannot be written: %s", cause.strerror)


def _to_row(row: Row[Any]) -> AuditRow:
    values = dict(row._mapping)
    del values["mac"]
    return AuditRow(**{**values, "detail": chain.detail_of(values["detail"])})
