"""What the doorkeeper's words mean: users, roles, tokens, audit rows. No SQL here."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

# ASCII only: letters that look alike, invisible and direction characters cannot pass for another user's name.
NAME = re.compile(r"[a-z0-9][a-z0-9._@+-]{0,63}")
USER_ID = re.compile(r"u_[0-9a-f]{16}")


class Role(StrEnum):
    """What a user may do: their own things, or everything."""

    USER = "user"
    ADMIN = "admin"


class Outcome(StrEnum):
    """How what an audit row tells of ended."""

    OK = "ok"
    DENIED = "denied"
    FAILED = "failed"


@dataclass(frozen=True)
class User:
    """One user as read from the database; never holds the password's hash.

    Attributes:
        token_version: Tokens of an older version are refused; grows with each change that must end sessions.
        created_at: Unix seconds of the database's clock.
    """

    id: str
    name: str
    role: Role
    disabled: bool
    created_at: float
    token_version: int

    @property
    def is_admin(self) -> bool:
        """Whether everything is theirs."""
        return self.role is Role.ADMIN


@dataclass(frozen=True)
class Pair:
    """What a login or refresh hands out.

    Attributes:
        token: The access token, a JWT.
        refresh_token: Good for one refresh.
        expires_in: Seconds the access token lives.
        user: Whose they are.
    """

    token: str
    refresh_token: str
    expires_in: int
    user: User

    def __repr__(self) -> str:
        """Without the tokens: this may stand in a log."""
        return f"Pair(user={self.user.id!r}, expires_in={self.expires_in})"


@dataclass(frozen=True)
class AuditRow:
    """One thing that was done, tried or refused.

    Attributes:
        seq: 1, 2, 3, … without a gap.
        at: Unix seconds of the database's clock.
        actor_id: Id of the user; None where nobody was logged in.
        target: What it was done to, such as an experiment's id.
    """

    seq: int
    at: float
    actor_id: str | None
    actor_name: str
    role: str
    action: str
    target: str
    outcome: str
    address: str
    request_id: str
    detail: dict[str, Any] | None


@dataclass(frozen=True)
class Verdict:
    """What checking the audit log found.

    Attributes:
        rows: Rows that were looked at.
        first_bad: Number of the first row that is changed, missing or too much; None if no single row is to blame.
        reason: For people.
    """

    ok: bool
    rows: int
    first_bad: int | None
    reason: str
