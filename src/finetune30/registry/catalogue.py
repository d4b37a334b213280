"""The registry for who only looks: models, versions, aliases, their history, addresses, cards, lineage.

Promise: nobody sees what is another user's and private; a look changes nothing and makes no writer wait.
Neighbours: ``models`` adds the changes, ``reading`` holds the statements, ``resolving`` says what an address means.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import Engine

from finetune30 import database
from finetune30.registry import marking, reading, refusals, resolving
from finetune30.registry.manifest import Files
from finetune30.registry.record import Actor, Alias, Model, Move, Resolved, Version, checked_alias


class Catalogue:
    """All models of one database.

    ``by`` says who asks, everywhere; left out it is the house itself, which may read everything.

    Args:
        engine: Of a database whose schema is up to date.
        results_dir: Where the files of experiments lie.
    """

    def __init__(self, engine: Engine, results_dir: Path) -> None:
        self._engine = engine
        self._results_dir = results_dir

    def changes(self) -> int:
        """A number that grows with every change: who follows aliases asks this, one tiny query, and no more."""
        with database.read(self._engine) as connection:
            return reading.changes(connection)

    def marks(self, addresses: Sequence[str]) -> list[object]:
        """Of each address what differs when it means another thing, files left out; None where nothing is there.

        Raises: BadInput for what is no address.
        """
        with database.read(self._engine) as connection:
            return marking.marks(connection, addresses)

    def show(self, name: str, by: Actor | None = None) -> Model:
        """One model.

        Raises: NotFound; Forbidden.
        """
        with database.read(self._engine) as connection:
            return reading.readable(connection, name, by)

    def list(
        self,
        by: Actor | None = None,
        *,
        owner: str | None = None,
        name: str | None = None,
        experiment_id: str | None = None,
        dataset_hash: str | None = None,
        after: str | None = None,
        limit: int | None = None,
    ) -> Sequence[Model]:
        """Models by name, those that ``by`` may see.

        Args:
            name: Part of the name.
            experiment_id: Only those that have this experiment as a version.
            dataset_hash: Only those with a version that was trained on these rows.
            after: The last name of the page before.
        """
        with database.read(self._engine) as connection:
            return reading.listed(
                connection,
                by=by,
                owner=owner,
                name=name,
                experiment_id=experiment_id,
                dataset_hash=dataset_hash,
                after=after,
                limit=limit,
            )

    def versions(
        self, name: str, by: Actor | None = None, *, before: int | None = None, limit: int | None = None
    ) -> Sequence[Version]:
        """A model's versions, the newest first.

        Args:
            before: The last number of the page before.
        Raises: NotFound; Forbidden.
        """
        with database.read(self._engine) as connection:
            return reading.versions(connection, reading.readable(connection, name, by), before=before, limit=limit)

    def version(self, name: str, number: int, by: Actor | None = None) -> Version:
        """One version.

        Raises: NotFound; Forbidden.
        """
        with database.read(self._engine) as connection:
            return reading.version(connection, reading.readable(connection, name, by), number)

    def files(self, name: str, number: int, by: Actor | None = None) -> Files:
        """The files of a version, as they were when it was registered.

        Raises: NotFound; Forbidden.
        """
        with database.read(self._engine) as connection:
            model = reading.readable(connection, name, by)
            return reading.files(connection, model, reading.version(connection, model, number).number)

    def alias(self, name: str, alias: str, by: Actor | None = None) -> Alias:
        """Where an alias points.

        Raises: NotFound; Forbidden; BadInput.
        """
        alias = checked_alias(alias)
        with database.read(self._engine) as connection:
            model = reading.readable(connection, name, by)
            found = reading.alias(connection, model, alias)
            if found is None:
                raise refusals.no_alias(name, alias, list(model.aliases))
            return found

    def history(
        self,
        name: str,
        alias: str | None = None,
        by: Actor | None = None,
        *,
        before: int | None = None,
        limit: int | None = None,
    ) -> Sequence[Move]:
        """Every move of an alias, or of all of the model's, the newest first; dropped ones too.

        Args:
            before: The last ``seq`` of the page before.
        Raises: NotFound; Forbidden; BadInput.
        """
        alias = None if alias is None else checked_alias(alias)
        with database.read(self._engine) as connection:
            model = reading.readable(connection, name, by)
            return reading.moves(connection, model, alias, before=before, limit=limit)

    def resolve(self, address: str, by: Actor | None = None) -> Resolved:
        """What an address means just now.

        Args:
            address: ``name@alias``, ``name/3``, either behind ``models:/``, or an experiment's id.
        Raises: BadInput, NotFound, Forbidden; StateError for an experiment without a whole model.
        """
        with database.read(self._engine) as connection:
            return resolving.resolve(connection, self._results_dir, address, by)

    def card(self, name: str, number: int, by: Actor | None = None) -> str:
        """The model card of a version, as Markdown.

        Raises: NotFound; Forbidden; StateError if the file is gone.
        """
        return resolving.card(self._results_dir, self.version(name, number, by))

    def lineage(self, name: str, number: int, by: Actor | None = None) -> dict[str, Any]:
        """Which run on which data and which base a version is, and who else was trained on the same rows.

        Raises: NotFound; Forbidden.
        """
        with database.read(self._engine) as connection:
            model = reading.readable(connection, name, by)
            return resolving.lineage(connection, model, reading.version(connection, model, number), by)

    def refuse_registered(self, experiment_id: str) -> None:
        """Say under which names an experiment is registered, before somebody deletes it.

        Raises: StateError. The database would refuse as well, without a name.
        """
        with database.read(self._engine) as connection:
            if addresses := reading.of_experiment(connection, experiment_id):
                raise refusals.registered(experiment_id, addresses)
