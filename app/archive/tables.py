"""The archive's tables. `migrations` creates them, and a test checks that both agree.

Their names have a prefix, because a hosting platform's database may be shared with other programs. User IDs are in
plain text, as in the store; the content of events is encrypted.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, MetaData, SmallInteger, Table, Text

metadata = MetaData()

VERSION_TABLE = "relay_schema_version"

# An event's place in the store is its key, so nothing is archived twice: the shard, and the stream entry `ms-sequence`.
events = Table(
    "relay_events",
    metadata,
    Column("shard", SmallInteger, primary_key=True, autoincrement=False),
    Column("ms", BigInteger, primary_key=True, autoincrement=False),  # time of receipt, since 1970
    Column("sequence", BigInteger, primary_key=True, autoincrement=False),
    Column("type", Text, nullable=False),
    Column("device_id", Text),
    Column("user_id", Text),
    Column("data_key", Integer, nullable=False),
    Column("body", LargeBinary, nullable=False),  # the flat event without its ID: JSON, compressed, encrypted
    Index("relay_events_by_type", "shard", "type", "ms", "sequence"),
    Index("relay_events_by_device", "device_id", "type", "ms", "sequence"),
    Index("relay_events_by_user", "user_id", "shard", "ms", "sequence"),
)

# The punches for attendance, each with its latest revision.
punches = Table(
    "relay_punches",
    metadata,
    Column("user_id", Text, primary_key=True),
    Column("at", BigInteger, primary_key=True, autoincrement=False),  # seconds since 1970
    Column("device_id", Text, primary_key=True),
    Column(
        "place", SmallInteger, primary_key=True, autoincrement=False
    ),  # 2 for the second punch of one instant
    Column("ms", BigInteger, nullable=False),  # when the latest revision was received
    Column("sequence", BigInteger, nullable=False),
    Column("utc_offset", Integer, nullable=False),  # seconds
    Column("direction", Text),
    Index("relay_punches_by_time", "at", "user_id", "device_id", "ms"),
    sqlite_with_rowid=False,  # so that a person's month is in one place
)

# How far each shard of a store is archived.
positions = Table(
    "relay_positions",
    metadata,
    Column("store_id", Text, primary_key=True),
    Column("shard", SmallInteger, primary_key=True, autoincrement=False),
    Column("entry", Text, nullable=False),
    Column(
        "erasures", Integer, nullable=False
    ),  # increased by each erasure, so that a batch read before isn't written
)

# The keys that encrypt the events, themselves encrypted with RELAY_SECRET_KEY. The newest is used for new events.
data_keys = Table(
    "relay_data_keys",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("sealed", LargeBinary, nullable=False),
)

# The store that the archive belongs to: one row.
owners = Table(
    "relay_archive_owner",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("store_id", Text, nullable=False),
)
