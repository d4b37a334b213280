"""The tables of users, their sessions, and the audit log; ``migrations`` makes them and their triggers.

Neighbours: only this room's statements read this.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    Text,
    false,
)

from finetune30.access.record import Role, User
from finetune30.database import metadata

users = Table(
    "users",
    metadata,
    Column("id", String(18), primary_key=True),
    Column("name", String(64), nullable=False, unique=True),
    Column("role", String(16), nullable=False),
    Column("disabled", Boolean, nullable=False, server_default=false()),
    Column("created_at", Double, nullable=False),
    Column("token_version", Integer, nullable=False, server_default="0"),
    Column("password_hash", Text, nullable=False),
    CheckConstraint(f"role IN ({', '.join(repr(str(role)) for role in Role)})", name="role"),
)

# A login begins a session; its refresh tokens are a family that lives and dies together.
sessions = Table(
    "sessions",
    metadata,
    Column("id", String(34), primary_key=True),
    Column("user_id", String(18), ForeignKey("users.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("token_version", Integer, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("expires_at", Double, nullable=False, index=True),
    Column("revoked_at", Double),
)

refresh_tokens = Table(
    "refresh_tokens",
    metadata,
    Column("hash", String(64), primary_key=True),  # SHA-256: who reads the table cannot refresh
    Column("session_id", String(34), ForeignKey("sessions.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("used_at", Double),
)

# What a program sends to predict; kept as SHA-256.
api_keys = Table(
    "api_keys",
    metadata,
    Column("id", String(18), primary_key=True),
    Column("user_id", String(18), ForeignKey("users.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("name", String(64), nullable=False),
    Column("hash", String(64), nullable=False, unique=True),
    Column("created_at", Double, nullable=False),
    Column("expires_at", Double),
    Column("revoked_at", Double),
    Column("last_used_at", Double),
)

audit = Table(
    "audit",
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("at", Double, nullable=False),
    Column("actor_id", String(18)),  # no foreign key: what was done stays, whoever goes
    Column("actor_name", Text, nullable=False),
    Column("role", String(16), nullable=False),
    Column("action", Text, nullable=False),
    Column("target", Text, nullable=False),
    Column("outcome", String(16), nullable=False),
    Column("address", Text, nullable=False),
    Column("request_id", Text, nullable=False),
    Column("detail", Text),  # JSON, byte for byte as it was signed
    Column("mac", String(64), nullable=False),
    Index("ix_audit_actor_id", "actor_id", "seq"),
    Index("ix_audit_at", "at"),
)

audit_head = Table(
    "audit_head",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("seq", Integer, nullable=False),
    Column("mac", String(64), nullable=False),
    CheckConstraint("id = 1", name="one"),
)

USER_COLUMNS = (
    users.c.id,
    users.c.name,
    users.c.role,
    users.c.disabled,
    users.c.created_at,
    users.c.token_version,
)


def to_user(row: Sequence[Any]) -> User:
    """A row that begins with ``USER_COLUMNS``."""
    return User(row[0], row[1], Role(row[2]), row[3], row[4], row[5])
