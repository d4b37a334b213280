"""Transactions: what is written within one is there as a whole, or not at all.

A transaction that is opened while another one of the same database is open in this context becomes a
part of it: so whoever calls several rooms (a change and its audit row) opens one around them, and no
room needs to know. Whatever goes wrong is a StorageError that says where and what to do, without
password. Neighbours: ``engine`` makes the connections.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Engine, exc

from finetune30.errors import DiskFull, Finetune30Error, StorageError


@dataclass(frozen=True)
class _Open:
    engine: Engine
    connection: Connection
    afterwards: list[Callable[[], None]] = field(default_factory=list)


_open: ContextVar[tuple[_Open, ...]] = ContextVar("open transactions", default=())


@contextmanager
def read(engine: Engine, *, still: bool = False) -> Iterator[Connection]:
    """A view of the database that makes no writer wait; within ``write`` it sees what that wrote.

    Args:
        still: All statements see the same moment, as they always do with SQLite; not within ``write``.
    Raises: StorageError if the database cannot be used.
    """
    with _faults_explained(engine):
        if outer := _open_on(engine):
            yield outer.connection
            return
        options: dict[str, Any] = {"reading": True}
        if still and engine.dialect.name == "postgresql":
            options["isolation_level"] = "REPEATABLE READ"
        with engine.connect().execution_options(**options) as connection, connection.begin():
            yield connection


@contextmanager
def write(engine: Engine) -> Iterator[Connection]:
    """One transaction: committed at the end, rolled back on any error.

    Within another ``write`` of the same engine and context it is committed with that one; an error
    takes back what was written here, and the outer one may go on.

    Raises: StorageError if the database cannot be used; DiskFull.
    """
    with _faults_explained(engine):
        if outer := _open_on(engine):
            with _part_of(outer):
                yield outer.connection
            return
        with engine.begin() as connection:
            opened = _Open(engine, connection)
            mark = _open.set((*_open.get(), opened))
            try:
                yield connection
            finally:
                _open.reset(mark)
    for work in opened.afterwards:
        work()


def in_transaction(engine: Engine) -> bool:
    """Whether a ``write`` of this engine is open around the caller."""
    return _open_on(engine) is not None


def after_commit(connection: Connection, work: Callable[[], None]) -> None:
    """Do ``work`` once what is written on this connection is committed, and not if it is rolled back.

    It must not raise: nothing can be taken back any more.

    Raises: RuntimeError if the connection is not that of an open ``write``.
    """
    for opened in _open.get():
        if opened.connection is connection:
            opened.afterwards.append(work)
            return
    raise RuntimeError("this connection does not come from database.write")


def _open_on(engine: Engine) -> _Open | None:
    return next((opened for opened in _open.get() if opened.engine is engine), None)


@contextmanager
def _part_of(outer: _Open) -> Iterator[None]:
    known = len(outer.afterwards)
    try:
        with outer.connection.begin_nested():
            yield
    except BaseException:
        del outer.afterwards[known:]
        raise


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
