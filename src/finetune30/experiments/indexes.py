"""The indexes of experiments, and what each is for. ``migrations`` makes them; a test compares the two.

Only who compares imports this: no statement needs to know an index, and their conditions would load the dialect of
every database. Neighbours: ``tables`` has the columns, ``search``, ``statistics`` and ``fairness`` run along these.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Column, Index

from finetune30.experiments.tables import row, waiting

# An owner's running jobs, and the last start of each state.
Index("ix_experiments_owner", row.owner, row.status, row.started_at)
Index("uq_experiments_owner_idempotency_key", row.owner, row.idempotency_key, unique=True)
# Lists, newest first, and pages of them.
Index("ix_experiments_status", row.status, row.created_at, row.id)
Index("ix_experiments_owner_created_at", row.owner, row.created_at, row.id)
Index("ix_experiments_name_key", row.name_key, row.created_at, row.id)
# Figures over many, without a look at their rows.
Index("ix_experiments_figures", row.owner, row.base_model, row.eval_accuracy, row.train_runtime)


def _there(column: Column[Any]) -> dict[str, Any]:
    """An index over those that have it: a row that waits or runs costs nothing there."""
    there = column.is_not(None)
    return {"sqlite_where": there, "postgresql_where": there}


for _column in (row.finished_at, row.train_runtime, row.eval_accuracy):
    Index(f"ix_experiments_{_column.name}", _column, row.created_at, row.id, **_there(_column))
Index("ix_experiments_resumed_from", row.resumed_from, **_there(row.resumed_from))

# Whose turn it is: the first job of an owner in a queue.
Index(
    "ix_experiments_waiting",
    *(row.queue, row.owner, row.priority.desc(), row.created_at, row.id, row.devices, row.not_before),
    *(row.status, row.paused, row.cancel_requested),  # SQLite looks at the condition again
    sqlite_where=waiting,
    postgresql_where=waiting,
)
