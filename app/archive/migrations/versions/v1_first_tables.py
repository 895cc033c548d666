"""The first tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "1"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "relay_events",
        sa.Column("shard", sa.SmallInteger, primary_key=True, autoincrement=False),
        sa.Column("ms", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("sequence", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("type", sa.Text, nullable=False),
        sa.Column("device_id", sa.Text),
        sa.Column("user_id", sa.Text),
        sa.Column("data_key", sa.Integer, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
    )
    op.create_index("relay_events_by_type", "relay_events", ["shard", "type", "ms", "sequence"])
    op.create_index("relay_events_by_device", "relay_events", ["device_id", "type", "ms", "sequence"])
    op.create_index("relay_events_by_user", "relay_events", ["user_id", "shard", "ms", "sequence"])
    op.create_table(
        "relay_punches",
        sa.Column("user_id", sa.Text, primary_key=True),
        sa.Column("at", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("device_id", sa.Text, primary_key=True),
        sa.Column("place", sa.SmallInteger, primary_key=True, autoincrement=False),
        sa.Column("ms", sa.BigInteger, nullable=False),
        sa.Column("sequence", sa.BigInteger, nullable=False),
        sa.Column("utc_offset", sa.Integer, nullable=False),
        sa.Column("direction", sa.Text),
        sqlite_with_rowid=False,
    )
    op.create_index("relay_punches_by_time", "relay_punches", ["at", "user_id", "device_id", "ms"])
    op.create_table(
        "relay_positions",
        sa.Column("store_id", sa.Text, primary_key=True),
        sa.Column("shard", sa.SmallInteger, primary_key=True, autoincrement=False),
        sa.Column("entry", sa.Text, nullable=False),
        sa.Column("erasures", sa.Integer, nullable=False),
    )
    op.create_table(
        "relay_data_keys",
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "relay_archive_owner",
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("store_id", sa.Text, nullable=False),
    )
