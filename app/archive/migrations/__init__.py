"""Alembic's environment and the versions of the archive's tables."""
