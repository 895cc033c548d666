"""Database servers from Debian's packages, run as an ordinary user with a temporary folder."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg
import pymysql

from app.store.server.embedded import die_with_parent
from tests.harness import free_port, wait_for

_MARIADB = Path("/usr/share/mysql")
NOBODY = 65534  # neither server runs as root


def _program(name: str, script: str) -> str:
    found = shutil.which(name, path=os.pathsep.join((os.environ["PATH"], "/usr/sbin", *_postgres_folders())))
    assert found, f"{name} is not installed: run scripts/{script}"
    return found


def _postgres_folders() -> list[str]:
    return [str(path) for path in sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)]


def _own(*folders: Path) -> dict[str, int]:
    """Return arguments for a process that must not be root: it then runs as nobody, who also owns the folders."""
    if os.getuid() != 0:
        return {}
    for path in (folders[0], *folders[0].parents):
        if Path(tempfile.gettempdir()) in path.parents:
            path.chmod(path.stat().st_mode | 0o011)  # so that other users can pass through it
    for folder in folders:
        os.chown(folder, NOBODY, NOBODY)
    return {"user": NOBODY, "group": NOBODY}


@contextmanager
def _served(folder: Path, command: list[str], socket: Path, owner: dict[str, int]) -> Iterator[None]:
    with (folder.parent / f"{folder.name}.log").open("wb") as log:
        process = subprocess.Popen(
            command,
            cwd=folder,
            stdout=log,
            stderr=log,
            preexec_fn=die_with_parent,
            **owner,  # type: ignore[call-overload]
        )
    try:
        wait_for(lambda: socket.exists() or process.poll() is not None, 60)
        assert process.poll() is None, Path(log.name).read_text()
        yield
    finally:
        process.send_signal(signal.SIGINT if "postgres" in command[0] else signal.SIGTERM)  # stop at once
        with suppress(subprocess.TimeoutExpired):
            process.wait(20)
        process.kill()


@contextmanager
def postgres(folder: Path) -> Iterator[str]:
    """Run a Postgres server; yield the URL of an empty database."""
    home, port = folder / "pg", free_port()
    home.mkdir(0o700)
    owner = _own(home)
    initdb = [
        _program("initdb", "install-postgres"),
        "-D",
        "data",
        "-U",
        "made_up",
        "-A",
        "trust",
        "--no-sync",
    ]
    subprocess.run(initdb, cwd=home, check=True, stdout=subprocess.DEVNULL, **owner)  # type: ignore[call-overload]
    command = [_program("postgres", "install-postgres"), "-D", "data", "-h", "127.0.0.1", "-p", str(port)]
    command += ["-F", "-k", str(home)]
    with _served(home, command, home / f".s.PGSQL.{port}", owner):
        url = f"postgresql://made_up@127.0.0.1:{port}/postgres"
        wait_for(lambda: _accepts(url), 60)
        yield url


@contextmanager
def frozen(url: str) -> Iterator[None]:
    """Stop all processes of a Postgres server, which then accepts connections, but doesn't answer."""
    with psycopg.connect(url) as connection:
        (folder,) = connection.execute("SHOW data_directory").fetchone() or ("",)
    server = int(Path(folder, "postmaster.pid").read_text().split()[0])
    own = [server]
    for task in Path(f"/proc/{server}/task").iterdir():
        own += map(int, (task / "children").read_text().split())
    for pid in own:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in own:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


def _accepts(url: str) -> bool:
    with suppress(psycopg.OperationalError), psycopg.connect(url):
        return True
    return False


@contextmanager
def mariadb(folder: Path) -> Iterator[str]:
    """Run a MariaDB server; yield the URL of an empty database that anybody may use."""
    home, port = folder / "my", free_port()
    home.mkdir(0o700)
    (home / "data").mkdir()
    owner = _own(home, home / "data")
    server, socket = _program("mariadbd", "install-mariadb"), home / "socket"
    options = ["--no-defaults", f"--datadir={home}/data", "--innodb-flush-log-at-trx-commit=0"]
    # Does the same as mariadb-install-db, which needs more packages than the server's.
    tables = [(_MARIADB / f"mysql_system_{name}.sql").read_text() for name in ("tables", "tables_data")]
    subprocess.run(
        [server, *options, "--bootstrap", "--skip-networking"],
        cwd=home,
        input="CREATE DATABASE mysql;\nUSE mysql;\n" + "\n".join(tables),
        text=True,
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        **owner,  # type: ignore[call-overload]
    )
    command = [server, *options, "--bind-address=127.0.0.1", f"--port={port}", f"--socket={socket}"]
    command += [f"--pid-file={home}/pid", "--skip-grant-tables", "--skip-networking=0"]
    with _served(home, command, socket, owner):
        with pymysql.connect(unix_socket=str(socket)) as connection, connection.cursor() as cursor:
            cursor.execute("CREATE DATABASE made_up CHARACTER SET utf8mb4")
        yield f"mysql://made_up@127.0.0.1:{port}/made_up"
