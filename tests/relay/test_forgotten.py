"""A person with every kind of stored data is exported completely, and erased everywhere.

This runs on every kind of store: see scripts/test.
"""

from __future__ import annotations

import base64
import json
import secrets
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from app.settings.table import load
from app.store import Store
from app.store.privacy.scrub import Scrub
from app.store.privacy.stored_data import STORED_DATA, pattern
from app.store.server.connection import make_client, rewrite_append_only_files
from app.store.server.keys import AUDIT
from simulator.gateway import Gateway
from simulator.serving import SimulatorServer
from tests.actions.tools import Machine, machine
from tests.command_line import cli
from tests.harness import Device, Receiver, Relay, wait_for
from tests.relay.tools import corrected_punch, events, stored_values

# Where `export` shows each kind of key that contains personal data.
SHOWN = {
    "{s0}:events": "events",
    "{s0}:events:user:U": "events",
    "{s0}:punches:D:U:WEEK": "remembered_punches",
    "{s0}:user:D:U": "users",
    "{s0}:users:D": "user_id_lists",
    "{s0}:blob:ID": "events",
    "{s0}:sub:S:queue": "deliveries",
    "{s0}:sub:S:due": "deliveries",
    "{s0}:sub:S:retry": "deliveries",
    "{s0}:sub:S:dead": "deliveries",
    "{s0}:sub:S:state": "deliveries",
    "{s0}:sub:S:answers": "deliveries",
    "{s0}:sub:S:batches": "deliveries",
    "{s0}:command:C": "commands",
    "{s0}:attendance:week:U:WEEK": "attendance",
    "{s0}:attendance:day:DAY": "attendance",
    "{s0}:attendance:changed": "attendance",
    "{s0}:attendance:told:DATE": "attendance",
    "{s0}:corrections": "corrections",
    "{s0}:commanded:D": "user_id_lists",
    "{s0}:strangers:D": "user_id_lists",
    "{g}:employees": "employee",
}
# These expire within an hour, and `forget` deletes them. The second one exists if another test made a backup.
OF_THE_MOMENT = {"{s0}:rewriting:events", "{s0}:backup", "{g}:wrong_types"}


@dataclass
class Planted:
    """A person, with texts that appear in every trace of them."""

    user_id: str
    name: str
    employee_id: str
    template: str
    photo: str
    pin: str

    def texts(self) -> list[str]:
        return [self.user_id, self.name, self.employee_id, self.template, self.photo, self.pin]


@dataclass
class Lived:
    """A relay that has traces of a person everywhere."""

    relay: Relay
    person: Planted
    other: str
    machine: Machine
    unregistered: Device
    receivers: list[Receiver]


def person() -> Planted:
    return Planted(
        user_id=str(10_000_000 + secrets.randbelow(89_999_999)),
        name=f"Planted-{secrets.token_hex(6)}",
        employee_id=f"EMP-{secrets.token_hex(6)}",
        template=base64.b64encode(secrets.token_bytes(60)).decode(),
        photo=base64.b64encode(b"\xff\xd8\xff" + secrets.token_bytes(60)).decode(),
        pin=str(10**9 + secrets.randbelow(10**9)),
    )


@pytest.fixture(scope="module")
def lived(relay: Relay) -> Iterator[Lived]:
    # The targets accept; always fail; ask to wait; and fail for batches.
    receivers = [Receiver() for _ in range(4)]
    receivers[1].answer = receivers[3].answer = lambda _: (500, {}, b"")
    receivers[2].answer = lambda _: (503, {"Retry-After": "600"}, b"")
    made = []
    try:
        with SimulatorServer(Gateway(relay.url)) as sim:
            one = machine(relay, sim)
            unregistered = relay.device()
            batches = {"batch_max": 20, "batch_wait_ms": 200}
            for receiver, more in zip(receivers, ({}, {}, {}, batches), strict=True):
                made.append(relay.subscribe(receiver, one.registered, unregistered, **more))
            made.append(relay.subscribe(receivers[0], events=["attendance.day_changed"]))
            found = Lived(relay, person(), f"8{secrets.randbelow(10**8):08d}", one, unregistered, receivers)
            leave_traces(found, made)
            yield found
    finally:
        for subscription in made:
            relay.call("DELETE", f"/v1/subscriptions/{subscription['id']}")
        for receiver in receivers:
            receiver.close()


def updated(user_id: str, name: str, *templates: dict[str, str]) -> dict[str, Any]:
    rows = [{**template, "UserID": user_id} for template in templates]
    return {"UserID": user_id, "FirstName": name, "UserType": "User", "Template": rows}


