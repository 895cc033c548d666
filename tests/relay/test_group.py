"""Script calls from many threads are sent together. Each gets its own result, and none waits forever."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import redis

from app.settings.table import load
from app.store import Store
from app.store.intake.grouped_script import GroupedScript
from tests.harness import Relay, wait_for
from tests.stores import sentinel_pair

_CALLS = 300


@pytest.fixture
def script(relay: Relay) -> GroupedScript:
    """ingest.lua on the relay's store, in a separate process's view."""
    names = ("RELAY_DATA_DIR", "RELAY_SECRET_KEY", "REDIS_URL")
    environment = {name: relay.environment[name] for name in names if name in relay.environment}
    return GroupedScript(Store(load(environment)).connection, "ingest")


def ask(script: GroupedScript, device: str) -> Any:
    """Return the result of ingest.lua for an unknown device. A device named "broken" causes a script error."""
    arguments = ["1", "", "not a number" if device == "broken" else 0, 1, 0]
    return script([f"{{s0}}:events:{device}", f"{{s0}}:device:{device}"], arguments)


def test_every_thread_gets_its_own_result(script: GroupedScript) -> None:
    client, key = script._redis, "{s0}:device:even"
    client.hset(key, "v", "1")
    try:
        with ThreadPoolExecutor(32) as pool:
            devices = ["even" if number % 2 else "odd" for number in range(_CALLS)]
            answers = list(pool.map(lambda device: ask(script, device)[0], devices))
    finally:
        client.delete(key)
    assert answers == [b"stored" if device == "even" else b"device" for device in devices]


def test_many_threads_need_few_round_trips(script: GroupedScript) -> None:
    rounds: list[int] = []
    send = script._send

    def counted(commands: list[Any]) -> list[Any]:
        rounds.append(len(commands))
        return send(commands)

    script._send = counted  # type: ignore[method-assign]
    with ThreadPoolExecutor(32) as pool:
        list(pool.map(lambda _: ask(script, "nobody"), range(_CALLS)))
    assert sum(rounds) == _CALLS
    assert max(rounds) > 1


def test_a_script_the_store_forgot_is_loaded_again(script: GroupedScript) -> None:
    script._redis.script_flush()
    with ThreadPoolExecutor(8) as pool:
        assert {ask_[0] for ask_ in pool.map(lambda _: ask(script, "nobody"), range(50))} == {b"device"}


def test_a_connection_to_a_former_master_is_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An outdated sentinel named it. It can't store anything, so later calls must go to the new master."""
    environment = {"RELAY_DATA_DIR": str(tmp_path), "RELAY_SECRET_KEY": "x" * 32}
    with sentinel_pair(tmp_path, 1) as pair:
        made = GroupedScript(Store(load({**environment, "REDIS_URL": pair.url})).connection, "ingest")
        pool, (master, replica) = made._redis.connection_pool, pair.servers
        made._redis.hset("{s0}:device:even", "v", "1")
        wait_for(lambda: replica.client().hexists("{s0}:device:even", "v"))
        pool.disconnect()
        ports = iter([replica.port])
        monkeypatch.setattr(
            pool.sentinel_manager, "discover_master", lambda _: ("127.0.0.1", next(ports, master.port))
        )

        def is_stored() -> bool:
            with suppress(redis.RedisError):
                return bool(ask(made, "even")[0] == b"stored")
            return False

        wait_for(is_stored, 5)
        assert next(ports, None) is None


def test_if_the_store_is_away_all_waiting_threads_get_an_error_immediately(tmp_path: Path) -> None:
    made = GroupedScript(
        Store(load({"RELAY_DATA_DIR": str(tmp_path), "RELAY_SECRET_KEY": "x" * 32})).connection, "ingest"
    )
    with ThreadPoolExecutor(32) as pool:
        asked = [pool.submit(ask, made, "nobody") for _ in range(100)]
        assert all(isinstance(one.exception(20), redis.ConnectionError) for one in asked)
    assert made._sender is None and not made._waiting


def test_a_request_killed_while_it_sends_does_not_block_others(script: GroupedScript) -> None:
    class Ended(BaseException):
        """Ends a request, like gevent."""

    begun, go_on = threading.Event(), threading.Event()
    send = script._send

    def wait(commands: list[Any]) -> list[Any]:
        script._send = end  # type: ignore[method-assign]
        begun.set()
        go_on.wait(10)
        return send(commands)

    def end(commands: list[Any]) -> list[Any]:
        script._send = send  # type: ignore[method-assign]
        raise Ended

    script._send = wait  # type: ignore[method-assign]
    with ThreadPoolExecutor(3) as pool:
        first = pool.submit(ask, script, "nobody")
        assert begun.wait(10)
        others = [pool.submit(ask, script, "nobody") for _ in range(2)]
        wait_for(lambda: len(script._waiting) == 2)
        go_on.set()
        assert first.result(10)[0] == b"device"
        kinds = {type(other.exception(10)) for other in others}
    assert kinds == {Ended, redis.ConnectionError}  # the call that sent for both, and the other call
    assert ask(script, "nobody")[0] == b"device"
