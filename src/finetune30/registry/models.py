"""Models, their versions and aliases: registered, moved, rolled back, unregistered.

Promises: only a successful experiment whose files are whole becomes a version, and it cannot be deleted while it is
one; a number is given once; changes come one by one, each is counted, and who asked may do it. The same behaviour
on SQLite and PostgreSQL. Each change is a transaction of its own, or a part of the ``database.write`` around it.
Neighbours: ``catalogue`` is the reading half, ``moving`` holds the statements for aliases.
"""

from __future__ import annotations

from sqlalchemy import Connection, delete, exists, insert, select, update

from finetune30 import database
from finetune30.database import now
from finetune30.errors import NotFound
from finetune30.experiments.tables import experiments
from finetune30.registry import moving, reading, refusals, resolving
from finetune30.registry.catalogue import Catalogue
from finetune30.registry.record import (
    Actor,
    Alias,
    Candidate,
    Model,
    Version,
    Visibility,
    checked_alias,
    checked_name,
    checked_text,
)
from finetune30.registry.tables import model_versions, models, registry_head


class Models(Catalogue):
    """The registry of one database, to read and to change."""

    def candidate(self, experiment_id: str, by: Actor | None = None) -> Candidate:
        """The experiment's files, every byte looked at: what ``register`` wants. Takes as long as reading them.

        Raises: NotFound, Forbidden; StateError if it has not succeeded or its files are not whole.
        """
        with database.read(self._engine) as connection:
            found = resolving.successful(connection, experiment_id, by)
        return resolving.candidate(self._results_dir, found.id)

    def register(
        self,
        name: str,
        candidate: Candidate,
        by: Actor,
        *,
        alias: str | None = None,
        note: str = "",
        description: str | None = None,
        visibility: Visibility | None = None,
    ) -> Version:
        """Make the candidate the model's next version; a name that is new becomes a model of ``by``.

        Args:
            alias: Moved to the new version at once.
            description: Of the model; None leaves what there is.
            visibility: Of the model; None leaves what there is, a new one is private.
        Raises: BadInput; Forbidden; NotFound if the experiment was deleted meanwhile; StateError if it is a
            version of this model already.
        """
        name, note = checked_name(name), checked_text(note, "note")
        alias = None if alias is None else checked_alias(alias)
        with database.write(self._engine) as connection:
            _take_turn(connection)
            model = self._made(connection, name, by)
            self._edit(connection, model, description, visibility)
            number = self._add(connection, model, candidate, by, note)
            if alias is not None:
                moving.point(connection, model, alias, number, by, None, note)
            return reading.version(connection, reading.existing(connection, name), number)

    def edit(
        self, name: str, by: Actor, *, description: str | None = None, visibility: Visibility | None = None
    ) -> Model:
        """Change what a model says of itself, and who may see it.

        Raises: NotFound; Forbidden; BadInput.
        """
        with database.write(self._engine) as connection:
            _take_turn(connection)
            self._edit(connection, reading.changeable(connection, name, by), description, visibility)
            return reading.existing(connection, name)

    def point(
        self, name: str, alias: str, number: int, by: Actor, *, expected: int | None = None, note: str = ""
    ) -> Alias:
        """Let an alias point at a version.

        Args:
            expected: Number it must point at before, 0 for "it is not set"; None: whatever.
        Raises: NotFound; Forbidden; BadInput; StateError if it points elsewhere than expected.
        """
        alias, note = checked_alias(alias), checked_text(note, "note")
        with database.write(self._engine) as connection:
            _take_turn(connection)
            model = reading.changeable(connection, name, by)
            return moving.point(connection, model, alias, number, by, expected, note)

    def rollback(self, name: str, alias: str, by: Actor, *, expected: int | None = None, note: str = "") -> Alias:
        """Let an alias point at the version it was at before; again, and it goes further back.

        Versions that were unregistered meanwhile are passed over; one that was dropped comes back.

        Raises: as ``point``; StateError too if there is nothing to go back to.
        """
        alias, note = checked_alias(alias), checked_text(note, "note")
        with database.write(self._engine) as connection:
            _take_turn(connection)
            model = reading.changeable(connection, name, by)
            return moving.roll_back(connection, model, alias, by, expected, note)

    def drop(self, name: str, alias: str, by: Actor, *, expected: int | None = None, note: str = "") -> None:
        """Take an alias away; its history stays.

        Raises: as ``point``.
        """
        alias, note = checked_alias(alias), checked_text(note, "note")
        with database.write(self._engine) as connection:
            _take_turn(connection)
            moving.drop(connection, reading.changeable(connection, name, by), alias, by, expected, note)

    def unregister(self, name: str, number: int, by: Actor) -> None:
        """Take a version away; the experiment stays, and the number is not given again.

        Raises: NotFound; Forbidden; StateError while an alias points at it.
        """
        with database.write(self._engine) as connection:
            _take_turn(connection)
            model = reading.changeable(connection, name, by)
            version = reading.version(connection, model, number)
            if version.aliases:
                raise refusals.still_aliased(version.address, version.aliases)
            this = (model_versions.c.model_id == model.id, model_versions.c.number == number)
            connection.execute(delete(model_versions).where(*this))

    def delete(self, name: str, by: Actor, *, force: bool = False) -> None:
        """Forget a model and its versions; experiments and the history of its aliases stay.

        Args:
            force: Drop its aliases first; without it one that has any is kept.
        Raises: NotFound; Forbidden; StateError while an alias points at a version.
        """
        with database.write(self._engine) as connection:
            _take_turn(connection)
            model = reading.changeable(connection, name, by)
            if model.aliases and not force:
                raise refusals.still_aliased(name, model.aliases)
            for alias in model.aliases:
                moving.drop(connection, model, alias, by, None, "the model was deleted")
            connection.execute(delete(models).where(models.c.id == model.id))

    def _made(self, connection: Connection, name: str, by: Actor) -> Model:
        if reading.find(connection, name) is not None:
            return reading.changeable(connection, name, by)
        values = {"name": name, "owner": by.name, "visibility": str(Visibility.PRIVATE), "created_at": now()}
        connection.execute(insert(models).values(**values))
        return reading.existing(connection, name)

    def _edit(
        self, connection: Connection, model: Model, description: str | None, visibility: Visibility | None
    ) -> None:
        values = {} if description is None else {"description": checked_text(description, "description")}
        if visibility is not None:
            values["visibility"] = str(Visibility(visibility))
        if values:
            connection.execute(update(models).where(models.c.id == model.id).values(**values))

    def _add(self, connection: Connection, model: Model, candidate: Candidate, by: Actor, note: str) -> int:
        experiment_id, versions = candidate.experiment_id, model_versions.c
        if not connection.scalar(select(exists().where(experiments.c.id == experiment_id))):
            raise NotFound("the experiment was deleted meanwhile", hint="see: finetune30 runs list")
        mine = (versions.model_id == model.id, versions.experiment_id == experiment_id)
        if (number := connection.scalar(select(versions.number).where(*mine))) is not None:
            raise refusals.registered_already(experiment_id, f"{model.name}/{number}")
        next_number = update(models).where(models.c.id == model.id).values(last_number=models.c.last_number + 1)
        number = connection.execute(next_number.returning(models.c.last_number)).scalar_one()
        values = {
            "model_id": model.id,
            "number": number,
            "experiment_id": experiment_id,
            "sha256": candidate.sha256,
            "files": dict(candidate.files),
            "registered_at": now(),
            "registered_by": by.name,
            "note": note,
        }
        connection.execute(insert(model_versions).values(**values))
        return int(number)


def _take_turn(connection: Connection) -> None:
    """Count a change. The row stays locked until the transaction ends: what is read from here on does not move."""
    if connection.execute(update(registry_head).values(changes=registry_head.c.changes + 1)).rowcount == 0:
        connection.execute(insert(registry_head).values(id=1, changes=1))