def leave_traces(lived: Lived, subscriptions: list[dict[str, Any]]) -> None:
    relay, who, device, unregistered = lived.relay, lived.person, lived.machine.registered, lived.unregistered
    # An unknown user on a device whose users are known.
    unregistered.send_done(unregistered.envelope(UserUpdated=updated(lived.other, "Other")))
    unregistered.send_done(unregistered.punch(who.user_id))
    wait_for(lambda: events(unregistered, type="user.unknown"))
    row = {"employee_id": who.employee_id, "name": who.name}
    assert relay.call("PUT", f"/v1/employees/{who.user_id}", json=row).ok
    # Traces of commands.
    lived.machine.done(
        "add-user", user_id=who.user_id, first_name=who.name, face_data=who.template, password=who.pin
    )
    lived.machine.device.punch(who.user_id, at=datetime.now(UTC).replace(microsecond=0) - timedelta(hours=2))
    today = datetime.now(UTC)
    loaded = lived.machine.done(
        "load-log",
        start_time=(today - timedelta(days=1)).isoformat(),
        end_time=(today + timedelta(hours=1)).isoformat(),
    )
    assert who.user_id in [row["user_id"] for row in loaded["logs"]]
    # Traces of callbacks, one of which is about two people.
    templates = (
        {"Type": "Face", "Index": "0", "Size": "60", "Data": who.template},
        {"Type": "Password", "Data": who.pin},
        {"Type": "Card", "Data": f"77{who.pin}"},
    )
    both = [updated(who.user_id, who.name, *templates), updated(lived.other, "Other")]
    device.send_done(device.envelope(UserUpdated=both))
    for user in (who.user_id, lived.other):
        device.send_done(device.punch(user))
    photo = {"UserID": who.user_id, "LogPhoto": who.photo, "LogTime": "2026-11-24 09:00:00 GMT +0530"}
    device.send_done(device.envelope(Log=photo))
    device.send_done(device.envelope(NewThing={"UserID": who.user_id, "Name": who.name}))
    wait_for(lambda: relay.get(f"/v1/subscriptions/{subscriptions[1]['id']}")["dead"] > 5, 30)
    wait_for(lambda: relay.get(f"/v1/subscriptions/{subscriptions[3]['id']}")["dead"] > 0, 30)
    wait_for(lambda: relay.get(f"/v1/subscriptions/{subscriptions[2]['id']}")["retrying"] > 0)
    wait_for(lambda: relay.events(type="attendance.day_changed", user_id=who.user_id), 30)
    corrected_punch(relay, device.id, who.user_id)
    # An unknown user makes the relay look at the commands.
    device.send_done(device.punch(f"9{secrets.randbelow(10**8):08d}"))
    wait_for(lambda: any(":commanded:" in key for key in traces(lived)), 60)


def traces(lived: Lived) -> dict[str, bytes]:
    """Return all keys with traces of the person, except the audit log, which records who was forgotten."""
    texts = lived.person.texts()
    return {
        key: value
        for key, value in stored_values(lived.relay).items()
        if key != AUDIT and any(text in key or text.encode() in value for text in texts)
    }


def kind_of(key: str) -> str:
    return next(
        data.key for data in STORED_DATA if pattern(data).fullmatch(key) and is_as_deep(data.key, key)
    )


def is_as_deep(kind: str, key: str) -> bool:
    """Distinguishes `events` from `events:user:U`, because none of the IDs here contains a colon."""
    return kind.count(":") == key.count(":")


def test_every_kind_of_personal_data_is_exported() -> None:
    assert {data.key for data in STORED_DATA if data.of == "person"} == SHOWN.keys() | OF_THE_MOMENT


