"""Every instant trigger is attached at the relay, gets real deliveries, and is detached."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable

import pytest

from simulator.jpeg import make_jpeg
from tests.harness import Device, Receiver, verify, wait_for
from tests.make.app import App, Json, check_shown
from tests.make.runtime import Hook, Make
from tests.stage import Stage


def subscriptions(stage: Stage, receiver: Receiver) -> list[Json]:
    rows = stage.relay.get("/v1/subscriptions", params={"limit": 200})["data"]
    return [row for row in rows if row["target_url"] == receiver.url]


def bundles(app: App, hook: Hook, receiver: Receiver, count: int) -> list[Json]:
    """Waits for at least `count` events, checks the trigger's bundles against its interface, and returns them."""
    wait_for(lambda: len(receiver.events()) >= count, 20)
    found = []
    for got in list(receiver.received):
        status, items = hook.take(got.headers, got.body)
        assert status == 200
        found += items
    for item in found:
        check_shown(app["module", hook.name].files["interface"], item)
    return found


def punch(stage: Stage, device: Device) -> None:
    device.send_done(device.punch("8"))


def strange_punch(_stage: Stage, device: Device) -> None:
    device.send_done(device.punch(secrets.token_hex(4)))


def photo(stage: Stage, device: Device) -> None:
    stage.simulator.gateway.device(device.id).take_photo("8", make_jpeg("made up"))


def sends(number: int) -> Callable[[Stage, Device], None]:
    def send(_stage: Stage, device: Device) -> None:
        document = device.sample(number)
        document["RealTime"]["OperationID"] = secrets.token_hex(6)  # not a duplicate of the first
        device.send_done(document)

    return send


def command(user: str) -> Callable[[Stage, Device], None]:
    def give(stage: Stage, device: Device) -> None:
        body = {"device_id": device.id, "user_id": user}
        stage.relay.call("POST", "/v1/actions/delete-user", json=body)

    return give


CAUSES: dict[str, tuple[Callable[[Stage, Device], None], str]] = {
    "newPunch": (punch, "attendance.punch"),
    "newAttendancePhoto": (photo, "attendance.photo"),
    "userUpdated": (sends(3), "user.updated"),
    "userDeleted": (sends(1), "user.deleted"),
    "userUnknown": (strange_punch, "user.unknown"),
    "credentialUpdated": (sends(5), "credential.updated"),
    "deviceClockChanged": (sends(2), "device.time_changed"),
    "commandFinished": (command("nobody"), "command.failed"),
    "watchAnyEvent": (punch, "attendance.punch"),
}


# The relay sends these events on its own after some time. They have separate tests.
OWN = {"attendanceDayChanged", "deviceSilentOrBack"}


def test_every_trigger_is_tested(app: App) -> None:
    assert set(CAUSES) | OWN == {component.name for component in app.of("module", "instant_trigger")}
    assert set(CAUSES) | OWN == {component.name for component in app.of("webhook")}


@pytest.mark.parametrize("name", CAUSES)
def test_a_trigger_is_attached_gets_deliveries_and_is_detached(
    name: str, app: App, make: Make, stage: Stage, device: Device, receiver: Receiver
) -> None:
    cause, event_type = CAUSES[name]
    other = stage.new_device()
    hook = make.attach(name, receiver.url, device_ids=[device.id])
    (shown,) = subscriptions(stage, receiver)
    assert hook.data["externalHookId"] == shown["id"]
    assert shown["description"] == f"Make: {app['module', name].meta['label']}"
    cause(stage, other)  # must not be delivered, as it is another device
    cause(stage, device)
    found = bundles(app, hook, receiver, 1)
    assert {event["type"] for event in found} == {event_type}
    assert {event["device_id"] for event in found} == {device.id}
    stored = stage.relay.get(f"/v1/events/{found[0]['id']}")
    links = ("photo_url",)  # signed anew on each read
    assert {**stored, **{key: found[0][key] for key in links if key in stored}} == found[0]
    hook.detach()
    assert subscriptions(stage, receiver) == []
    cause(stage, device)
    wait_for(lambda: stage.relay.events(device_id=device.id, type=event_type)[len(found) :], 20)
    assert len(receiver.events()) == len(found)


def test_a_changed_day_of_attendance_is_delivered(
    app: App, make: Make, stage: Stage, device: Device, receiver: Receiver
) -> None:
    user = secrets.token_hex(4)
    hook = make.attach("attendanceDayChanged", receiver.url, user_ids=[user])
    for person in ("8", user):
        device.send_done(device.punch(person))
    (found,) = bundles(app, hook, receiver, 1)
    assert (found["type"], found["user_id"]) == ("attendance.day_changed", user)
    hook.detach()


def test_only_matching_events_are_delivered(
    app: App, make: Make, stage: Stage, device: Device, receiver: Receiver
) -> None:
    chosen = {"device_ids": [device.id], "user_ids": ["2", "3"], "punch_types": ["check_in", "check_out"]}
    hook = make.attach("newPunch", receiver.url, **chosen)
    (shown,) = subscriptions(stage, receiver)
    assert shown["filters"] == {**chosen, "command_ids": []}
    assert (shown["event_types"], shown["headers"]) == (["attendance.punch"], {"x-webhook-secret": "…"})
    for user in ("1", "2", "3"):
        device.send_done(device.punch(user))
    found = bundles(app, hook, receiver, 2)
    assert sorted(event["user_id"] for event in found) == ["2", "3"]


