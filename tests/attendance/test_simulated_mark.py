"""A mark says whether a device is simulated, not its ID. Only devices of earlier versions are known by their IDs."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.base.simulated_device_request import GATEWAY_PORT
from app.run.up import _start_simulator
from app.settings.table import load
from app.store import Store
from app.store.server.keys import SIMULATED_DEVICES
from simulator.cli import DEFAULT_DEVICE
from tests.attendance.tools import KOLKATA, a_user, at, days_ago, punch
from tests.command_line import cli
from tests.harness import Device, Relay, free_port
from tests.relay.tools import problem


@pytest.fixture
def store(office: Relay) -> Store:
    return Store(load(office.environment))


@pytest.fixture
def device_id(office: Relay, store: Store) -> Iterator[str]:
    """An ID by which earlier versions recognised a simulated device."""
    name = f"VIRTUAL{secrets.randbelow(10**9)}"
    yield name
    office.call("DELETE", f"/v1/devices/{name}")
    store.connection.redis.hdel(SIMULATED_DEVICES, name)


def is_simulated(office: Relay, device_id: str) -> bool:
    shown = office.get(f"/v1/devices/{device_id}")["simulated"]
    listed = {one["id"]: one["simulated"] for one in office.get("/v1/devices", params={"limit": 200})["data"]}
    assert listed[device_id] is shown
    return bool(shown)


def is_in_file(office: Relay, device: Device) -> bool:
    """Return whether a file contains a new punch from the device."""
    user, day = a_user(), days_ago(2)
    punch(device, user, at(day, "09:00"))
    return user in office.call("GET", "/v1/attendance.csv", params={"date": str(day)}).text


def test_a_real_device_may_have_an_id_of_a_simulated_one(office: Relay, device_id: str) -> None:
    real = office.device(device_id=device_id, timezone=KOLKATA)
    assert not is_simulated(office, device_id) and is_in_file(office, real)
    user = {"UserID": "7", "FirstName": "Asha", "Template": []}
    real.send_done(real.envelope(UserUpdated=user))
    (shown,) = office.get("/v1/users", params={"device_id": device_id})["data"]
    assert shown["simulated"] is False
    assert device_id not in cli(office, "simulator", "clear", "--yes")
    assert not is_simulated(office, device_id)


def test_a_simulated_device_may_have_any_id(office: Relay) -> None:
    simulated = office.device(simulated=True, timezone=KOLKATA)
    assert not simulated.id.startswith("VIRTUAL")
    assert is_simulated(office, simulated.id) and not is_in_file(office, simulated)


def test_the_mark_stays_with_the_punches_of_a_removed_device(office: Relay, device_id: str) -> None:
    user, day = a_user(), days_ago(2)
    real = office.device(device_id=device_id, timezone=KOLKATA)
    punch(real, user, at(day, "09:00"))
    assert office.call("DELETE", f"/v1/devices/{device_id}").status_code == 204
    assert user in office.call("GET", "/v1/attendance.csv", params={"date": str(day)}).text


def test_a_device_of_an_earlier_version_is_known_by_its_id_until_it_is_changed(
    office: Relay, store: Store, device_id: str
) -> None:
    old = office.device(device_id=device_id, timezone=KOLKATA)
    others = [office.device(device_id=f"{device_id}A"), office.device(device_id=f"MY{device_id}")]
    store.connection.redis.hdel(SIMULATED_DEVICES, device_id)  # what an earlier version has stored
    assert is_simulated(office, device_id) and not is_in_file(office, old)
    assert not any(is_simulated(office, other.id) for other in others)
    path = f"/v1/devices/{device_id}"
    assert office.call("PATCH", path, json={"label": "Front Door"}).json()["simulated"] is True
    assert office.call("PATCH", path, json={"simulated": False}).json()["simulated"] is False
    assert not is_simulated(office, device_id) and is_in_file(office, old)


def test_the_mark_can_be_changed_and_changes_the_etag(office: Relay) -> None:
    device = office.device()
    path = f"/v1/devices/{device.id}"
    before = office.call("GET", path).headers["ETag"]
    marked = office.call("PATCH", path, json={"simulated": True})
    assert marked.json()["simulated"] is True and marked.headers["ETag"] != before
    stale = office.call("PATCH", path, json={"simulated": False}, headers={"If-Match": before})
    assert stale.status_code == 412 and is_simulated(office, device.id)
    assert office.call("PATCH", path, json={"simulated": None}).json()["simulated"] is False
    problem(office.call("PATCH", path, json={"simulated": "yes"}), 422, "simulated")


def test_the_command_line_registers_a_simulated_device(office: Relay, tmp_path: Path) -> None:
    token, name = tmp_path / "token", f"DEV{secrets.token_hex(4)}"
    token.write_text(secrets.token_hex(16))
    shown = cli(office, "devices", "add", name, "--auth-token-file", str(token), "--simulated", "--json")
    assert json.loads(shown)["simulated"] is True and is_simulated(office, name)


class Recorder:
    """Records the processes that would be started."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def add(self, name: str, *_: object, **__: object) -> None:
        self.names.append(name)


class OneDevice:
    """The devices of a store with only one of them, as in an office with one device."""

    def __init__(self, store: Store) -> None:
        self.simulated = store.devices.simulated
        self.register = store.devices.register
        self.change = store.devices.change

    def ids(self) -> list[str]:
        return [DEFAULT_DEVICE]


@pytest.mark.parametrize("simulated", [False, True])
def test_up_takes_over_its_own_device_and_no_real_one_with_the_same_id(
    office: Relay, store: Store, monkeypatch: pytest.MonkeyPatch, simulated: bool
) -> None:
    office.device(
        device_id=DEFAULT_DEVICE, auth_token="made-up-token-of-32-characters-.", simulated=simulated
    )
    try:
        monkeypatch.setattr(store, "devices", OneDevice(store))
        monkeypatch.setenv("SIMULATOR_URL", "")
        monkeypatch.setenv(GATEWAY_PORT, str(free_port()))
        started = Recorder()
        assert _start_simulator(store.settings, store, started) is simulated  # type: ignore[arg-type]
        assert started.names == (["simulator"] if simulated else [])
        hint = office.get(f"/v1/devices/{DEFAULT_DEVICE}")["auth_token_hint"]
        assert (hint == "rs-.") is not simulated
    finally:
        (store.settings.data_dir / "virtual_device_token").unlink(missing_ok=True)
        office.call("DELETE", f"/v1/devices/{DEFAULT_DEVICE}")
        store.connection.redis.hdel(SIMULATED_DEVICES, DEFAULT_DEVICE)