def test_a_person_is_exported_completely_and_then_erased_everywhere(lived: Lived) -> None:
    relay, who = lived.relay, lived.person
    found = json.loads(cli(relay, "export", "--user", who.user_id, "--templates"))
    kinds = {kind_of(key) for key in traces(lived)}
    assert {"{s0}:events", "{s0}:attendance:told:DATE", "{s0}:strangers:D", "{s0}:commanded:D"} <= kinds
    assert kinds <= SHOWN.keys() | OF_THE_MOMENT
    for kind in kinds - OF_THE_MOMENT:
        assert found[SHOWN[kind]], kind
    assert found["employee"] == {
        "user_id": who.user_id,
        "employee_id": who.employee_id,
        "name": who.name,
        "device_id": None,
    }
    assert {"attendance.punch", "attendance.photo", "attendance.day_changed", "callback.unrecognised"} | {
        "user.updated", "user.unknown", "credential.updated", "command.completed"
    } <= {event["type"] for event in found["events"]}  # fmt: skip
    states = {one["state"] for one in found["deliveries"]}
    assert states >= {"dead letter", "in a batch"} and states & {"queued", "due", "retrying"}
    assert {one["kind"] for one in found["attendance"]} >= {"punch", "day", "day published"}
    assert {one["list"] for one in found["user_id_lists"]} == {
        "user of the device", "put there by a command", "unknown user"
    }  # fmt: skip
    assert [row["user_id"] for row in found["loaded_log_rows"]] == [who.user_id]
    assert [one["action"] for one in found["commands"]] == ["add-user"]
    shown = json.dumps(found)
    for text in who.texts():
        assert text in shown, text
    assert lived.other not in shown
    plain = cli(relay, "export", "--user", who.user_id)
    assert who.name in plain and not any(text in plain for text in (who.template, who.photo, who.pin))

    before = of_other(lived)
    output = cli(relay, "forget", "--user", who.user_id, "--yes")
    for what in (
        "1 employees",
        "1 commands",
        "1 corrections of punches",
        "1 photos",
        "1 rows of loaded logs",
        "1 places in others' callbacks",
    ):
        assert what in output, output
    assert traces(lived) == {}
    empty = json.loads(cli(relay, "export", "--user", who.user_id, "--templates"))
    assert {value for name, value in empty.items() if not isinstance(value, list)} == {who.user_id, None}
    assert not any(value for value in empty.values() if isinstance(value, list))
    assert "There is no data about this user" in cli(relay, "forget", "--user", who.user_id, "--yes")
    # The other person's part of the same callbacks is still there.
    assert of_other(lived) == before and len(before) == 3
    store = Store(load(relay.environment))
    raws = [store.events.raw(event_id) or b"" for event_id in before]
    assert sum(b'"FirstName":"Other"' in raw for raw in raws) == 2
    # The relay still works.
    count = len(lived.receivers[0].received)
    lived.unregistered.send_done(lived.unregistered.punch(lived.other))
    lived.receivers[0].wait(count + 1)
    if "REDIS_URL" not in relay.environment:
        check_files(lived)


def of_other(lived: Lived) -> list[str]:
    """Return the other person's events, except those that the relay creates later."""
    found = lived.relay.events(user_id=lived.other, type="user.updated,attendance.punch")
    return [event["id"] for event in found]


def check_files(lived: Lived) -> None:
    """Check that no file contains the person, including the append-only file after it is rewritten."""
    client = make_client(load(lived.relay.environment))
    client.config_set("rdbcompression", "no")  # so that every name can be found
    rewrite_append_only_files(client)  # waits for the rewrite started by `forget`
    wait_for(lambda: not client.info("persistence")["aof_rewrite_in_progress"], 20)
    files = [path for path in Path(lived.relay.environment["RELAY_DATA_DIR"]).rglob("*") if path.is_file()]
    assert any(path.suffix == ".rdb" and lived.other.encode() in path.read_bytes() for path in files)
    texts = [text.encode() for text in lived.person.texts()[1:]]  # the audit log contains the user ID
    for path in files:
        for text in texts:
            assert text not in path.read_bytes(), path
    assert not any(path.suffix in (".spool", ".parked") for path in files)


def test_events_that_arrive_during_an_erasure_are_kept_and_delivered(
    relay: Relay, receiver: Receiver
) -> None:
    device = relay.device()
    relay.subscribe(receiver, device, events=["attendance.punch"])
    store = Store(load(relay.environment))
    shard = store.connection.shard_of(device.id)
    assert shard is not None
    sent, enough = [0], threading.Event()

    def send() -> None:
        while not enough.is_set():
            device.send_done(device.punch())
            sent[0] += 1

    sending = threading.Thread(target=send)
    sending.start()
    try:
        written = 0
        while sending.is_alive() and (written < 10 or sent[0] < 200):
            Scrub(store.connection).run(shard)
            written += 1
    finally:
        enough.set()
        sending.join()
    found = [event["id"] for event in events(device)]
    assert sent[0] >= 200 and len(found) == len(set(found)) == sent[0]
    receiver.wait(sent[0], 30)
    assert sorted(event["id"] for event in receiver.events()) == found
    assert not store.connection.redis.exists(shard.rewriting, shard.rewritten_events)
