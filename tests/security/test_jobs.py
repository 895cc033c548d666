"""Write access to Redis doesn't allow running code in the worker: only signed jobs of the relay's functions run."""

from __future__ import annotations

import json
import os
import pickle
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rq import Queue
from rq.job import Callback

from app.settings.table import load
from app.store import Store
from app.store.jobs import QUEUE, SignedJob, enqueue, queue
from tests.delivery.tools import act, client, punch
from tests.harness import Device, Receiver, Relay, wait_for
from workers.rq.former_jobs import NotPlain, call_of

FORMER = "relay"


def store_of(relay: Relay) -> Store:
    return Store(load(relay.environment))


def refused(relay: Relay) -> int:
    return int(client(relay).hget("{g}:counters", "jobs_refused") or 0)


class Evil:
    """Creates a file when it is unpickled."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mknod, (str(self.file),)


def forge(relay: Relay, name: str, fields: dict[str, Any], where: str) -> None:
    """Write a job like an attacker with Redis's password: waiting in a queue, scheduled, or running."""
    redis = client(relay)
    redis.hset(f"rq:job:{name}", mapping=fields)
    kind, _, named = where.partition(":")
    if kind == "queue":
        redis.lpush(f"rq:queue:{named}", name)
    else:
        redis.zadd(f"rq:{kind}:{named}", {name: time.time() - 5})


def forged(file: Path, how: str) -> dict[str, Any]:
    """Return a job that creates a file if it is run or unpickled."""
    status = {"status": "queued", "origin": QUEUE, "timeout": "60"}
    pickled = zlib.compress(pickle.dumps(("os.mknod", None, (str(file),), {})))
    plain = json.dumps(["os.mknod", None, [str(file)], {}]).encode()
    ours = json.dumps(["upkeep", None, [], {}]).encode()
    return {
        "pickle": {**status, "data": zlib.compress(pickle.dumps(Evil(file)))},
        "pickled call": {**status, "data": pickled},
        "JSON": {**status, "data": plain},
        "signed at random": {**status, "data": plain, "signature": "0" * 64},
        "meta": {
            **status,
            "data": ours,
            "meta": pickle.dumps(Evil(file)),
            "result": pickle.dumps(Evil(file)),
        },
        "callback": {
            **status,
            "data": ours,
            "success_callback_name": "os.mknod",
            "failure_callback_name": "os.mknod",
        },
    }[how]


@pytest.mark.parametrize("how", ["pickle", "pickled call", "JSON", "signed at random", "meta", "callback"])
@pytest.mark.parametrize(
    "where",
    [f"queue:{QUEUE}", f"scheduled:{QUEUE}", f"queue:{FORMER}", f"scheduled:{FORMER}", f"wip:{FORMER}"],
)
def test_a_forged_job_is_refused_and_removed(relay: Relay, tmp_path: Path, how: str, where: str) -> None:
    before, file, name = refused(relay), tmp_path / "made", f"forged-{how.replace(' ', '-')}"
    forge(relay, name, forged(file, how), where)
    wait_for(lambda: not client(relay).exists(f"rq:job:{name}"), 20)
    wait_for(lambda: refused(relay) > before)
    assert not file.exists()


def test_the_worker_keeps_running(relay: Relay, receiver: Receiver, device: Device) -> None:
    redis = client(relay)
    redis.lpush(f"rq:queue:{QUEUE}", "not an id", b"\xff\xfe", "nobody")
    redis.set("rq:job:text", "no hash")
    redis.lpush(f"rq:queue:{QUEUE}", "text")
    redis.zadd(f"rq:scheduled:{QUEUE}", {"also text": 1, b"\xff": 1})
    subscription = relay.subscribe(receiver, device)
    act(relay, subscription, "test", delay_seconds=1)
    receiver.wait(1, 20)
    wait_for(lambda: not redis.zrangebyscore(f"rq:scheduled:{QUEUE}", 0, 1))


