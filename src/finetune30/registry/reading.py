"""Reading the registry: statements within whatever transaction asks.

Neighbours: ``models`` and ``moving`` call these, before and after a change as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, Select, exists, func, or_, select

from finetune30.experiments.tables import experiments
from finetune30.registry import refusals, trail
from finetune30.registry.record import Actor, Alias, Kind, Model, Move, Version, Visibility
from finetune30.registry.tables import alias_history, model_aliases, model_versions, models, registry_head

_versions, _aliases, _moves, _runs = model_versions.c, model_aliases.c, alias_history.c, experiments.c


def changes(connection: Connection) -> int:
    """How often anything was changed; 0 for a registry that is not there yet."""
    return int(connection.scalar(select(registry_head.c.changes)) or 0)


def find(connection: Connection, name: str) -> Model | None:
    """The model of this name; None where there is none."""
    found = _models(connection, select(models).where(models.c.name == name))
    return found[0] if found else None


def named(connection: Connection, names: Sequence[str]) -> list[Model]:
    """The models of these names, those that there are."""
    return _models(connection, select(models).where(models.c.name.in_(names)))


def existing(connection: Connection, name: str) -> Model:
    """The model of this name.

    Raises: ModelMissing; its hint names models that look alike.
    """
    found = find(connection, name)
    if found is None:
        known = connection.scalars(select(models.c.name).order_by(models.c.name).limit(1000)).all()
        raise refusals.no_model(name, known)
    return found


def readable(connection: Connection, name: str, by: Actor | None) -> Model:
    """The model, if ``by`` may see it; None is the house itself.

    Raises: ModelMissing, Forbidden.
    """
    found = existing(connection, name)
    if by is not None and not found.may_read(by):
        raise refusals.not_yours(name)
    return found


def changeable(connection: Connection, name: str, by: Actor) -> Model:
    """The model, if ``by`` may change it.

    Raises: ModelMissing, Forbidden.
    """
    found = existing(connection, name)
    if not found.may_change(by):
        raise refusals.not_yours(name)
    return found


def listed(
    connection: Connection,
    *,
    by: Actor | None,
    owner: str | None,
    name: str | None,
    experiment_id: str | None,
    dataset_hash: str | None,
    after: str | None,
    limit: int | None,
) -> list[Model]:
    """Models by name, those that ``by`` may see."""
    wanted = select(models).order_by(models.c.name).limit(limit)
    if by is not None and not by.everything:
        wanted = wanted.where(or_(models.c.owner == by.name, models.c.visibility == str(Visibility.TEAM)))
    if owner is not None:
        wanted = wanted.where(models.c.owner == owner)
    if name is not None:
        wanted = wanted.where(models.c.name.contains(name.lower(), autoescape=True))
    if after is not None:
        wanted = wanted.where(models.c.name > after)
    if experiment_id is not None:
        wanted = wanted.where(
            exists().where(_versions.model_id == models.c.id, _versions.experiment_id == experiment_id)
        )
    if dataset_hash is not None:
        same = (
            _versions.model_id == models.c.id,
            _versions.experiment_id == _runs.id,
            _runs.dataset_hash == dataset_hash,
        )
        wanted = wanted.where(exists().where(*same))
    return _models(connection, wanted)


def versions(
    connection: Connection, model: Model, *, before: int | None = None, limit: int | None = None
) -> list[Version]:
    """The model's versions, the newest first."""
    wanted = _select_versions().where(_versions.model_id == model.id)
    if before is not None:
        wanted = wanted.where(_versions.number < before)
    rows = connection.execute(wanted.order_by(_versions.number.desc()).limit(limit)).all()
    return [_version(row, model) for row in rows]


def version(connection: Connection, model: Model, number: int) -> Version:
    """One version.

    Raises: ModelMissing.
    """
    wanted = _select_versions().where(_versions.model_id == model.id, _versions.number == number)
    row = connection.execute(wanted).first()
    if row is None:
        raise refusals.no_version(model.name, number, numbers(connection, model))
    return _version(row, model)


def numbers(connection: Connection, model: Model) -> Sequence[int]:
    """Numbers of the versions there are, ascending."""
    wanted = select(_versions.number).where(_versions.model_id == model.id)
    return connection.scalars(wanted.order_by(_versions.number)).all()


