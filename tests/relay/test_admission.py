"""A store is only used with its own secret key and at least as many shards as before. Otherwise, a message says why."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from app.settings.table import SettingsError, load
from app.store import Store, StoreRefused
from app.store.server.keys import KEY_ID, SHARDS
from tests.command_line import run_for
from tests.harness import Device, Relay, wait_for
from tests.relay.tools import key_with

pytestmark = pytest.mark.timeout(400)  # many processes start one after another

KEY = "made-up-secret-key-of-the-store-0123456789"
OTHER = "made-up-secret-key-of-nobody-0123456789ab"
WRONG = "is not the secret key that this store is encrypted with"


def run(relay: Relay, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command of the command line, which must end by itself."""
    return run_for(relay, *arguments)


def refuses(relay: Relay, sentence: str, *commands: str) -> None:
    """Check that these commands, run at the same time, end with this message."""
    started = [
        subprocess.Popen(
            command.split()
            if command.startswith(sys.executable)
            else [sys.executable, "-m", "app", *command.split()],
            cwd=relay.folder,
            env=relay.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for command in commands
    ]
    for command, process in zip(commands, started, strict=True):
        output = process.communicate(timeout=200)[0]
        assert process.returncode != 0 and sentence in output and "Traceback" not in output, (command, output)


def store_of(relay: Relay) -> Store:
    return Store(load(relay.environment))


@pytest.fixture
def own(tmp_path: Path) -> Any:
    relay = Relay(tmp_path, RELAY_SECRET_KEY=KEY, WEB_CONCURRENCY="1")
    yield relay
    for name in list(relay.processes):
        relay.kill(name)


def test_a_wrong_secret_key_prevents_the_start_and_every_command(own: Relay) -> None:
    own.start("store", "web")
    own.device()
    own.kill("web")
    own.environment["RELAY_SECRET_KEY"] = OTHER
    gunicorn = Path(sys.executable).with_name("gunicorn")  # as the Procfile starts it
    refuses(own, WRONG, "web", "worker", "doctor", "keys create --name x --scope admin")
    file = own.folder / "data" / "secret_key"
    file.write_text(KEY)
    refuses(own, f"the key in {file} is. Unset RELAY_SECRET_KEY", "doctor")
    file.unlink()
    refuses(own, WRONG, f"{sys.executable} {gunicorn} -c python:app.web.gunicorn app.web.wsgi:app")
    own.environment["RELAY_SECRET_KEY"] = KEY
    own.start("web")


def test_a_store_with_another_key_that_comes_up_later_is_503_and_never_401(own: Relay) -> None:
    own.start("store", "web")
    device = own.device()
    own.kill("web")
    own.kill("store")
    own.environment["RELAY_SECRET_KEY"] = OTHER
    own._start("web")
    own._start("worker")
    answers = []

    def answered() -> bool:
        try:
            answers.append(device.send(device.punch()).status_code)
        except Exception:
            return False
        return True

    wait_for(answered, 30)
    own._start("store")

    def health() -> Any:
        answers.append(device.send(device.punch()).status_code)
        answer = own.call("GET", "/health", key=None)
        return answer.json() if answer.json()["store"] == "refused" else None

    shown = wait_for(health, 30)
    assert shown["status"] == "unavailable" and WRONG in shown["warnings"][0]
    assert own.call("GET", "/health", key=None).status_code == 503
    assert own.call("GET", "/v1/me").status_code == 503
    answers += [device.send(device.punch()).status_code for _ in range(5)]
    assert set(answers) == {503}
    wait_for(lambda: WRONG in (own.folder / "worker.log").read_text(), 30)
    assert "delivering for shard" not in (own.folder / "worker.log").read_text()


def test_the_first_api_key_is_created_even_if_the_store_comes_up_later(own: Relay) -> None:
    del own.environment["RELAY_API_KEY"]
    own._start("web")

    def answered() -> bool:
        try:
            return own.call("GET", "/health", key=None).json()["store"] == "away"
        except Exception:
            return False

    wait_for(answered, 60)
    file = own.folder / "data" / "api_key"
    assert not file.exists()
    own._start("store")
    wait_for(lambda: file.exists() and file.read_text().startswith("crk_"), 60)


def test_a_store_without_a_key_id_is_recognised_by_its_encrypted_data(own: Relay) -> None:
    own.start("store", "web")
    own.device()
    own.kill("web")
    client = store_of(own).connection.redis
    client.delete(KEY_ID, SHARDS)
    own.environment["RELAY_SECRET_KEY"] = OTHER
    with pytest.raises(StoreRefused):
        store_of(own).admission.check()
    assert client.get(KEY_ID) is None
    own.environment["RELAY_SECRET_KEY"] = KEY
    store_of(own).admission.check()
    assert client.get(KEY_ID).decode() == store_of(own).vault.key_id
    # One damaged record doesn't mean that the key is wrong.
    (device_id,) = client.hkeys("{g}:devices")
    client.delete(KEY_ID)
    client.hset("{g}:employees", "1", b"damaged")
    store_of(own).admission.check()
    client.delete(KEY_ID)
    client.hset(f"{{s0}}:device:{device_id.decode()}", "secrets", b"damaged")
    with pytest.raises(StoreRefused):
        store_of(own).admission.check()


def test_no_new_secret_key_is_created_if_there_is_data(tmp_path: Path) -> None:
    relay = Relay(tmp_path, WEB_CONCURRENCY="1")
    try:
        relay.start("store", "web")
        device, api_key = relay.device(), key_with(relay, "events:read")
        file = tmp_path / "data" / "secret_key"
        key = file.read_text()
        relay.stop()
        file.unlink()
        sentence = "secret_key is missing"
        refuses(relay, sentence, "web", "worker", "doctor", "up --no-simulator")
        relay.start("store")
        refuses(relay, sentence, "web", "doctor")
        assert not file.exists()
        file.write_text(key)
        relay.start("web")
        Device(relay, device.id, device.token).send_done(device.punch())
        assert relay.call("GET", "/v1/me", key=api_key).ok
    finally:
        relay.stop()


def test_a_short_key_is_refused_for_a_new_store_and_accepted_for_its_own(own: Relay) -> None:
    own.environment["RELAY_SECRET_KEY"] = "short-but-in-use"
    own.start("store")
    wait_for(
        lambda: (
            store_of(own).connection.redis.ping() if (own.folder / "data/store/valkey.sock").exists() else 0
        )
    )
    refuses(own, "is shorter than 32 characters", "web", "worker")
    # A store that an earlier version has started.
    store = store_of(own)
    store.connection.redis.set(KEY_ID, store.vault.key_id)
    own.start("web")
    own.device()
    ended = run(own, "doctor")
    assert "RELAY_SECRET_KEY is shorter than 32 characters" in ended.stdout and "rekey" in ended.stdout
    with pytest.raises(SettingsError, match="shorter than 32"):
        load({"RELAY_SECRET_KEY": "short", "RELAY_SECRET_KEY_OLD": KEY})
    own.kill("web")
    own.environment |= {"RELAY_SECRET_KEY": KEY, "RELAY_SECRET_KEY_OLD": "short-but-in-use"}
    assert "1 devices" in run(own, "rekey").stdout
    own.environment.pop("RELAY_SECRET_KEY_OLD")
    own.start("web")
    own.kill("web")
    own.environment["RELAY_SECRET_KEY"] = "short-but-in-use"
    refuses(own, WRONG, "web")


def test_an_empty_store_accepts_the_key_and_shards_of_the_next_start(own: Relay) -> None:
    own.start("store")
    wait_for(lambda: (own.folder / "data/store/valkey.sock").exists(), 60)
    own.environment |= {"RELAY_SECRET_KEY": OTHER, "RELAY_SHARDS": "64"}
    store_of(own).admission.check()
    own.environment |= {"RELAY_SECRET_KEY": KEY, "RELAY_SHARDS": "2"}
    store = store_of(own)
    store.admission.check()
    assert store.connection.redis.mget(KEY_ID, SHARDS) == [store.vault.key_id.encode(), b"2"]


def test_fewer_shards_than_before_prevent_the_start(own: Relay) -> None:
    own.environment["RELAY_SHARDS"] = "4"
    own.start("store", "web")
    own.device()
    own.kill("web")
    own.environment["RELAY_SHARDS"] = "2"
    sentence = "RELAY_SHARDS=2 is fewer than the 4 shards"
    refuses(own, sentence, "web", "worker", "up --no-simulator", "doctor")
    store = store_of(own)
    client = store.connection.redis
    # A store of an earlier version shows its shards by its devices, and by what removed devices have left.
    client.delete(SHARDS)
    client.hset("{g}:devices", "GONE", 3)
    with pytest.raises(StoreRefused, match="4 shards"):
        store.admission.check()
    client.delete(SHARDS, "{g}:devices")
    client.xadd("{s5}:events", {"b": "{}"})
    with pytest.raises(StoreRefused, match="6 shards"):
        store.admission.check()
    own.environment["RELAY_SHARDS"] = "8"
    store_of(own).admission.check()
    assert client.get(SHARDS) == b"8"