def test_a_changed_form_changes_the_subscription(
    app: App, make: Make, stage: Stage, device: Device, receiver: Receiver
) -> None:
    other = stage.new_device()
    hook = make.attach("newPunch", receiver.url, device_ids=[device.id], user_ids=["2"])
    hook.update(device_ids=[other.id], punch_types=["check_in"])
    (shown,) = subscriptions(stage, receiver)
    assert shown["filters"] == {
        "device_ids": [other.id],
        "user_ids": [],
        "punch_types": ["check_in"],
        "command_ids": [],
    }
    assert (shown["headers"], shown["batch_max"]) == ({"x-webhook-secret": "…"}, 100)
    punch(stage, device)
    punch(stage, other)
    assert [event["device_id"] for event in bundles(app, hook, receiver, 1)] == [other.id]


def test_samples_and_replays_arrive_like_events(
    app: App, make: Make, stage: Stage, device: Device, receiver: Receiver
) -> None:
    hook = make.attach("newPunch", receiver.url, device_ids=[device.id])
    subscription = f"/v1/subscriptions/{hook.data['externalHookId']}"
    punch(stage, device)
    (event,) = bundles(app, hook, receiver, 1)
    stage.relay.call("POST", f"{subscription}/test", json={})
    _, made_up = bundles(app, hook, receiver, 2)
    assert made_up["test"] is True
    stage.relay.call("POST", f"{subscription}/replay", json={"event_ids": [event["id"]]})
    assert bundles(app, hook, receiver, 3)[2] == event


def test_command_events_can_be_chosen(
    app: App, make: Make, stage: Stage, device: Device, receiver: Receiver
) -> None:
    every = make.attach("commandFinished", receiver.url, device_ids=[device.id])
    command("nobody")(stage, device)
    stage.relay.call("POST", "/v1/actions/load-device-information", json={"device_id": device.id})
    types = [event["type"] for event in bundles(app, every, receiver, 2)]
    assert sorted(types) == ["command.completed", "command.failed"]
    every.detach()
    make.attach("commandFinished", receiver.url, events=["command.failed"])
    assert subscriptions(stage, receiver)[0]["event_types"] == ["command.failed"]


def test_any_event_with_card_numbers_can_be_delivered(
    app: App, make: Make, stage: Stage, device: Device, receiver: Receiver
) -> None:
    hook = make.attach("watchAnyEvent", receiver.url, device_ids=[device.id], include_card_numbers=True)
    (shown,) = subscriptions(stage, receiver)
    assert (shown["event_types"], shown["include_card_numbers"]) == (["*"], True)
    for number in (3, 4, 1, 2):
        sends(number)(stage, device)
    found = bundles(app, hook, receiver, 5)
    assert {event["type"] for event in found} >= {"user.updated", "credential.updated", "user.deleted"}
    assert [event["card_number"] for event in found if event.get("card_number")]


def test_many_events_arrive_in_few_deliveries(
    app: App, make: Make, device: Device, receiver: Receiver
) -> None:
    hook = make.attach("newPunch", receiver.url, device_ids=[device.id])
    for number in range(60):
        device.send_done(device.punch(str(number)))
    found = bundles(app, hook, receiver, 60)
    assert sorted({event["user_id"] for event in found}, key=int) == [str(number) for number in range(60)]
    assert len(receiver.received) < 20


# Authentication of deliveries


def genuine(make: Make, device: Device, receiver: Receiver) -> tuple[Hook, dict[str, str], bytes]:
    """Returns a hook with the headers and body of a delivery from the relay."""
    hook = make.attach("newPunch", receiver.url, device_ids=[device.id])
    device.send_done(device.punch())
    (got,) = receiver.wait(1)
    return hook, got.headers, got.body


def test_deliveries_without_the_token_from_the_relay_are_refused(
    make: Make, device: Device, receiver: Receiver
) -> None:
    hook, headers, body = genuine(make, device, receiver)
    token = hook.data["token"]
    assert len(token) >= 32 and headers["x-webhook-secret"] == token
    assert hook.take(headers, body)[0] == 200
    others = {name: value for name, value in headers.items() if name != "x-webhook-secret"}
    for forged in (None, "", "another", token.swapcase(), f"{token} "):
        changed = others if forged is None else {**others, "x-webhook-secret": forged}
        assert hook.take(changed, body) == (401, []), forged


def test_a_webhook_without_a_token_accepts_nothing(make: Make, device: Device, receiver: Receiver) -> None:
    hook, headers, body = genuine(make, device, receiver)
    for token in ({}, {"token": None}, {"token": ""}):
        hook.data = {"externalHookId": hook.data["externalHookId"], **token}
        for sent in (headers, {}, {"x-webhook-secret": ""}):
            assert hook.take(sent, body) == (401, [])


def test_a_changed_form_keeps_the_token(make: Make, device: Device, receiver: Receiver) -> None:
    hook = make.attach("newPunch", receiver.url)
    hook.update(device_ids=[device.id])
    device.send_done(device.punch())
    (got,) = receiver.wait(1)
    assert hook.take(got.headers, got.body)[0] == 200


def test_a_webhook_that_is_added_again_has_a_new_token(
    make: Make, device: Device, receiver: Receiver
) -> None:
    first = make.attach("newPunch", receiver.url, device_ids=[device.id])
    first.detach()
    second, headers, body = genuine(make, device, receiver)
    assert first.data["token"] != second.data["token"]
    assert (first.take(headers, body)[0], second.take(headers, body)[0]) == (401, 200)


def test_the_relays_own_signature_is_sent_as_well(
    make: Make, stage: Stage, device: Device, receiver: Receiver
) -> None:
    """Make can't check the signature, but other receivers of the same delivery can."""
    hook, *_ = genuine(make, device, receiver)
    rotated = stage.relay.call(
        "POST", f"/v1/subscriptions/{hook.data['externalHookId']}/rotate-secret"
    ).json()
    device.send_done(device.punch("9"))
    got = receiver.wait(2)[1]
    assert verify(rotated["secret"], got) == json.loads(got.body)
