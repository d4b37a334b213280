"""experiments and attempts: the row is the job, every attempt keeps its line."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_JSON = sa.JSON(none_as_null=True)
# Sorted by code point on both databases, whatever the server's language.
_KEY = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_STATES = "'PENDING', 'STARTED', 'SUCCESS', 'FAILURE', 'REVOKED'"


def upgrade() -> None:
    op.create_table(
        "experiments",
        sa.Column("id", sa.String(80), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("name_key", _KEY, nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("paused", sa.Boolean(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("config", _JSON, nullable=False),
        sa.Column("fingerprint", sa.String(64), nullable=False),
        sa.Column("base_model", sa.Text(), nullable=False),
        sa.Column("dataset", sa.Text(), nullable=False),
        sa.Column("dataset_hash", sa.Text()),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("started_at", sa.Double()),
        sa.Column("finished_at", sa.Double()),
        sa.Column("lease_owner", sa.Text()),
        sa.Column("lease_expires_at", sa.Double()),
        sa.Column("cancel_requested", sa.Boolean(), nullable=False),
        sa.Column("progress", _JSON),
        sa.Column("error", _JSON),
        sa.Column("metrics", _JSON),
        sa.Column("train_runtime", sa.Double()),
        sa.Column("eval_accuracy", sa.Double()),
        sa.Column("resumed_from", sa.String(80)),
        sa.PrimaryKeyConstraint("id", name="pk_experiments"),
        sa.CheckConstraint(f"status IN ({_STATES})", name=op.f("ck_experiments_status")),
    )
    op.create_index("ix_experiments_created_at", "experiments", ["created_at"])
    op.create_index("ix_experiments_status", "experiments", ["status"])
    op.create_table(
        "attempts",
        sa.Column("experiment_id", sa.String(80), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("worker", sa.Text(), nullable=False),
        sa.Column("started_at", sa.Double(), nullable=False),
        sa.Column("ended_at", sa.Double()),
        sa.Column("outcome", sa.String(16)),
        sa.PrimaryKeyConstraint("experiment_id", "attempt", name="pk_attempts"),
        sa.ForeignKeyConstraint(
            ["experiment_id"],
            ["experiments.id"],
            name="fk_attempts_experiment_id_experiments",
            ondelete="CASCADE",
        ),
    )


def downgrade() -> None:
    op.drop_table("attempts")
    op.drop_table("experiments")