def test_a_signed_job_can_be_neither_changed_nor_moved(relay: Relay) -> None:
    store = store_of(relay)
    ours = queue(store.connection).create_job("upkeep")
    signed = ours.to_dict()
    other = json.dumps(["release_test", None, ["s", "d"], {}])
    for changed in ({**signed, "data": other}, {**signed, "timeout": "999999"}):
        with pytest.raises(Exception, match="refused"):
            restored(store, ours.id, changed)
    with pytest.raises(Exception, match="refused"):
        restored(store, "another-id", signed)
    assert restored(store, ours.id, signed).func_name == "upkeep"
    poisoned = {
        **signed,
        "success_callback_name": "os.system",
        "meta": pickle.dumps(1),
        "webhooks": "[]",
        "repeats_left": "3",
    }
    read = restored(store, ours.id, poisoned)
    assert read.success_callback is None and read.meta == {} and read.repeats_left is None


def restored(store: Store, name: str, fields: dict[str, Any]) -> SignedJob:
    kind: Any = queue(store.connection).job_class
    job: SignedJob = kind(name, store.connection.rq)
    encode = store.connection.rq.get_encoder().encode
    job.restore({key.encode(): encode(value) for key, value in fields.items()})
    return job


def test_a_signed_job_of_a_foreign_function_is_refused(relay: Relay) -> None:
    before = refused(relay)
    enqueue(store_of(relay).connection, "os.getpid")
    wait_for(lambda: refused(relay) > before)


def test_the_relays_jobs_are_not_pickled(relay: Relay, receiver: Receiver, device: Device) -> None:
    subscription = relay.subscribe(receiver, device)
    act(relay, subscription, "test", delay_seconds=5)
    (job,) = [
        client(relay).hgetall(key)
        for key in client(relay).scan_iter(match="rq:job:*")
        if b"release_test" in (client(relay).hget(key, "description") or b"")
    ][:1]
    function, instance, arguments, named = json.loads(zlib.decompress(job[b"data"]))
    assert (function, instance, named) == ("release_test", None, {}) and arguments[0] == subscription["id"]
    assert len(job[b"signature"]) == 64
    receiver.wait(1)


# Jobs queued by version 0.1


def test_replays_and_test_events_queued_by_the_former_version_are_run(
    relay: Relay, receiver: Receiver, device: Device
) -> None:
    punch(device, 3)
    subscription = relay.subscribe(receiver, device, events=["attendance.punch"])
    former = Queue(FORMER, connection=client(relay))
    former.enqueue("workers.jobs.replay", subscription["id"], 0, int(time.time() * 1000), result_ttl=0)
    receiver.wait(3, 20)
    event = {"type": "attendance.punch", "test": True, "temperature_celsius": 36.5, "user_id": "7"}
    former.enqueue("workers.jobs.send_test", subscription["id"], event)
    (got,) = receiver.wait(4, 20)[3:]
    assert got.json["temperature_celsius"] == 36.5
    before = refused(relay)
    former.enqueue("workers.jobs.release_retries", subscription["id"], 0)
    former.enqueue("workers.jobs.upkeep", on_success=Callback("os.abort"))
    wait_for(lambda: not client(relay).llen(f"rq:queue:{FORMER}"), 20)
    assert refused(relay) == before


@pytest.mark.parametrize(
    "value",
    [
        ("f", None, ("a", 1, -5, 2**40, 1.5, None, True, False), {}),
        ("f", None, ({"a": 1, "b": {"c": [1, 2, "x" * 300]}}, {}, [], ()), {}),
        ("f", None, (), {}),
    ],
)
def test_plain_pickles_are_read(value: tuple[Any, ...]) -> None:
    assert call_of(pickle.dumps(value, pickle.HIGHEST_PROTOCOL)) == (value[0], list(value[2]))


@pytest.mark.parametrize(
    "make",
    [
        lambda file: pickle.dumps(Evil(file)),
        lambda file: pickle.dumps(("f", None, (Evil(file),), {})),
        lambda file: pickle.dumps(("f", Evil, (), {})),
        lambda file: b"cos\nmknod\n(V" + str(file).encode() + b"\ntR.",
        lambda file: b"",
        lambda file: b"\x80\x05]\x94r\xff\xff\xff\x7f.",
        lambda file: pickle.dumps(7),
        lambda file: pickle.dumps(("f", None, (), {"a": 1})),
        lambda file: b"\x80\x05" + b"]" * 100_000 + b"a" * 99_999 + b".",
    ],
)
def test_no_other_pickle_is_read(make: Callable[[Path], bytes], tmp_path: Path) -> None:
    with pytest.raises(NotPlain):
        call_of(make(tmp_path / "made"))
    assert not (tmp_path / "made").exists()
