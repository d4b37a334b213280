"""The schema of the database: which revision it has, and bringing it to the newest.

Neighbours: ``migrations`` holds the revisions, ``transaction`` the transactions.
"""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, Engine, inspect, text

from finetune30.database.transaction import read, write
from finetune30.errors import StorageError

MIGRATIONS = Path(__file__).parents[1] / "migrations"
# Our key among PostgreSQL's advisory locks: the first bytes of "finetune30".
_UPGRADE_LOCK = 0x66696E6574756E65


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
        config.attributes["connection"] = connection
        if engine.dialect.name == "sqlite":  # it is locked by BEGIN IMMEDIATE already
            command.upgrade(config, "head")
            return
        from finetune30.database.silence import however_long

        with however_long(connection):
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _UPGRADE_LOCK})
            command.upgrade(config, "head")
