"""Opening the store that the settings point to.

Promise: who wants to write gets a ready database, who only looks makes nothing.
Neighbours: ``settings`` say where, ``database`` makes the schema, ``store`` does the rest.
"""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Engine

from finetune30 import database
from finetune30.errors import StorageError
from finetune30.experiments.folder import make_results_dir
from finetune30.experiments.queue import Queue
from finetune30.experiments.store import ExperimentStore
from finetune30.settings import Settings


def open_store(settings: Settings, *, create: bool = True) -> ExperimentStore:
    """The store the settings point to, its schema up to date.

    Args:
        create: Make results folder, database and tables where they are missing. Without it, what is
            not there reads as a store without experiments.
    Raises: StorageError if the results folder or the database cannot be used.
    """
    return open_both(settings, create=create)[0]


def open_queue(settings: Settings, *, create: bool = True) -> Queue:
    """The queue of the same database, as ``open_store``."""
    return open_both(settings, create=create)[1]


def open_both(settings: Settings, *, create: bool = True) -> tuple[ExperimentStore, Queue]:
    """Store and queue over one pool of connections, as ``open_store``."""
    engine = database.open_engine(settings.resolved_database_url)
    if create and settings.database_url is None:
        make_results_dir(settings.results_dir)
    if create or _revision(engine) is not None:
        database.upgrade(engine)
    else:
        engine = database.open_engine("sqlite://")
        database.metadata.create_all(engine)
    return ExperimentStore(engine, settings.lease_s), Queue(engine, settings.lease_s, settings.max_attempts)


def schema_of(settings: Settings) -> tuple[str, str | None]:
    """Where the database is, without a password, and which schema it has; None where there is none yet.

    Raises: StorageError if it cannot be read.
    """
    engine = database.open_engine(settings.resolved_database_url)
    address = engine.url.database if engine.dialect.name == "sqlite" else None
    try:
        return address or engine.url.render_as_string(hide_password=True), _revision(engine)
    finally:
        engine.dispose()


def _revision(engine: Engine) -> str | None:
    if engine.dialect.name == "sqlite":  # connecting would make the file
        try:
            Path(engine.url.database or "").stat()
        except FileNotFoundError:
            return None
        except OSError as cause:
            raise StorageError(
                f"the database cannot be read: {cause.strerror}",
                where=engine.url.database,
                hint="the results folder must be a folder this user can use; see RESULTS_DIR",
            ) from cause
    with database.read(engine) as connection:
        return database.revision(connection)
