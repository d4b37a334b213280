"""The audit log, for admins."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.requests import Request

from finetune30.access import AuditRow, Role
from finetune30.api import services
from finetune30.api.answers import AuditEntry, AuditLog
from finetune30.api.deps import Admin
from finetune30.api.queries import Limit, Number, Search, Timestamp, in_order
from finetune30.api.routes.users import USER_ID

_LAST_ROW = 2**31 - 1
UserId = Annotated[str, Query(pattern=USER_ID, description="Who did it")]


def router() -> APIRouter:
    """``/audit/logs``."""
    found = APIRouter(tags=["audit"])
    found.add_api_route("/audit/logs", logs, methods=["GET"], name="audit.list")
    return found


def logs(
    request: Request,
    _admin: Admin,
    user_id: UserId | None = None,
    role: Role | None = None,
    start_time: Timestamp | None = None,
    end_time: Timestamp | None = None,
    action: Search | None = None,
    limit: Limit = 100,
    before: Number | None = None,
) -> AuditLog:
    """What was done, tried and refused, the newest first; times are Unix seconds."""
    in_order(start_time, end_time, "query.start_time")
    # One more than asked for would tell whether more follow, but 1000 is the most there is.
    found = services.of(request).access.audit.find(
        user_id=user_id,
        role=role,
        start_time=start_time,
        end_time=end_time,
        action=action,
        limit=limit,
        before=None if before is None else min(before, _LAST_ROW),
    )
    more = len(found) == limit and found[-1].seq > 1
    return AuditLog(logs=[_entry(row) for row in found], has_more=more, next=found[-1].seq if more else None)


def _entry(row: AuditRow) -> AuditEntry:
    same = {name: getattr(row, name) for name in AuditEntry.model_fields if hasattr(row, name)}
    return AuditEntry(user_id=row.actor_id, user_name=row.actor_name, **same)
