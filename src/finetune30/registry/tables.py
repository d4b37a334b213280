"""The tables of the registry; ``migrations`` makes them and the triggers of the history.

A model's name may be given again after it was deleted, its id is not: what was noted of the old one stays apart.
Neighbours: only this room's statements read this.
"""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    CheckConstraint,
    Column,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    String,
    Table,
    Text,
)

from finetune30.database import metadata
from finetune30.experiments.tables import experiments
from finetune30.registry.record import Kind, Visibility

models = Table(
    "models",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("name", String(64), nullable=False, unique=True),
    Column("owner", Text, nullable=False),
    Column("visibility", String(16), nullable=False),
    Column("description", Text, nullable=False, default=""),
    Column("created_at", Double, nullable=False),
    Column("last_number", Integer, nullable=False, default=0, server_default="0"),  # no number is given twice
    CheckConstraint(f"visibility IN ({', '.join(repr(str(one)) for one in Visibility)})", name="visibility"),
    sqlite_autoincrement=True,
)

model_versions = Table(
    "model_versions",
    metadata,
    Column("model_id", Integer, ForeignKey("models.id", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    Column("number", Integer, primary_key=True, autoincrement=False),
    # RESTRICT: the database itself refuses to forget an experiment that is registered.
    Column("experiment_id", String(80), ForeignKey(experiments.c.id, ondelete="RESTRICT"), nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("files", JSON(none_as_null=True), nullable=False),
    Column("registered_at", Double, nullable=False),
    Column("registered_by", Text, nullable=False),
    Column("note", Text, nullable=False, default=""),
    Index("ix_model_versions_experiment_id", "experiment_id"),
    Index("uq_model_versions_model_id", "model_id", "experiment_id", unique=True),
)

model_aliases = Table(
    "model_aliases",
    metadata,
    Column("model_id", Integer, primary_key=True, autoincrement=False),
    Column("alias", String(64), primary_key=True),
    Column("number", Integer, nullable=False),
    Column("moved_at", Double, nullable=False),
    Column("moved_by", Text, nullable=False),
    # RESTRICT: nothing an alias points at goes away.
    ForeignKeyConstraint(
        ["model_id", "number"],
        ["model_versions.model_id", "model_versions.number"],
        name="fk_model_aliases_model_id_model_versions",
        ondelete="RESTRICT",
    ),
)

# No foreign keys: what was done stays, whatever goes.
alias_history = Table(
    "alias_history",
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=True),
    Column("model_id", Integer, nullable=False),
    Column("model", String(64), nullable=False),
    Column("alias", String(64), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("from_number", Integer),
    Column("to_number", Integer),
    Column("moved_at", Double, nullable=False),
    Column("moved_by", Text, nullable=False),
    Column("note", Text, nullable=False),
    CheckConstraint(f"kind IN ({', '.join(repr(str(one)) for one in Kind)})", name="kind"),
    Index("ix_alias_history_model_id", "model_id", "alias", "seq"),
    sqlite_autoincrement=True,
)

# One row: how often anything here was changed. Who changes something takes it first, so changes come one by one.
registry_head = Table(
    "registry_head",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("changes", Integer, nullable=False),
    CheckConstraint("id = 1", name="one"),
)
