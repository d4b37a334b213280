"""jobs: queues, counted failures, pauses, bells, idempotent submission; events; living workers."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_JSON = sa.JSON(none_as_null=True)


def upgrade() -> None:
    for column in (
        sa.Column("continues", sa.Boolean(), nullable=False, server_default=sa.false()),
        sa.Column("queue", sa.Text(), nullable=False, server_default="train"),
        sa.Column("priority", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("devices", sa.Integer(), nullable=False, server_default="1"),
        sa.Column("failures", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("max_runtime_s", sa.Double()),
        sa.Column("not_before", sa.Double()),
        sa.Column("pause_requested", sa.Boolean(), nullable=False, server_default=sa.false()),
        sa.Column("ring_at", sa.Double()),
        sa.Column("rings", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("idempotency_key", sa.Text()),
        sa.Column("submission", sa.String(64)),
    ):
        op.add_column("experiments", column)
    # Whoever made a new row of an ended one went on from its checkpoints until now.
    op.execute("UPDATE experiments SET continues = (resumed_from IS NOT NULL)")
    # There was no queue: what waits was left by a person, and no worker may take it by itself.
    rows = sa.table("experiments", sa.column("paused", sa.Boolean()), sa.column("status", sa.String()))
    op.execute(sa.update(rows).where(rows.c.status == "PENDING").values(paused=True))
    op.create_index("ix_experiments_owner", "experiments", ["owner", "status", "started_at"])
    op.create_index("uq_experiments_owner_idempotency_key", "experiments", ["owner", "idempotency_key"], unique=True)
    op.add_column("attempts", sa.Column("error", _JSON))
    op.create_table(
        "events",
        sa.Column("number", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("experiment_id", sa.String(80), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("status", sa.String(16)),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("step", sa.Integer()),
        sa.PrimaryKeyConstraint("number", name="pk_events"),
        sa.ForeignKeyConstraint(
            ["experiment_id"], ["experiments.id"], name="fk_events_experiment_id_experiments", ondelete="CASCADE"
        ),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_events_experiment_id", "events", ["experiment_id", "number"])
    op.create_table(
        "workers",
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("slots", sa.Integer(), nullable=False),
        sa.Column("busy", sa.Integer(), nullable=False),
        sa.Column("queues", _JSON, nullable=False),
        sa.Column("started_at", sa.Double(), nullable=False),
        sa.Column("seen_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_workers"),
    )


def downgrade() -> None:
    op.drop_table("workers")
    op.drop_table("events")
    op.drop_column("attempts", "error")
    op.drop_index("uq_experiments_owner_idempotency_key", "experiments")
    op.drop_index("ix_experiments_owner", "experiments")
    for column in (
        "submission",
        "idempotency_key",
        "rings",
        "ring_at",
        "pause_requested",
        "not_before",
        "max_runtime_s",
        "failures",
        "devices",
        "priority",
        "queue",
        "continues",
    ):
        op.drop_column("experiments", column)
