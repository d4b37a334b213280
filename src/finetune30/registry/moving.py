"""Moving aliases: to a version, back to the one before, away; each move a line of history.

Promises: who expected another place is refused, and of two who expected the same place one wins; what is written
and its line of history are one transaction; a move to where the alias is already is no move.
Neighbours: ``models`` opens the transaction and has looked who asks, ``trail`` says what "before" means.
"""

from __future__ import annotations

from sqlalchemy import Connection, CursorResult, delete, insert, update

from finetune30.database import now
from finetune30.registry import reading, refusals
from finetune30.registry.record import Actor, Alias, Kind, Model
from finetune30.registry.tables import alias_history, model_aliases

_aliases = model_aliases.c


def point(
    connection: Connection, model: Model, alias: str, number: int, by: Actor, expected: int | None, note: str
) -> Alias:
    """Let the alias point at this version.

    Args:
        expected: Number it points at before, 0 for "it is not set"; None: whatever.
    Raises: ModelMissing; RegistryConflict if it points elsewhere than expected.
    """
    reading.version(connection, model, number)
    was = _checked(connection, model, alias, expected)
    if was is None or was.number != number:
        _write(connection, model, alias, was.number if was else None, number, by)
        _note(connection, model, alias, Kind.POINT, was.number if was else None, number, by, note)
    return _now_at(connection, model, alias)


def roll_back(connection: Connection, model: Model, alias: str, by: Actor, expected: int | None, note: str) -> Alias:
    """Let the alias point at the version it was at before; again, and it goes further back.

    Raises: ModelMissing if it never was; RegistryConflict if there is nothing to go back to, or as ``point``.
    """
    was = _checked(connection, model, alias, expected)
    if was is None and not reading.moves(connection, model, alias, before=None, limit=1):
        raise refusals.no_alias(model.name, alias, list(model.aliases))
    number = reading.before(connection, model, alias)
    if number is None:
        raise refusals.nowhere_back(model.name, alias, was.number if was else None)
    _write(connection, model, alias, was.number if was else None, number, by)
    _note(connection, model, alias, Kind.ROLLBACK, was.number if was else None, number, by, note)
    return _now_at(connection, model, alias)


def drop(connection: Connection, model: Model, alias: str, by: Actor, expected: int | None, note: str) -> None:
    """Take the alias away; its history stays, and a rollback brings it back.

    Raises: ModelMissing; RegistryConflict if it points elsewhere than expected.
    """
    was = _checked(connection, model, alias, expected)
    if was is None:
        raise refusals.no_alias(model.name, alias, list(model.aliases))
    here = (_aliases.model_id == model.id, _aliases.alias == alias, _aliases.number == was.number)
    _only_one(connection.execute(delete(model_aliases).where(*here)), model, alias, was.number)
    _note(connection, model, alias, Kind.DROP, was.number, None, by, note)


def _checked(connection: Connection, model: Model, alias: str, expected: int | None) -> Alias | None:
    was = reading.alias(connection, model, alias)
    if expected is not None and (was.number if was else 0) != expected:
        raise refusals.moved(model.name, alias, was.number if was else None, expected)
    return was


def _write(connection: Connection, model: Model, alias: str, was: int | None, number: int, by: Actor) -> None:
    values = {"number": number, "moved_at": now(), "moved_by": by.name}
    if was is None:
        connection.execute(insert(model_aliases).values(model_id=model.id, alias=alias, **values))
        return
    here = (_aliases.model_id == model.id, _aliases.alias == alias, _aliases.number == was)
    _only_one(connection.execute(update(model_aliases).where(*here).values(**values)), model, alias, was)


def _only_one(done: CursorResult[object], model: Model, alias: str, was: int) -> None:
    # The head of the registry lets one in at a time; the statement does not rely on it.
    if done.rowcount != 1:
        raise refusals.moved(model.name, alias, None, was)


def _note(
    connection: Connection, model: Model, alias: str, kind: Kind, was: int | None, to: int | None, by: Actor, note: str
) -> None:
    line = {
        "model_id": model.id,
        "model": model.name,
        "alias": alias,
        "kind": str(kind),
        "from_number": was,
        "to_number": to,
        "moved_at": now(),
        "moved_by": by.name,
        "note": note,
    }
    connection.execute(insert(alias_history).values(line))


def _now_at(connection: Connection, model: Model, alias: str) -> Alias:
    found = reading.alias(connection, model, alias)
    if found is None:
        raise refusals.no_alias(model.name, alias, [])
    return found
