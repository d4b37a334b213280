"""Engine and clock of the one database: SQLite or PostgreSQL.

Promises: a transaction that was committed survives a power cut (SQLite in WAL with full
synchronisation), a writer waits for its turn instead of failing, a server that does not answer is an
error within seconds, times come from the database's clock.
Neighbours: ``transaction`` opens what is done here, ``schema`` brings the tables up to date, ``place``
judges where a file lies, ``silence`` gives a frozen server up.
"""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

from sqlalchemy import (
    URL,
    Connection,
    Double,
    Engine,
    MetaData,
    create_engine,
    event,
    exc,
    make_url,
    text,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.pool import StaticPool
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from finetune30.database.place import refuse_network
from finetune30.errors import StorageError

_BUSY_TIMEOUT_S = 20
# A server that is gone without a word must not keep anybody waiting for the minutes TCP would.
_POSTGRES = {
    "connect_timeout": 5,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 2,
    "tcp_user_timeout": 15_000,
}
_POOL_TIMEOUT_S = 10

# Constraint names are fixed, so that later migrations can change them on both databases.
metadata = MetaData(
    naming_convention={
        "ix": "ix_%(column_0_label)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)


class now(FunctionElement[float]):  # noqa: N801  # reads as a function in SQL expressions
    """The database server's clock as Unix seconds; moves on within a transaction."""

    type = Double()
    inherit_cache = True
    name = "now"


@compiles(now, "sqlite")
def _now_sqlite(_element: now, _compiler: SQLCompiler, **_: Any) -> str:
    return "((julianday('now') - 2440587.5) * 86400.0)"


@compiles(now, "postgresql")
def _now_postgresql(_element: now, _compiler: SQLCompiler, **_: Any) -> str:
    # Not CURRENT_TIMESTAMP: that is when the transaction began, maybe before a wait for a lock.
    return "CAST(EXTRACT(EPOCH FROM clock_timestamp()) AS DOUBLE PRECISION)"


def open_engine(url: str) -> Engine:
    """A lazy pool of connections to ``url``; nothing is touched before the first transaction.

    Raises: StorageError if the address is unusable or its driver is not installed.
    """
    try:
        address = _address(url)
        if address.get_backend_name() == "sqlite":
            kind: dict[str, Any] = {} if address.database else {"poolclass": StaticPool}
            if address.database:
                refuse_network(Path(address.database))
        else:
            known = {key: value for key, value in _POSTGRES.items() if key not in address.query}
            # pre_ping: servers restart
            kind = {"pool_pre_ping": True, "pool_timeout": _POOL_TIMEOUT_S, "connect_args": known}
        engine = create_engine(address, json_serializer=_strict_json, **kind)
        if engine.driver == "psycopg":
            from finetune30.database.silence import impatiently

            event.listen(engine, "do_connect", impatiently)
    except exc.ArgumentError as cause:
        raise StorageError(
            "DATABASE_URL is no database address",
            hint="expected sqlite:///path/to/file.db or postgresql://user:password@host/name",
        ) from cause
    except ModuleNotFoundError as cause:
        raise StorageError(
            f"the driver {cause.name} of this database is not installed",
            hint='install it with: pip install "finetune30[server]"',
        ) from cause
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    return engine


def _address(url: str) -> URL:
    if url.startswith("sqlite:///"):  # taken literally: a folder may hold ? or #
        return URL.create("sqlite", database=url.removeprefix("sqlite:///"))
    address = make_url(url)
    if address.drivername in ("postgres", "postgresql"):
        return address.set(drivername="postgresql+psycopg")
    return address


def _strict_json(value: object) -> str:
    return json.dumps(value, allow_nan=False, ensure_ascii=False)


def _prepare_sqlite(connection: sqlite3.Connection, _: object) -> None:
    # The driver must not open transactions on its own: _begin_sqlite does.
    connection.isolation_level = None
    for pragma in (
        f"busy_timeout = {_BUSY_TIMEOUT_S * 1000}",
        "journal_mode = WAL",
        "synchronous = FULL",
        "foreign_keys = ON",
    ):
        connection.execute(f"PRAGMA {pragma}").close()


def _begin_sqlite(connection: Connection) -> None:
    # A transaction that reads first and writes later would fail at once when another one wrote in
    # between, whatever the timeout. Writers therefore queue up at the door.
    reading = connection.get_execution_options().get("reading", False)
    connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")


def one_at_a_time(connection: Connection, what: str) -> None:
    """Until this transaction ends no other one passes here for the same ``what``."""
    if connection.dialect.name == "postgresql":  # SQLite has one writer at a time anyway
        connection.execute(text("SELECT pg_advisory_xact_lock(hashtextextended(:what, 30))"), {"what": what})
