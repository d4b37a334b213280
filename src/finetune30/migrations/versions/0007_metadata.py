"""experiments: what owners write on them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "experiment_metadata",
        sa.Column("experiment_id", sa.String(80), nullable=False),
        sa.Column("key", sa.String(64), nullable=False),
        sa.Column("value", sa.String(512), nullable=False),
        sa.PrimaryKeyConstraint("experiment_id", "key", name="pk_experiment_metadata"),
        sa.ForeignKeyConstraint(
            ["experiment_id"],
            ["experiments.id"],
            name="fk_experiment_metadata_experiment_id_experiments",
            ondelete="CASCADE",
        ),
    )
    op.create_index("ix_experiment_metadata_key", "experiment_metadata", ["key", "value"])


def downgrade() -> None:
    op.drop_table("experiment_metadata")
