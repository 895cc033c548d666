"""Clients made by code generators compile and call a relay.

The generators are pinned in `generators/`: oapi-codegen and ogen as Go modules, openapi-generator from Maven Central.
Without Go, or without Java and Maven, these tests are skipped.
"""

from __future__ import annotations

import fcntl
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from app import openapi
from app.events.types import EVENT_TYPES
from simulator.records import User
from tests import node
from tests.harness import API_KEY, Device
from tests.stage import Stage

_FOLDER = Path(__file__).parent / "generators"
_GO = (1, 25)
_MAVEN_PLUGIN = "org.apache.maven.plugins:maven-dependency-plugin:3.3.0:copy-dependencies"
_QUICK = "-XX:TieredStopAtLevel=1"  # programs that run for seconds only

pytestmark = pytest.mark.timeout(600)  # the first run downloads


@pytest.fixture
def device(stage: Stage) -> Device:
    """A device with a user 8, who has punched."""
    made = stage.new_device()
    stage.machine(made).store_user(User("8", "Manu", "Mona", "User"), [])
    return made


@pytest.fixture(scope="session")
def go() -> str:
    """The program `go`, if it is new enough for the generators."""
    program = shutil.which("go")
    if program is None:
        pytest.skip("Go isn't installed")
    found = subprocess.run([program, "env", "GOVERSION"], capture_output=True, text=True, cwd="/").stdout
    numbers = re.match(r"go(\d+)\.(\d+)", found)
    if numbers is None or tuple(map(int, numbers.groups())) < _GO:
        pytest.skip(f"Go {_GO[0]}.{_GO[1]} or later is needed, not {found.strip()}")
    return program


@pytest.fixture(scope="session")
def jars() -> Path:
    """The folder of openapi-generator and the libraries of its Java clients."""
    if not all(shutil.which(name) for name in ("java", "javac", "mvn")):
        pytest.skip("Java (JDK 17 or later) and Maven aren't installed")
    pom, folder = _FOLDER / "java" / "pom.xml", _FOLDER / "java" / "build"
    done = folder / "installed.xml"
    with pom.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)  # another test run may be doing the same
        if not done.exists() or done.read_text() != pom.read_text():
            shutil.rmtree(folder, ignore_errors=True)
            _run(pom.parent, "mvn", "-q", _MAVEN_PLUGIN, f"-DoutputDirectory={folder}")
            done.write_text(pom.read_text())
    return folder


def _run(folder: Path, *command: str | Path, **environment: str) -> str:
    made = node.run(folder, *command, timeout=500, **environment)
    assert made.returncode == 0, made.stdout[-3000:]
    return made.stdout


def _printed(stage: Stage, device: Device, folder: Path, *program: str | Path, **environment: str) -> Any:
    output = _run(folder, *program, stage.relay.url, API_KEY, device.id, **environment)
    return json.loads(output.splitlines()[-1])


def _written(folder: Path, version: str, tag: str | None = None, webhooks: bool = False) -> Path:
    path = folder / "openapi.yaml"
    path.write_text(openapi.as_yaml(version, tag, webhooks=webhooks))
    return path


# Go


def _go_program(go: str, folder: Path, name: str, generator: list[str | Path]) -> Path:
    """Generate the package `relay`, and compile it with the program in `generators/go`."""
    for part in ("go.mod", "go.sum"):
        shutil.copy(_FOLDER / "go" / part, folder)
    shutil.copy(_FOLDER / "go" / name / "main.go", folder)
    (folder / "relay").mkdir()
    _run(folder, go, "tool", *generator)
    _run(folder, go, "build", "-o", "program", ".")
    return folder / "program"


def test_a_client_of_oapi_codegen_calls_the_relay(
    go: str, stage: Stage, device: Device, tmp_path: Path
) -> None:
    document = _written(tmp_path, "3.1", webhooks=True)
    target = Path("relay", "relay.go")
    generator = ["oapi-codegen", "-generate", "types,client", "-package", "relay", "-o", target, document]
    program = _go_program(go, tmp_path, "oapi", generator)
    answer = _printed(stage, device, tmp_path, program)
    assert device.id in answer["devices"]
    assert (answer["status"], answer["target_url"]) == ("completed", "http://127.0.0.1:9/oapi")


def test_a_client_of_ogen_reads_events(go: str, stage: Stage, device: Device, tmp_path: Path) -> None:
    document = _written(tmp_path, "3.1", "events")
    program = _go_program(
        go, tmp_path, "ogen", ["ogen", "--target", "relay", "--package", "relay", "--clean", document]
    )
    answer = _printed(stage, device, tmp_path, program)
    assert answer["event_types"] == list(EVENT_TYPES)
    assert "8" in answer["users"]


def test_ogen_generates_a_client_of_the_whole_description(go: str, tmp_path: Path) -> None:
    document = _written(tmp_path, "3.1")
    command = ("ogen", "--target", tmp_path, "--package", "relay", document)
    _run(_FOLDER / "go", go, "tool", *command)
    assert (tmp_path / "oas_client_gen.go").exists()


# openapi-generator


def _generate(jars: Path, folder: Path, *options: str | Path) -> Path:
    """Generate a client of the whole description with openapi-generator, and return its folder."""
    (jar,) = jars.glob("openapi-generator-cli-*.jar")
    made = folder / "client"
    _run(folder, "java", _QUICK, "-jar", jar, "generate", "-i", _written(folder, "3.1"), "-o", made, *options)
    return made


def test_a_java_client_calls_the_relay(jars: Path, stage: Stage, device: Device, tmp_path: Path) -> None:
    # So that an added query parameter doesn't change the calls.
    one = ("--additional-properties", "useSingleRequestParameter=true")
    client = _generate(jars, tmp_path, "-g", "java", "--library", "native", *one)
    sources = sorted((client / "src" / "main" / "java").rglob("*.java"))
    libraries = [str(jar) for jar in jars.glob("*.jar") if not jar.name.startswith("openapi-generator-cli")]
    path = ":".join([str(tmp_path / "classes"), *libraries])
    main = _FOLDER / "java" / "Main.java"
    _run(
        tmp_path,
        "javac",
        f"-J{_QUICK}",
        "-nowarn",
        "-proc:none",
        "-cp",
        path,
        "-d",
        "classes",
        main,
        *sources,
    )
    _check(_printed(stage, device, tmp_path, "java", "-cp", path, "Main"), device, "java")


def test_a_python_client_calls_the_relay(jars: Path, stage: Stage, device: Device, tmp_path: Path) -> None:
    client = _generate(jars, tmp_path, "-g", "python")
    program = (sys.executable, _FOLDER / "python" / "main.py")
    _check(_printed(stage, device, tmp_path, *program, PYTHONPATH=str(client)), device, "python")


def _check(answer: Any, device: Device, name: str) -> None:
    assert device.id in answer["devices"]
    assert (answer["status"], answer["target_url"]) == ("completed", f"http://127.0.0.1:9/{name}")
    assert "8" in answer["users"]
