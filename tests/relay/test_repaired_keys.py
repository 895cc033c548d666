"""Damaged values of keys that every process needs when it starts are found again from the other data, and replaced."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.settings.table import load
from app.store import Store
from app.store.server.keys import DEVICES, KEY_ID, REPAIRED, SHARDS, STORE, VAULT
from tests.command_line import run_for
from tests.harness import Device, Receiver, Relay, wait_for

pytestmark = pytest.mark.timeout(400)  # many processes start one after another

KEY = "made-up-secret-key-of-the-store-0123456789"
OTHER = "made-up-secret-key-of-nobody-0123456789ab"
WRONG = "is not the secret key that this store is encrypted with"
VAULT_DAMAGED = "The secret key is right, but the value of {g}:vault in the store is damaged"
CHANGED = object()  # another value of the same form


@pytest.fixture(scope="module")
def keyed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Relay]:
    folder = tmp_path_factory.mktemp("repaired")
    with Relay(folder, RELAY_SECRET_KEY=KEY, RELAY_SHARDS="2", WEB_CONCURRENCY="1") as relay:
        yield relay


def kept(relay: Relay) -> Store:
    return Store(load(relay.environment))


def client(relay: Relay) -> Any:
    return kept(relay).connection.redis


def damage(relay: Relay, key: str, value: object) -> None:
    """Replace a value by garbage, or by another type if `value` is a dictionary."""
    store = client(relay)
    store.delete(REPAIRED)
    if value is CHANGED:
        before = store.get(key)
        value = before[:-1] + (b"0" if before[-1:] != b"0" else b"1")
    store.delete(key)
    if isinstance(value, dict):
        store.hset(key, mapping=value)
    else:
        store.set(key, value)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (KEY_ID, {"a": "b"}),
        (KEY_ID, "not an ID"),
        (KEY_ID, CHANGED),
        (SHARDS, {"a": "b"}),
        (SHARDS, "many"),
        (DEVICES, "not a list"),
        (STORE, {"a": "b"}),
        (STORE, "not an ID"),
    ],
)
def test_processes_that_start_with_a_damaged_key_repair_it(keyed: Relay, key: str, value: Any) -> None:
    receiver = Receiver()
    device, removed = keyed.device(), keyed.device()
    assert keyed.call("DELETE", f"/v1/devices/{removed.id}").status_code == 204
    made = keyed.subscribe(receiver, device)
    before = client(keyed).dump(key)
    try:
        for name in ("web", "worker"):
            keyed.kill(name)
        damage(keyed, key, value)
        keyed.start("web", "worker")
        device.send_done(device.punch())
        receiver.wait(1, 60)
        wait_for(lambda: f"The value of {key} in the store was damaged" in told(keyed), 20)
        assert f"The value of {key} in the store was damaged" in run_for(keyed, "doctor").stdout
        devices = {one["device_id"] for one in keyed.get("/v1/devices", params={"limit": 200})["data"]}
        assert device.id in devices and removed.id not in devices
        if key != DEVICES:
            assert client(keyed).dump(key) == before
    finally:
        client(keyed).restore(key, 0, before, replace=True)
        keyed.call("DELETE", f"/v1/subscriptions/{made['id']}")
        receiver.close()


def told(relay: Relay) -> str:
    return " ".join(relay.call("GET", "/health", key=None).json()["warnings"])


@pytest.mark.parametrize("value", [{"a": "b"}, "not an ID"])
def test_a_wrong_secret_key_is_refused_even_if_the_id_of_the_right_one_is_damaged(
    tmp_path: Path, value: Any
) -> None:
    relay = Relay(tmp_path, RELAY_SECRET_KEY=KEY, WEB_CONCURRENCY="1").start("store", "web")
    try:
        relay.device()
        relay.kill("web")
        damage(relay, KEY_ID, value)
        relay.environment["RELAY_SECRET_KEY"] = OTHER
        (tmp_path / "data" / "secret_key").write_text(KEY)
        ended = run_for(relay, "web")
        assert (
            ended.returncode != 0
            and f"the key in {tmp_path}/data/secret_key is" in ended.stdout + ended.stderr
        )
        (tmp_path / "data" / "secret_key").unlink()
        ended = run_for(relay, "web")
        assert ended.returncode != 0 and WRONG in ended.stdout + ended.stderr
    finally:
        relay.stop()


@pytest.mark.parametrize("value", [{"a": "b"}, "not encrypted"])
def test_damaged_former_keys_are_named_and_no_genuine_callback_is_refused_for_good(
    keyed: Relay, value: Any
) -> None:
    device = keyed.device()
    before = client(keyed).dump(VAULT)
    try:
        damage(keyed, VAULT, value)
        keyed.kill("web")
        ended = run_for(keyed, "web")
        assert ended.returncode != 0 and VAULT_DAMAGED in ended.stdout + ended.stderr
        assert VAULT_DAMAGED in run_for(keyed, "doctor").stdout
    finally:
        client(keyed).delete(VAULT)
        if before:
            client(keyed).restore(VAULT, 0, before)
        keyed.start("web")
    device.send_done(device.punch())


def test_a_running_process_does_not_need_the_former_keys_again(keyed: Relay) -> None:
    device: Device = keyed.device()
    device.send_done(device.punch())
    try:
        damage(keyed, VAULT, "not encrypted")
        admission = kept(keyed).admission
        assert not admission.look() and VAULT_DAMAGED in str(admission.problem)
        client(keyed).delete(VAULT)
        assert admission.look()
        damage(keyed, VAULT, "not encrypted")
        assert admission.look()
        device.send_done(device.punch())
    finally:
        client(keyed).delete(VAULT)
