"""webhooks: receivers, what they are told, and the triggers that put it there.

A delivery is made in the transaction of the change of state it tells of. So there is no cursor over ``events`` that
could pass by a number whose transaction commits late, and no row of it is missed because its experiment was deleted.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

# Another STARTED of the same attempt says only that somebody asked for something.
_KIND = """CASE
  WHEN NEW.status = 'SUCCESS' THEN 'run.succeeded'
  WHEN NEW.status = 'FAILURE' THEN 'run.failed'
  WHEN NEW.status = 'REVOKED' THEN 'run.cancelled'
  WHEN NEW.status = 'PENDING' AND x.paused THEN 'run.paused'
  WHEN NEW.status = 'STARTED' AND NOT EXISTS (
    SELECT 1 FROM events e WHERE e.experiment_id = NEW.experiment_id AND e.attempt = NEW.attempt
    AND e.status = 'STARTED' AND e.number < NEW.number) THEN 'run.started'
END"""
# Reads webhooks without a lock: a run's end waits for nobody. Who is disabled is told nothing.
_ENQUEUE = f"""INSERT INTO deliveries (webhook_id, kind, experiment_id, event_number, attempt, name, status,
  eval_accuracy, train_runtime, error_code, happened_at, next_at)
SELECT w.id, {_KIND}, NEW.experiment_id, NEW.number, NEW.attempt, x.name, NEW.status,
  x.eval_accuracy, x.train_runtime, {{code}}, NEW.at, NEW.at
FROM experiments x JOIN webhooks w ON w.owner = x.owner
WHERE x.id = NEW.experiment_id AND w.disabled_at IS NULL AND w.kinds LIKE '% ' || {_KIND} || ' %'
  AND NOT EXISTS (SELECT 1 FROM users u WHERE u.name = w.owner AND u.disabled);"""  # noqa: S608 - of constants


def upgrade() -> None:
    op.create_table(
        "webhooks",
        sa.Column("id", sa.String(20), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("kinds", sa.Text(), nullable=False),
        sa.Column("salt", sa.String(32), nullable=False),
        sa.Column("secret_check", sa.String(16), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("disabled_at", sa.Double()),
        sa.Column("disabled_why", sa.Text()),
        sa.Column("failing_since", sa.Double()),
        sa.Column("last_at", sa.Double()),
        sa.Column("last_status", sa.Integer()),
        sa.Column("last_error", sa.Text()),
        sa.PrimaryKeyConstraint("id", name="pk_webhooks"),
    )
    op.create_index("ix_webhooks_owner", "webhooks", ["owner"])
    op.create_table(
        "deliveries",
        sa.Column("number", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("webhook_id", sa.String(20), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("experiment_id", sa.String(80)),
        sa.Column("event_number", sa.Integer()),
        sa.Column("attempt", sa.Integer()),
        sa.Column("name", sa.Text()),
        sa.Column("status", sa.String(16)),
        sa.Column("eval_accuracy", sa.Double()),
        sa.Column("train_runtime", sa.Double()),
        sa.Column("error_code", sa.Text()),
        sa.Column("happened_at", sa.Double(), nullable=False),
        sa.Column("state", sa.String(16), nullable=False, server_default="waiting"),
        sa.Column("attempts", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("next_at", sa.Double(), nullable=False),
        sa.Column("claimed_until", sa.Double()),
        sa.Column("last_at", sa.Double()),
        sa.Column("last_status", sa.Integer()),
        sa.Column("last_error", sa.Text()),
        sa.Column("delivered_at", sa.Double()),
        sa.PrimaryKeyConstraint("number", name="pk_deliveries"),
        sqlite_autoincrement=True,
    )
    op.create_index("uq_deliveries_webhook_id", "deliveries", ["webhook_id", "event_number"], unique=True)
    op.create_index("ix_deliveries_state", "deliveries", ["state", "next_at"])
    if op.get_bind().dialect.name == "postgresql":
        enqueue = _ENQUEUE.format(code="x.error ->> 'code'")
        op.execute(
            f"CREATE FUNCTION webhooks_enqueue() RETURNS trigger LANGUAGE plpgsql AS "
            f"$$ BEGIN {enqueue} RETURN NULL; END $$"
        )
        op.execute(
            "CREATE TRIGGER webhooks_enqueue AFTER INSERT ON events FOR EACH ROW WHEN (NEW.kind = 'state') "
            "EXECUTE FUNCTION webhooks_enqueue()"
        )
        return
    enqueue = _ENQUEUE.format(code="json_extract(x.error, '$.code')")
    op.execute(f"CREATE TRIGGER webhooks_enqueue AFTER INSERT ON events WHEN NEW.kind = 'state' BEGIN {enqueue} END")


def downgrade() -> None:
    op.execute(
        "DROP TRIGGER webhooks_enqueue ON events"
        if op.get_bind().dialect.name == "postgresql"
        else "DROP TRIGGER webhooks_enqueue"
    )
    op.drop_table("deliveries")
    op.drop_table("webhooks")
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION webhooks_enqueue()")
