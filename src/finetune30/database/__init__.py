"""The one database, SQLite or PostgreSQL: engine, transactions, its clock, its schema.

Neighbours: ``experiments`` and ``access`` bring tables and statements; ``migrations`` makes the schema.
"""

from finetune30.database.engine import metadata, now, one_at_a_time, open_engine
from finetune30.database.schema import MIGRATIONS, newest_revision, revision, upgrade
from finetune30.database.transaction import after_commit, in_transaction, read, write

__all__ = [
    "MIGRATIONS",
    "after_commit",
    "in_transaction",
    "metadata",
    "newest_revision",
    "now",
    "one_at_a_time",
    "open_engine",
    "read",
    "revision",
    "upgrade",
    "write",
]
