"""Helpers for the tests of automatic backups."""

from __future__ import annotations

import secrets
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from app.store import Store
from tests.harness import Relay

DAY = 86_400.0


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def prefix(relay_store: Store) -> str:
    """The prefix of backup names of an earlier version, without an origin."""
    return f"cams-relay-{(relay_store.identity.store_id() or '')[:8]}-"


def put(relay_store: Store, folder: Path, at: float) -> Path:
    """Creates a file named like a backup made at this time."""
    path = (
        folder
        / f"{prefix(relay_store)}{datetime.fromtimestamp(at, UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(2)}.backup"
    )
    path.write_text("made up")
    return path


@contextmanager
def running(relay: Relay, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "app", "backup", *options], cwd=relay.folder, env=relay.environment
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait(10)
