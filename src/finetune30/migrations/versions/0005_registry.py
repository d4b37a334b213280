"""registry: models, their versions and aliases, the history of the aliases, a counter of changes."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_NEVER = "rows of the history of aliases are never changed or deleted"
# REPLACE deletes without firing a trigger on DELETE, hence the one on INSERT.
_SQLITE = (
    ("alias_history_update", "UPDATE ON alias_history"),
    ("alias_history_delete", "DELETE ON alias_history"),
    (
        "alias_history_insert",
        "INSERT ON alias_history WHEN EXISTS (SELECT 1 FROM alias_history WHERE seq = NEW.seq)",
    ),
)
_POSTGRESQL = (
    "CREATE FUNCTION alias_history_refuse() RETURNS trigger LANGUAGE plpgsql AS "
    f"$$ BEGIN RAISE EXCEPTION '{_NEVER}'; END $$",
    "CREATE TRIGGER alias_history_change BEFORE UPDATE OR DELETE ON alias_history "
    "FOR EACH ROW EXECUTE FUNCTION alias_history_refuse()",
    "CREATE TRIGGER alias_history_truncate BEFORE TRUNCATE ON alias_history "
    "FOR EACH STATEMENT EXECUTE FUNCTION alias_history_refuse()",
)


def upgrade() -> None:
    op.create_table(
        "models",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("visibility", sa.String(16), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("last_number", sa.Integer(), nullable=False, server_default="0"),
        sa.PrimaryKeyConstraint("id", name="pk_models"),
        sa.UniqueConstraint("name", name="uq_models_name"),
        sa.CheckConstraint("visibility IN ('private', 'team')", name=op.f("ck_models_visibility")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "model_versions",
        sa.Column("model_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("experiment_id", sa.String(80), nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("files", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("registered_at", sa.Double(), nullable=False),
        sa.Column("registered_by", sa.Text(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("model_id", "number", name="pk_model_versions"),
        sa.ForeignKeyConstraint(
            ["model_id"], ["models.id"], name="fk_model_versions_model_id_models", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["experiment_id"],
            ["experiments.id"],
            name="fk_model_versions_experiment_id_experiments",
            ondelete="RESTRICT",
        ),
    )
    op.create_index("ix_model_versions_experiment_id", "model_versions", ["experiment_id"])
    op.create_index("uq_model_versions_model_id", "model_versions", ["model_id", "experiment_id"], unique=True)
    op.create_table(
        "model_aliases",
        sa.Column("model_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("alias", sa.String(64), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("moved_at", sa.Double(), nullable=False),
        sa.Column("moved_by", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("model_id", "alias", name="pk_model_aliases"),
        sa.ForeignKeyConstraint(
            ["model_id", "number"],
            ["model_versions.model_id", "model_versions.number"],
            name="fk_model_aliases_model_id_model_versions",
            ondelete="RESTRICT",
        ),
    )
    op.create_table(
        "alias_history",
        sa.Column("seq", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("model_id", sa.Integer(), nullable=False),
        sa.Column("model", sa.String(64), nullable=False),
        sa.Column("alias", sa.String(64), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("from_number", sa.Integer()),
        sa.Column("to_number", sa.Integer()),
        sa.Column("moved_at", sa.Double(), nullable=False),
        sa.Column("moved_by", sa.Text(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name="pk_alias_history"),
        sa.CheckConstraint("kind IN ('point', 'rollback', 'drop')", name=op.f("ck_alias_history_kind")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_alias_history_model_id", "alias_history", ["model_id", "alias", "seq"])
    head = op.create_table(
        "registry_head",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("changes", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_registry_head"),
        sa.CheckConstraint("id = 1", name=op.f("ck_registry_head_one")),
    )
    op.bulk_insert(head, [{"id": 1, "changes": 0}])
    if op.get_bind().dialect.name == "postgresql":
        for statement in _POSTGRESQL:
            op.execute(statement)
        return
    for name, event in _SQLITE:
        op.execute(f"CREATE TRIGGER {name} BEFORE {event} BEGIN SELECT RAISE(ABORT, '{_NEVER}'); END")


def downgrade() -> None:
    for table in ("registry_head", "alias_history", "model_aliases", "model_versions", "models"):
        op.drop_table(table)
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION alias_history_refuse()")
