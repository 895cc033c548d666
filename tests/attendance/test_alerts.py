"""`device.silent`, `device.back` and `user.unknown` are published once each, and not for the relay's own downtime."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from typing import Any

import pytest

from app.events.types import FIELDS
from app.settings.table import load
from app.store import Store
from tests.attendance.tools import a_user
from tests.harness import Device, Receiver, Relay, wait_for
from tests.relay.tools import problem
from tests.stage import Stage, stage

ALWAYS = "Mon-Sun 00:00-24:00"


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Relay]:
    """A relay without a worker, so that a test decides when devices are checked."""
    folder = tmp_path_factory.mktemp("watched")
    made = Relay(folder, WEB_CONCURRENCY="1").start("store", "web")
    yield made
    made.stop()


class Watch:
    """Checks the devices every minute, by a clock that the test controls."""

    def __init__(self, relay: Relay) -> None:
        self.store = Store(load(relay.environment))
        self.now = int(time.time() * 1000)

    def minutes(self, count: int, listening: bool = True) -> None:
        for _ in range(count):
            self.now += 60_000
            if listening:
                self.store.alerts.listening()
            else:
                self.store.connection.redis.delete("{g}:listening")
            self.store.alerts.check(self.now)

    def hear(self, device: Device) -> None:
        """Make the device contact the relay now."""
        shard = self.store.connection.shards[0]
        self.store.connection.redis.hset(shard.device(device.id), "last_seen", self.now)


def alerts(device: Device) -> list[str]:
    return [event["type"] for event in device.relay.events(device_id=device.id, type="device.*")]


@pytest.fixture
def watch(watched: Relay) -> Watch:
    made = Watch(watched)
    made.store.connection.redis.delete("{g}:alerts")
    made.minutes(1)
    return made


def test_each_device_silence_and_its_end_are_published_once(watched: Relay, watch: Watch) -> None:
    device = watched.device(silent_after_minutes=30, working_hours=ALWAYS, timezone="Asia/Kolkata")
    never_heard = watched.device(silent_after_minutes=30, working_hours=ALWAYS)
    not_wanted = watched.device()
    for one in (device, not_wanted):
        watch.hear(one)
    heard = watch.now
    watch.minutes(29)
    assert alerts(device) == []
    watch.minutes(1)
    assert alerts(device) == ["device.silent"]
    watch.minutes(60)
    Watch(watched).store.alerts.check(watch.now)  # after a restart
    assert alerts(device) == ["device.silent"]
    (silent,) = watched.events(device_id=device.id, type="device.silent")
    assert tuple(silent) == FIELDS["device.silent"]
    assert (silent["silent_after_minutes"], silent["working_hours"]) == (30, ALWAYS)
    assert silent["occurred_at"].endswith("+05:30")
    shown = watched.get(f"/v1/devices/{device.id}")
    assert shown["silent_since"] == shown["last_seen_at"] is not None

    watch.hear(device)
    watch.minutes(5)
    assert alerts(device) == ["device.silent", "device.back"]
    (back,) = watched.events(device_id=device.id, type="device.back")
    assert tuple(back) == FIELDS["device.back"]
    assert back["silent_since"] == silent["last_seen_at"]
    assert back["silent_seconds"] == (watch.now - 5 * 60_000 - heard) // 1000
    assert watched.get(f"/v1/devices/{device.id}")["silent_since"] is None
    watch.minutes(30)
    assert alerts(device) == ["device.silent", "device.back", "device.silent"]
    assert alerts(never_heard) == alerts(not_wanted) == []


@pytest.mark.parametrize("absent", ["web", "worker"])
def test_downtime_of_the_relay_causes_no_alert(watched: Relay, watch: Watch, absent: str) -> None:
    device = watched.device(silent_after_minutes=30, working_hours=ALWAYS)
    watch.hear(device)
    watch.minutes(20)
    if absent == "web":
        watch.minutes(200, listening=False)
    else:
        watch.now += 200 * 60_000
    watch.minutes(29)
    assert alerts(device) == []
    watch.minutes(2)
    assert alerts(device) == ["device.silent"]


def test_only_silence_in_working_hours_counts(watched: Relay, watch: Watch) -> None:
    weekday = time.strftime("%a", time.gmtime(watch.now / 1000 + 3 * 86_400))
    device = watched.device(silent_after_minutes=10, working_hours=f"{weekday} 00:00-24:00")
    watch.hear(device)
    watch.minutes(120)
    assert alerts(device) == []


def test_turning_alerts_off_ends_a_silence_without_an_event(watched: Relay, watch: Watch) -> None:
    device = watched.device(silent_after_minutes=5, working_hours=ALWAYS)
    watch.hear(device)
    watch.minutes(6)
    change = {"silent_after_minutes": 0}
    assert watched.call("PATCH", f"/v1/devices/{device.id}", json=change).status_code == 200
    watch.minutes(1)
    watch.hear(device)
    watch.minutes(20)
    assert alerts(device) == ["device.silent"]


@pytest.mark.parametrize(
    "wrong", [{"silent_after_minutes": -1}, {"silent_after_minutes": "60"}, {"working_hours": "9 to 5"}]
)
def test_invalid_alert_settings_of_a_device_are_refused(watched: Relay, wrong: dict[str, Any]) -> None:
    device = watched.device()
    problem(watched.call("PATCH", f"/v1/devices/{device.id}", json=wrong), 422, *wrong)


# Unknown users


def unknown(device: Device) -> list[str]:
    return [event["user_id"] for event in device.relay.events(device_id=device.id, type="user.unknown")]


def test_an_unknown_user_is_published_once_and_only_if_users_are_known(
    office: Relay, receiver: Receiver
) -> None:
    device, silent = office.device(label="Gate"), office.device()
    office.subscribe(receiver, device, silent, events=["user.unknown"])
    device.send_done(device.sample(4))  # reports user 8
    unknown_user, employed = a_user(), a_user()
    office.call("PUT", f"/v1/employees/{employed}", json={"employee_id": "E1"})
    for user in (unknown_user, "8", employed, unknown_user):
        for one in (device, silent):
            one.send_done(one.punch(user))
    wait_for(receiver.events, 20)
    assert unknown(silent) == [] and unknown(device) == [unknown_user]
    (event,) = receiver.events()
    assert tuple(event) == FIELDS["user.unknown"]
    assert (
        event["device_label"] == office.get(f"/v1/events/{event['punch_event_id']}")["device_label"] == "Gate"
    )
    device.send_done(device.punch(unknown_user))
    last = a_user()
    device.send_done(device.punch(last))
    wait_for(lambda: unknown(device) == [unknown_user, last], 20)


@pytest.fixture
def small_stage(tmp_path: Any) -> Iterator[Stage]:
    with stage(tmp_path) as made:
        yield made


def test_a_user_added_by_a_command_is_not_unknown(small_stage: Stage) -> None:
    relay, device, user = small_stage.relay, small_stage.device, a_user()
    body = {"device_id": device.id, "user_id": user, "first_name": "Asha", "card_number": "7"}
    assert relay.call("POST", "/v1/actions/add-user", json=body).status_code == 200
    device.send_done(device.punch(user))
    other = a_user()
    device.send_done(device.punch(other))
    wait_for(lambda: other in unknown(device), 20)
    assert user not in unknown(device)


def test_damaged_data_of_the_check_restarts_it(watched: Relay, watch: Watch) -> None:
    device = watched.device(silent_after_minutes=5, working_hours=ALWAYS)
    watch.hear(device)
    for name in ("checked", "since"):
        watch.store.connection.redis.hset("{g}:alerts", name, "x")
        watch.minutes(1)
    watch.minutes(6)
    assert alerts(device) == ["device.silent"]


@pytest.mark.parametrize(
    ("field", "value"), [("record", b"[]"), ("record", b"{}"), ("secrets", b"x"), (None, b"x")]
)
def test_a_damaged_device_does_not_prevent_alerts_for_others(
    watched: Relay, watch: Watch, field: str | None, value: bytes
) -> None:
    damaged, other = (
        watched.device(
            device_id=f"{name}{secrets.token_hex(4)}", silent_after_minutes=5, working_hours=ALWAYS
        )
        for name in ("A", "B")
    )
    for device in (damaged, other):
        device.send_done(device.punch())
    key, client = watch.store.connection.shards[0].device(damaged.id), watch.store.connection.redis
    before = client.dump(key)
    if field is None:
        client.delete(key)
        client.set(key, value)
    else:
        client.hset(key, field, value)
    watch.minutes(8)
    assert alerts(other) == ["device.silent"]
    client.restore(key, 0, before, replace=True)
