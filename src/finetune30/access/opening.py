"""Access as the settings say: one database, two keys, one anchor.

Promise: a mere look makes nothing. Neighbours: the API opens this over the pool of connections that its
experiments use, so that one transaction can span both.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

from sqlalchemy import Engine, insert

from finetune30 import database
from finetune30.access import secret
from finetune30.access.audit import Audit
from finetune30.access.keys import Keys
from finetune30.access.tables import audit_head
from finetune30.access.tokens import API, Tokens
from finetune30.access.users import Users
from finetune30.errors import StorageError
from finetune30.settings import Settings


class Access:
    """Users, tokens and audit log of one database; keys are read when they are needed first."""

    def __init__(self, settings: Settings, engine: Engine, *, create: bool = True) -> None:
        self.engine = engine
        self.users = Users(engine)
        self.keys = Keys(engine)
        self._settings = settings
        self._create = create

    @cached_property
    def tokens(self) -> Tokens:
        """Of the API.

        Raises: SettingsError for a key that is missing or weak.
        """
        return Tokens(
            self.engine, secret.signing_secret(self._settings), self._settings.token_expire_minutes, audience=API
        )

    @cached_property
    def audit(self) -> Audit:
        """The audit log.

        Raises: SettingsError for a key that is missing or weak.
        """
        key = secret.audit_key(self._settings, create=self._create)
        anchor = self._settings.audit_anchor or secret.folder(self._settings) / "audit.anchor"
        if self._create:
            try:
                anchor.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            except OSError as cause:
                raise StorageError(f"the anchor cannot be kept: {cause.strerror}", where=str(anchor)) from cause
        return Audit(self.engine, key, anchor)

    def close(self) -> None:
        """Give the connections back."""
        self.engine.dispose()


def open_access(settings: Settings, *, create: bool = True) -> Access:
    """Access to the database the settings point to, its schema up to date.

    Args:
        create: Make folder, database, tables and keys where they are missing. Without it, what is not there reads
            as a database without users.
    Raises: StorageError if the database cannot be used.
    """
    engine = database.open_engine(settings.resolved_database_url)
    if create and settings.database_url is None:
        try:
            settings.results_dir.mkdir(parents=True, exist_ok=True)
        except OSError as cause:
            raise StorageError(
                f"cannot be made: {cause.strerror}",
                where=str(settings.results_dir),
                hint="set RESULTS_DIR to a folder this user can write to",
            ) from cause
    if create or _is_there(engine):
        database.upgrade(engine)
    else:
        engine = _empty()
    return Access(settings, engine, create=create)


def _empty() -> Engine:
    engine = database.open_engine("sqlite://")
    database.metadata.create_all(engine)
    with database.write(engine) as connection:
        connection.execute(insert(audit_head).values(id=1, seq=0, mac=""))
    return engine


def _is_there(engine: Engine) -> bool:
    place = engine.url.database
    if engine.dialect.name == "sqlite" and place and not Path(place).exists():
        return False
    with database.read(engine) as connection:
        return database.revision(connection) is not None
