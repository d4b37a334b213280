"""Runs the revisions on the connection that ``database.upgrade`` hands in, in its transaction."""

from __future__ import annotations

from alembic import context

from finetune30.database import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=True,  # SQLite too: all revisions or none
)
with context.begin_transaction():
    context.run_migrations()
