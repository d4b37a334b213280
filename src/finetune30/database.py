"""Engine, transactions, clock and schema of the one database: SQLite or PostgreSQL.

Promises: a transaction that was committed survives a power cut (SQLite in WAL with full
synchronisation), a writer waits for its turn instead of failing, times come from the database's
clock, and whatever goes wrong is a StorageError that says where and what to do, without password.
Neighbours: ``experiments`` brings tables and statements; ``migrations`` makes the schema.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
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
    inspect,
    make_url,
    text,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.pool import StaticPool
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from finetune30.errors import DiskFull, Finetune30Error, StorageError

MIGRATIONS = Path(__file__).parent / "migrations"
# Our key among PostgreSQL's advisory locks: the first bytes of "finetune30".
_UPGRADE_LOCK = 0x66696E6574756E65
_BUSY_TIMEOUT_S = 20

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
        memory = address.get_backend_name() == "sqlite" and not address.database
        engine = create_engine(
            address,
            json_serializer=_strict_json,
            pool_pre_ping=address.get_backend_name() == "postgresql",  # servers restart
            **({"poolclass": StaticPool} if memory else {}),
        )
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


@contextmanager
def read(engine: Engine) -> Iterator[Connection]:
    """One consistent view of the database that makes no writer wait.

    Raises: StorageError if the database cannot be used.
    """
    with (
        _faults_explained(engine),
        engine.connect().execution_options(reading=True) as connection,
        connection.begin(),
    ):
        yield connection


@contextmanager
def write(engine: Engine) -> Iterator[Connection]:
    """One transaction: committed at the end, rolled back on any error.

    Raises: StorageError if the database cannot be used; DiskFull.
    """
    with _faults_explained(engine), engine.begin() as connection:
        yield connection


@contextmanager
def _faults_explained(engine: Engine) -> Iterator[None]:
    try:
        yield
    except exc.DBAPIError as cause:
        raise _explained(str(cause.orig), engine) from cause
    except exc.TimeoutError as cause:
        raise _explained(f"no connection came free: {cause}", engine) from cause
    except sqlite3.Error as cause:  # from _prepare_sqlite, which SQLAlchemy does not wrap
        raise _explained(str(cause), engine) from cause


def _explained(fault: str, engine: Engine) -> Finetune30Error:
    where = engine.url.database if engine.dialect.name == "sqlite" else None
    where = where or engine.url.render_as_string(hide_password=True)
    if "disk is full" in fault or "No space left" in fault:
        return DiskFull(f"the database cannot grow: {fault}", where=where, hint="free some space, then retry")
    hints = {
        "not a database": "this file is something else: move it away, or set RESULTS_DIR or DATABASE_URL",
        "malformed": "the file is damaged: restore a copy, or move it away to start anew",
        "readonly": "make file and folder writable for this user, or set RESULTS_DIR or DATABASE_URL",
        "unable to open": "the folder must exist and be writable for this user; see RESULTS_DIR",
        "locked": "another process holds the database for long; retry when it is done",
        "connection": "is the server running? check DATABASE_URL",
    }
    hint = next((text for part, text in hints.items() if part in fault), "check DATABASE_URL and the server")
    return StorageError(f"the database cannot be used: {fault.strip()}", where=where, hint=hint)


def upgrade(engine: Engine) -> None:
    """Bring the schema to the newest revision; nothing happens where it is there already.

    Many processes may call it at once: one does the work, under a lock, the others wait.

    Raises: StorageError if the database cannot be used or was made by a newer finetune30.
    """
    with read(engine) as connection:
        found = revision(connection)
    if found == newest_revision():
        return  # also spares every short command the import of Alembic
    if found is not None and found > newest_revision():
        raise StorageError(
            f"the database has schema {found}, this program knows up to {newest_revision()}",
            where=engine.url.render_as_string(hide_password=True),
            hint="it was made by a newer finetune30: upgrade this installation",
        )
    _migrate(engine)


def revision(connection: Connection) -> str | None:
    """Revision of the schema in the database, such as ``0001``; None where there is none yet."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    found: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return found


def newest_revision() -> str:
    """Revision this program works with: revisions are numbered and never branch."""
    return max(path.name[:4] for path in (MIGRATIONS / "versions").glob("[0-9]*.py"))


def _migrate(engine: Engine) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    with write(engine) as connection:
        if engine.dialect.name == "postgresql":  # SQLite is locked by BEGIN IMMEDIATE already
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _UPGRADE_LOCK})
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
