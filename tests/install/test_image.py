"""The container image is built, and run as its own user with a read-only root file system."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from app import __version__
from tests.harness import API_KEY, ROOT, Receiver, Relay, free_port, verify, wait_for
from tests.install.image import Image, Running, built

# The first time, a base image is made of Debian's packages, which takes minutes on a busy machine.
pytestmark = pytest.mark.timeout(1_200)


@pytest.fixture(scope="module")
def image() -> Iterator[Image]:
    with built("localhost/cams-relay:test", "--build-arg", "REVISION=made-up") as made:
        yield made


@pytest.fixture(scope="module")
def container(image: Image, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Running, Relay]]:
    folder = tmp_path_factory.mktemp("image")
    relay = Relay(folder)
    environment = {
        "PORT": str(relay.port),
        "SIMULATOR_PORT": str(free_port()),
        "HOST": "127.0.0.1",
        "RELAY_API_KEY": API_KEY,
        "RELAY_ALLOW_PRIVATE_TARGETS": "127.0.0.0/8",
    }
    with image.run(folder / "data", environment) as running:
        wait_for(
            lambda: b"Press Ctrl-C" in running.log.read_bytes() or running.process.poll() is not None, 120
        )
        assert running.process.poll() is None, running.log.read_text()
        yield running, relay


def test_its_metadata_is_what_a_platform_needs(image: Image) -> None:
    assert image.config["User"] == "10001:10001"
    assert image.config["Volumes"] == {"/data": {}}
    assert list(image.config["ExposedPorts"]) == ["8000/tcp"]
    assert image.config["Entrypoint"] == ["tini", "--", "cams-relay"]
    labels = image.config["Labels"]
    assert labels["org.opencontainers.image.version"] == __version__
    assert labels["org.opencontainers.image.revision"] == "made-up"
    assert labels["org.opencontainers.image.licenses"] == "MIT"


def test_it_delivers_a_punch(container: tuple[Running, Relay], receiver: Receiver) -> None:
    _, relay = container
    device = relay.device()
    subscription = relay.subscribe(receiver, device)
    device.send_done(device.punch("7"))
    assert verify(subscription["secret"], receiver.wait(1, 30)[0])["user_id"] == "7"


def test_the_first_event_arrives_automatically(container: tuple[Running, Relay]) -> None:
    """No device was registered when it started, so a simulated device sends a punch."""
    running, _ = container
    wait_for(lambda: "attendance.punch" in running.log.read_text(), 60)


def test_it_runs_as_its_own_user_and_only_writes_to_its_volume(container: tuple[Running, Relay]) -> None:
    running, _ = container
    status = running.execute("cat", "/proc/1/status").stdout
    assert re.search(r"^Name:\ttini$", status, re.MULTILINE), status
    assert re.search(r"^Uid:\t10001\t", status, re.MULTILINE), status
    refused = running.execute("touch", "/opt/cams-relay/file")
    assert refused.returncode != 0 and "Read-only file system" in refused.stderr
    assert running.execute("test", "-s", "/data/secret_key").returncode == 0


def test_its_health_check_and_its_command_line_work(image: Image, container: tuple[Running, Relay]) -> None:
    running, _ = container
    kind, *command = image.config["Healthcheck"]["Test"]
    assert kind == "CMD"
    checked = running.execute(*command)
    assert checked.returncode == 0, checked.stderr
    made = running.execute("cams-relay", "keys", "create", "--name", "n8n", "--scope", "events:read")
    assert made.returncode == 0, made.stderr
    sick = running.execute("env", "PORT=1", *command)
    assert sick.returncode != 0


def test_it_contains_what_backups_on_s3_and_telemetry_need(container: tuple[Running, Relay]) -> None:
    code = "import boto3; from app.base.telemetry import is_installed; assert is_installed()"
    ran = container[0].execute("python3", "-c", code)
    assert ran.returncode == 0, ran.stderr


def test_docker_stop_ends_it_gracefully(image: Image, tmp_path: Path) -> None:
    environment = {"PORT": str(free_port()), "HOST": "127.0.0.1", "SIMULATOR_PORT": str(free_port())}
    with image.run(tmp_path / "data", environment, ["up", "--no-simulator"]) as running:
        wait_for(lambda: b"Press Ctrl-C" in running.log.read_bytes(), 120)
        assert running.stop() == 0, running.log.read_text()


def test_only_the_relay_is_sent_to_the_builder() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    assert lines[1] == "*"
    assert {line[1:] for line in lines if line.startswith("!")} >= {"app", "workers", "simulator"}