def files(connection: Connection, model: Model, number: int) -> dict[str, Any]:
    """The manifest of a version that exists."""
    wanted = select(_versions.files).where(_versions.model_id == model.id, _versions.number == number)
    return dict(connection.execute(wanted).scalar_one())


def alias(connection: Connection, model: Model, name: str) -> Alias | None:
    """Where the alias points; None where it is not set."""
    wanted = select(model_aliases).where(_aliases.model_id == model.id, _aliases.alias == name)
    row = connection.execute(wanted).first()
    if row is None:
        return None
    back = before(connection, model, name)
    return Alias(model.name, name, row.number, row.moved_at, row.moved_by, back)


def before(connection: Connection, model: Model, name: str) -> int | None:
    """Where a rollback would take the alias."""
    wanted = select(_moves.kind, _moves.to_number).where(_moves.model_id == model.id, _moves.alias == name)
    rows = connection.execute(wanted.order_by(_moves.seq)).all()
    return trail.before(trail.trail_of((row.kind, row.to_number) for row in rows), set(numbers(connection, model)))


def moves(
    connection: Connection, model: Model, name: str | None, *, before: int | None, limit: int | None
) -> list[Move]:
    """What happened to one alias or to all, the newest first."""
    wanted = select(alias_history).where(_moves.model_id == model.id)
    if name is not None:
        wanted = wanted.where(_moves.alias == name)
    if before is not None:
        wanted = wanted.where(_moves.seq < before)
    rows = connection.execute(wanted.order_by(_moves.seq.desc()).limit(limit)).mappings()
    return [
        Move(**{key: value for key, value in row.items() if key not in ("model_id", "kind")}, kind=Kind(row["kind"]))
        for row in rows
    ]


def of_experiment(connection: Connection, experiment_id: str) -> list[str]:
    """Addresses under which an experiment is registered."""
    return _addresses(connection, _versions.experiment_id == experiment_id)


def of_data(connection: Connection, dataset_hash: str, by: Actor | None) -> list[str]:
    """Addresses of all versions that were trained on these rows and that ``by`` may see."""
    wanted = [_versions.experiment_id == _runs.id, _runs.dataset_hash == dataset_hash]
    if by is not None and not by.everything:
        wanted.append(or_(models.c.owner == by.name, models.c.visibility == str(Visibility.TEAM)))
    return _addresses(connection, *wanted)


def _addresses(connection: Connection, *wanted: Any) -> list[str]:
    found = select(models.c.name, _versions.number).where(models.c.id == _versions.model_id, *wanted)
    rows = connection.execute(found.order_by(models.c.name, _versions.number)).all()
    return [f"{row.name}/{row.number}" for row in rows]


def _models(connection: Connection, wanted: Select[Any]) -> list[Model]:
    rows = connection.execute(wanted).all()
    ids = [row.id for row in rows]
    counted = select(_versions.model_id, func.count(), func.max(_versions.number)).where(_versions.model_id.in_(ids))
    counts = {row[0]: (row[1], row[2]) for row in connection.execute(counted.group_by(_versions.model_id))}
    pointing: dict[int, dict[str, int]] = {}
    named = select(_aliases.model_id, _aliases.alias, _aliases.number).where(_aliases.model_id.in_(ids))
    for row in connection.execute(named.order_by(_aliases.alias)):
        pointing.setdefault(row.model_id, {})[row.alias] = row.number
    return [_model(row, *counts.get(row.id, (0, None)), pointing.get(row.id, {})) for row in rows]


def _model(row: Row[Any], count: int, latest: int | None, aliases: dict[str, int]) -> Model:
    return Model(
        id=row.id,
        name=row.name,
        owner=row.owner,
        visibility=Visibility(row.visibility),
        description=row.description,
        created_at=row.created_at,
        versions=count,
        latest=latest,
        aliases=aliases,
    )


def _select_versions() -> Select[Any]:
    return select(
        _versions.number,
        _versions.experiment_id,
        _versions.sha256,
        _versions.registered_at,
        _versions.registered_by,
        _versions.note,
        _runs.base_model,
        _runs.config["model"]["revision"].as_string().label("base_revision"),
        _runs.dataset,
        _runs.dataset_hash,
        _runs.eval_accuracy,
    ).join(experiments, _runs.id == _versions.experiment_id)


def _version(row: Row[Any], model: Model) -> Version:
    pointing = tuple(alias for alias, number in model.aliases.items() if number == row.number)
    return Version(model=model.name, aliases=pointing, **row._mapping)
