"""Runs the migrations on the connection that `database.migrate` passes."""

from __future__ import annotations

from alembic import context

from app.archive.tables import VERSION_TABLE, metadata

context.configure(
    connection=context.config.attributes["connection"], target_metadata=metadata, version_table=VERSION_TABLE
)
context.run_migrations()
