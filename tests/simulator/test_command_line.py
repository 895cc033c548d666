"""`simulator` and `simulate` as separate processes, as a user runs them, stopped by SIGTERM."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest
from click.testing import CliRunner
from sim_tools import KEY, TOKEN, Caller, RecordingRelay, un_aes

from simulator.cli import simulate
from simulator.device import Device
from simulator.serving import SimulatorServer

ROOT = Path(__file__).resolve().parent.parent.parent


class Running:
    """`python -m simulator` and the lines it has printed so far."""

    def __init__(self, *options: str, env: dict[str, str] | None = None) -> None:
        self.begin = time.monotonic()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "simulator", "--port", "0", *options],
            cwd=ROOT,
            env={**os.environ, **(env or {})},
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout
        self.url = self.line().split()[2].rstrip(",")

    def line(self) -> str:
        assert self.process.stdout
        return self.process.stdout.readline()

    def end(self) -> float:
        """Send SIGTERM, and return how many seconds the process took to end."""
        begin = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(timeout=5) == 0
        return time.monotonic() - begin

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        assert self.process.stdout
        self.process.stdout.close()


@pytest.fixture
def running(relay: RecordingRelay) -> Iterator[Running]:
    started = Running("--relay-url", relay.url, "--interval", "0.1", "--auth-token", TOKEN)
    yield started
    started.kill()


def test_the_first_punch_arrives_within_a_second_of_listening(
    running: Running, relay: RecordingRelay
) -> None:
    assert running.line() == "simulated device: Front Door (virtual), stgid VIRTUAL01\n"
    (callback,) = relay.wait_for(1, timeout=1)
    assert callback["RealTime"]["AuthToken"] == TOKEN
    assert callback["RealTime"]["LabelName"] == "Front Door (virtual)"
    assert callback["RealTime"]["SerialNumber"] == "VIRTUAL01"
    assert relay.received[0].path == "/callback?stgid=VIRTUAL01"


def test_it_continues_to_punch_with_different_people(running: Running, relay: RecordingRelay) -> None:
    logs = [callback["RealTime"].get("PunchLog") for callback in relay.wait_for(26)]
    assert len({log["UserId"] for log in logs if log}) >= 4


def test_sigterm_stops_it_within_two_seconds(running: Running, relay: RecordingRelay) -> None:
    relay.wait_for(1)
    assert running.end() < 2


def test_sigterm_stops_it_while_the_relay_is_away() -> None:
    started = Running("--relay-url", "http://127.0.0.1:9", "--interval", "0.1")
    try:
        time.sleep(0.5)
        assert started.end() < 2
    finally:
        started.kill()


def test_a_generated_token_is_printed_and_a_given_token_is_not(relay: RecordingRelay) -> None:
    started = Running("--relay-url", relay.url, "--interval", "0")
    try:
        made_up = re.search(r"auth token (\w{32})$", started.line())
        assert made_up
        assert simulate_at(started.url, "punch", "--user", "2").exit_code == 0
        assert relay.wait_for(1)[0]["RealTime"]["AuthToken"] == made_up[1]
    finally:
        started.kill()


def test_security_key_and_token_can_be_set_in_the_environment(relay: RecordingRelay) -> None:
    env = {"SIMULATOR_AUTH_TOKEN": TOKEN, "SIMULATOR_SECURITY_KEY": KEY}
    started = Running("--relay-url", relay.url, env=env)
    try:
        assert TOKEN not in started.line()
        end = time.monotonic() + 5
        while not relay.received and time.monotonic() < end:
            time.sleep(0.02)
        assert json.loads(un_aes(relay.received[0].body))["RealTime"]["AuthToken"] == TOKEN
    finally:
        started.kill()


def test_it_can_start_without_a_device() -> None:
    started = Running("--no-device")
    try:
        result = simulate_at(started.url, "punch", "--user", "2")
        assert (result.exit_code, result.output) == (1, "Error: the simulator has no devices\n")
    finally:
        started.kill()


def test_a_port_in_use_is_reported_in_one_sentence(server: SimulatorServer) -> None:
    port = server.url.rsplit(":", 1)[1]
    ended = subprocess.run(
        [sys.executable, "-m", "simulator", "--port", port],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=10,
        check=False,
    )
    assert ended.returncode == 1
    assert ended.stderr == f"Error: cannot listen on 127.0.0.1:{port}: Address already in use\n"


class Result:
    def __init__(self, url: str, arguments: tuple[str, ...]) -> None:
        ran = CliRunner(env={"SIMULATOR_URL": url}).invoke(simulate, list(arguments))
        self.exit_code, self.output = ran.exit_code, ran.output


def simulate_at(url: str, *arguments: str) -> Result:
    return Result(url, arguments)


@pytest.mark.parametrize(
    ("arguments", "line", "callbacks"),
    [
        (
            [
                "punch",
                "--user",
                "2",
                "--type",
                "check_out",
                "--temperature",
                "36.6",
                "--at",
                "2026-01-02T03:04:05",
            ],
            "Device D1: user 2 CheckOut at 2026-01-02 03:04:05 GMT +0530",
            1,
        ),
        (["punch", "--user", "2", "--device", "D1", "--photo", "--no-face-mask"], None, 2),
        (["user", "--user", "2", "--first-name", "Raj"], "Device D1: user 2 updated", 1),
        (
            ["user", "--user", "2", "--credential", "card", "--credential", "face", "--user-type", "admin"],
            "Device D1: user 2 updated with Card, Face",
            2,
        ),
        (["photo", "--user", "2"], "Device D1: photo of user 2, 30720 bytes", 1),
        (["batch", "--count", "4"], "Device D1: a batch of 4 punches", 1),
        (["flood", "--rate", "50", "--count", "5"], "Device D1: 5 punches, 50 per second", 5),
        (["flood", "--count", "5"], "Device D1: 5 punches, as fast as possible", 5),
    ],
)
def test_simulate_acts_and_reports_in_one_line(
    arguments: list[str],
    line: str | None,
    callbacks: int,
    device: Device,
    server: SimulatorServer,
    relay: RecordingRelay,
) -> None:
    result = simulate_at(server.url, *arguments)
    assert result.exit_code == 0, result.output
    assert line is None or result.output == f"{line}\n"
    assert result.output.count("\n") == 1
    relay.wait_for(callbacks)
    assert device.outbox.wait_empty(5) and len(relay.received) == callbacks


def test_simulate_switches_the_device_off_and_on(device: Device, server: SimulatorServer) -> None:
    assert simulate_at(server.url, "offline").output == "Device D1: offline\n"
    assert not device.online
    assert simulate_at(server.url, "online").output.startswith("Device D1: online")
    assert device.online
    assert simulate_at(server.url, "offline", "--timeout").output == "Device D1: not acknowledging commands\n"
    assert device.online and device.timeout
    simulate_at(server.url, "online")
    assert device.reachable


def test_simulate_switches_callbacks_version_and_strictness(
    device: Device, server: SimulatorServer, relay: RecordingRelay
) -> None:
    changed = simulate_at(server.url, "switch", "--callbacks", "punches, users", "--lenient").output
    assert changed == "Device D1: version 3.0, reports punches, users, lenient\n"
    assert (device.spec.callbacks, device.spec.lenient) == (["punches", "users"], True)
    simulate_at(server.url, "photo", "--user", "2")
    simulate_at(server.url, "punch", "--user", "2")
    relay.wait_for(1)
    assert device.outbox.wait_empty(5) and len(relay.received) == 1
    changed = simulate_at(server.url, "switch", "--api-version", "2.0", "--strict").output
    assert changed == "Device D1: version 2.0, reports punches, users, strict\n"
    assert (device.spec.api_version, device.spec.lenient) == ("2.0", False)


def test_simulate_switch_says_what_is_wrong(device: Device, server: SimulatorServer) -> None:
    assert simulate_at(server.url, "switch").output.startswith("Error: nothing to change. Set --callbacks")
    wrong = simulate_at(server.url, "switch", "--callbacks", "fingers")
    assert wrong.exit_code == 1 and "fingers" in wrong.output and "punches, photos" in wrong.output
    assert device.spec.callbacks == ["punches", "photos", "users", "deletions", "time"]


def test_a_simulator_starts_with_the_given_switches(relay: RecordingRelay) -> None:
    options = ("--api-version", "2.0", "--callbacks", "punches", "--lenient", "--interval", "0")
    started = Running("--relay-url", relay.url, *options)
    try:
        assert started.line().startswith("simulated device:")  # it is added after the URL is printed
        with urlopen(f"{started.url}/control/devices", timeout=5) as answer:
            (shown,) = json.load(answer)
    finally:
        started.kill()
    assert (shown["api_version"], shown["callbacks"], shown["lenient"]) == ("2.0", ["punches"], True)


def test_simulate_lists_the_devices(device: Device, server: SimulatorServer) -> None:
    assert simulate_at(server.url, "devices").output.startswith("D1  Device D1  native  online  users 0")


def test_simulate_reports_why_it_cannot_act(device: Device, server: SimulatorServer, caller: Caller) -> None:
    assert simulate_at(server.url, "punch", "--user", "1", "--device", "D9").output == "Error: no device D9\n"
    assert "cams-relay simulator" in simulate_at("http://127.0.0.1:9", "online").output


def test_simulate_without_a_simulator_prints_the_command_that_starts_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "my data"
    folder.mkdir()
    monkeypatch.setenv("RELAY_DATA_DIR", str(folder))
    monkeypatch.setenv("PORT", "8017")
    command = "`cams-relay simulator --relay-url http://127.0.0.1:8017 --port 9 --auth-token "
    output = simulate_at("http://127.0.0.1:9", "punch", "--user", "2").output
    assert "there is no simulator at http://127.0.0.1:9. " in output
    assert f"{command}AUTH_TOKEN`" in output and "First register VIRTUAL01" in output
    assert "`cams-relay up` starts one only while no other device is registered" in output
    (folder / "virtual_device_token").write_text(TOKEN)
    output = simulate_at("http://127.0.0.1:9", "punch", "--user", "2").output
    assert f"{command}\"$(cat '{folder}/virtual_device_token')\"`" in output and TOKEN not in output
