"""Users: made, found, checked, disabled.

Promises: a login is refused in the same words and at the same cost whether the user is unknown, disabled or the
password wrong; whatever must end a user's sessions (password, role, disabling) ends them with the same
transaction; there is no default user and no default password, and the last admin cannot be shut out.
Each change is a transaction of its own, or a part of the ``database.write`` around it.
Neighbours: ``passwords`` hashes, ``tokens`` looks here at each request.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, Engine, exists, insert, select, update

from finetune30 import database
from finetune30.access import passwords
from finetune30.access.record import NAME, USER_ID, Role, User
from finetune30.access.tables import USER_COLUMNS, to_user, users
from finetune30.database import now
from finetune30.errors import LoginRefused, NotFound, StateError, UserInvalid

_ADMINS = "finetune30 admins"


class Users:
    """All users of one database."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def add(self, name: str, role: Role, password: str) -> User:
        """Make a user.

        Raises: UserInvalid for a name or password no user may have; StateError if the name is taken.
        """
        _check_name(name)
        hashed = passwords.hash_password(password)
        with database.write(self._engine) as connection:
            database.one_at_a_time(connection, f"finetune30 user {name}")
            if connection.scalar(select(exists().where(users.c.name == name))):
                raise StateError(f"there is a user {name} already", hint="choose another name; none is given twice")
            values = {"id": f"u_{secrets.token_hex(8)}", "name": name, "role": str(role), "created_at": now()}
            made = insert(users).values(**values, password_hash=hashed).returning(*USER_COLUMNS)
            return to_user(connection.execute(made).one())

    def make_first_admin(self) -> tuple[User, str] | None:
        """A user ``admin`` with a random password, which is told here and never again; None if there are users.

        Of several processes at once one makes it.
        """
        password = secrets.token_urlsafe(18)
        with database.write(self._engine) as connection:
            database.one_at_a_time(connection, _ADMINS)
            if connection.scalar(select(exists().where(users.c.id.is_not(None)))):
                return None
            return self.add("admin", Role.ADMIN, password), password

    def find(self, name_or_id: str) -> User | None:
        """The user with this name or id; None where there is none."""
        column = users.c.id if USER_ID.fullmatch(name_or_id) else users.c.name
        if not NAME.fullmatch(name_or_id):  # a database may not even take such a string
            return None
        with database.read(self._engine) as connection:
            row = connection.execute(select(*USER_COLUMNS).where(column == name_or_id)).first()
        return None if row is None else to_user(row)

    def get(self, name_or_id: str) -> User:
        """The user with this name or id.

        Raises: NotFound.
        """
        found = self.find(name_or_id)
        if found is None:
            raise NotFound("there is no such user", hint="see: finetune30 user list")
        return found

    def all(self) -> list[User]:
        """All users by name, the disabled ones too."""
        with database.read(self._engine) as connection:
            rows = connection.execute(select(*USER_COLUMNS)).all()
        return sorted(map(to_user, rows), key=lambda user: user.name)

    def any_admin(self) -> bool:
        """Whether somebody can do everything."""
        with database.read(self._engine) as connection:
            return bool(connection.scalar(select(exists().where(*_able_admin()))))

    def verify(self, name: str, password: str) -> User:
        """The user who has this name and password.

        Raises: LoginRefused, the same for a wrong password and for users that are unknown or disabled; Busy.
        """
        row = None
        if NAME.fullmatch(name):
            with database.read(self._engine) as connection:
                wanted = select(*USER_COLUMNS, users.c.password_hash).where(users.c.name == name)
                row = connection.execute(wanted).first()
        right = passwords.is_password(password, passwords.NOBODY if row is None else row.password_hash)
        if row is None or not right or row.disabled:
            raise LoginRefused("name or password is wrong")
        return to_user(row)

    def set_password(self, user_id: str, password: str) -> User:
        """Change the password; all sessions of this user end.

        Raises: UserInvalid; NotFound; Busy.
        """
        return self._change(user_id, {"password_hash": passwords.hash_password(password)})

    def disable(self, user_id: str) -> User:
        """Let this user in no more; all their sessions end, what they own stays.

        Raises: NotFound; StateError for the last admin.
        """
        return self._change(user_id, {"disabled": True})

    def enable(self, user_id: str) -> User:
        """Let a disabled user in again; old sessions stay ended.

        Raises: NotFound.
        """
        return self._change(user_id, {"disabled": False})

    def set_role(self, user_id: str, role: Role) -> User:
        """Change what this user may do; all their sessions end.

        Raises: NotFound; StateError for the last admin.
        """
        return self._change(user_id, {"role": str(role)})

    def _change(self, user_id: str, values: Mapping[str, Any]) -> User:
        changed = update(users).where(users.c.id == user_id).returning(*USER_COLUMNS)
        with database.write(self._engine) as connection:
            database.one_at_a_time(connection, _ADMINS)
            admins = _admins(connection)
            row = connection.execute(changed.values(**values, token_version=users.c.token_version + 1)).first()
            if row is None:
                raise NotFound("there is no such user", hint="see: finetune30 user list")
            if admins and not _admins(connection):
                raise StateError(f"{row.name} is the last admin", hint="make another one first, then do this again")
            return to_user(row)


def _admins(connection: Connection) -> int:
    return len(connection.execute(select(users.c.id).where(*_able_admin()).limit(2)).all())


def _able_admin() -> tuple[Any, ...]:
    return (users.c.role == str(Role.ADMIN), users.c.disabled.is_(False))


def _check_name(name: str) -> None:
    if name == "me":  # what one calls oneself, as in owner=me
        raise UserInvalid("no user may be called me, it means whoever asks", where="name", hint="choose another name")
    if not NAME.fullmatch(name) or USER_ID.fullmatch(name):
        raise UserInvalid(
            "this is no name for a user, expected 1 to 64 of a-z, 0-9 and . _ @ + -, a letter or digit first",
            where="name",
            hint="such as ana, wang.xiaoming or ana@example.org; capital letters are not used",
        )
