"""The one database, SQLite or PostgreSQL: engine, transactions, its clock, its schema.

Neighbours: ``experiments`` brings tables and statements; ``migrations`` makes the schema.
"""

from finetune30.database.engine import metadata, now, one_at_a_time, open_engine, read, write
from finetune30.database.schema import MIGRATIONS, newest_revision, revision, upgrade

__all__ = [
    "MIGRATIONS",
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
