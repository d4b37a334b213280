"""Users, workers and the audit log, for admins; the server's health, for all.

Neighbours: ``logins`` is about oneself.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from finetune30.client.address import segment
from finetune30.client.answers import AuditEntry, Page, Person, Readiness, Worker, shaped
from finetune30.client.asking import Asking, every
from finetune30.client.wire import Request
from finetune30.errors import ServerFault

_PAGE = 100


class People(Asking):
    """``/users``, ``/audit/logs``."""

    def users(self) -> list[Person]:
        """All users by name, the disabled ones too."""
        return self._page("/users", "users", Person, {}).items

    def user(self, user_id: str) -> Person:
        """One user."""
        return self._get(f"/users/{segment(user_id)}", Person)

    def add_user(self, name: str, password: str, role: str = "user") -> Person:
        """Make a user."""
        return self._post("/users", Person, {"name": name, "role": role, "password": password})

    def disable_user(self, user_id: str) -> Person:
        """Let them in no more; their sessions end at once."""
        return self._post(f"/users/{segment(user_id)}/disable", Person)

    def enable_user(self, user_id: str) -> Person:
        """Let them in again."""
        return self._post(f"/users/{segment(user_id)}/enable", Person)

    def set_role(self, user_id: str, role: str) -> Person:
        """``user`` or ``admin``; their sessions end."""
        return self._post(f"/users/{segment(user_id)}/role", Person, {"role": role})

    def set_password(self, user_id: str, password: str) -> Person:
        """Set another user's password; their sessions end."""
        return self._post(f"/users/{segment(user_id)}/password", Person, {"password": password})

    def audit_logs(self, *, limit: int | None = None, **filters: Any) -> Iterator[AuditEntry]:
        """What was done, tried and refused, the newest first.

        Args:
            filters: ``user_id``, ``role``, ``action``, ``start_time``, ``end_time`` (Unix seconds), ``before``.
        """
        first = filters.pop("before", None)
        size = _PAGE if limit is None else min(limit, _PAGE)

        def page(cursor: int | None) -> Page[AuditEntry]:
            return self.audit_page(limit=size, before=first if cursor is None else cursor, **filters)

        return every(page, limit)

    def audit_page(self, *, limit: int = _PAGE, before: int | None = None, **filters: Any) -> Page[AuditEntry]:
        """One page of it."""
        return self._page("/audit/logs", "logs", AuditEntry, {"limit": limit, "before": before, **filters})


class Operations(Asking):
    """``/health``, ``/ready``, ``/workers``."""

    def workers(self) -> list[Worker]:
        """The workers heard of lately, by name, and what each does; for admins."""
        return self._page("/workers", "workers", Worker, {}).items

    def health(self) -> bool:
        """Whether the server answers; nobody needs to be logged in.

        Raises: Unreachable, WrongServer.
        """
        found = self._wire.send(Request("GET", "/health", safe=True)).json()
        return isinstance(found, dict) and found.get("status") == "ok"

    def ready(self) -> Readiness:
        """What it stands on: ``ready``, ``degraded`` (some things come later) or ``unavailable``."""
        try:
            answer = self._wire.send(Request("GET", "/ready", safe=True))
        except ServerFault as fault:
            if fault.status == 503:
                return Readiness(status="unavailable")
            raise
        return shaped(Readiness, answer.json(), answer.server)
