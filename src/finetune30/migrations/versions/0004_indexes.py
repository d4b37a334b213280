"""indexes: lists by any order, pages of them, one owner's; figures over all; whose turn it is."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_T = "experiments"


def upgrade() -> None:
    op.drop_index("ix_experiments_status", _T)
    op.create_index("ix_experiments_status", _T, ["status", "created_at", "id"])
    op.create_index("ix_experiments_owner_created_at", _T, ["owner", "created_at", "id"])
    op.create_index("ix_experiments_name_key", _T, ["name_key", "created_at", "id"])
    op.create_index("ix_experiments_figures", _T, ["owner", "base_model", "eval_accuracy", "train_runtime"])
    # What is not there has no place in an order: a row that waits or runs costs these nothing.
    for column in ("finished_at", "train_runtime", "eval_accuracy"):
        there = sa.text(f"{column} IS NOT NULL")
        op.create_index(
            f"ix_experiments_{column}",
            _T,
            [column, "created_at", "id"],
            sqlite_where=there,
            postgresql_where=there,
        )
    resumed = sa.text("resumed_from IS NOT NULL")
    op.create_index("ix_experiments_resumed_from", _T, ["resumed_from"], sqlite_where=resumed, postgresql_where=resumed)
    op.create_index(
        "ix_experiments_waiting",
        _T,
        [
            "queue",
            "owner",
            sa.text("priority DESC"),
            "created_at",
            "id",
            "devices",
            "not_before",
            "status",
            "paused",
            "cancel_requested",
        ],
        sqlite_where=sa.text("status = 'PENDING' AND paused = 0 AND cancel_requested = 0"),
        postgresql_where=sa.text("status = 'PENDING' AND NOT paused AND NOT cancel_requested"),
    )


def downgrade() -> None:
    for name in (
        "waiting",
        "resumed_from",
        "eval_accuracy",
        "train_runtime",
        "finished_at",
        "figures",
        "name_key",
        "owner_created_at",
        "status",
    ):
        op.drop_index(f"ix_experiments_{name}", _T)
    op.create_index("ix_experiments_status", _T, ["status"])
