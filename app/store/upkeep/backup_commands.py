"""The commands that write the records of a backup into a store."""

from __future__ import annotations

from typing import Any

import redis

from app.store.upkeep.backup_file import BackupError, Record

_COMMANDS = {b"string": "SET", b"hash": "HSET", b"set": "SADD", b"zset": "ZADD", b"list": "RPUSH"}


def write_into_store(client: Any, record: Record) -> None:
    """Write a record into the store. Raises BackupError."""
    pipeline = client.pipeline(transaction=False)
    if record.kind == b"stream":
        _write_stream(pipeline, record)
    else:
        pipeline.execute_command(_COMMANDS[record.kind], record.key, *record.values)
    if record.expires:
        pipeline.pexpireat(record.key, record.expires)
    try:
        pipeline.execute()
    except redis.ResponseError as error:  # its text may quote values
        raise BackupError(
            f"the store refused part of the backup ({type(error).__name__}), so the restore isn't complete. Check "
            "the store's log, empty the store and restore again"
        ) from None


def _write_stream(pipeline: Any, record: Record) -> None:
    values = iter(record.values)
    if len(record.values) == 1:
        (last,) = values
        if last != b"0-0":
            # Also for a stream without entries.
            pipeline.execute_command("XGROUP", "CREATE", record.key, "-", "0", "MKSTREAM")
            pipeline.execute_command("XGROUP", "DESTROY", record.key, "-")
            pipeline.execute_command("XSETID", record.key, last)
        return
    for entry in values:
        fields = [next(values) for _ in range(int(next(values)))]
        pipeline.execute_command("XADD", record.key, entry, *fields)
