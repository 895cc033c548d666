"""The chat and form formats, delivered to stand-ins that refuse what the real platforms refuse."""

from __future__ import annotations

import base64
import hmac
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, parse_qsl

import orjson
import pytest

from app.events.messages import message
from app.events.types import EVENT_TYPES, FIELDS
from tests.console.tools import Client
from tests.delivery.chat_platforms import PLATFORMS, Platform
from tests.delivery.tools import act, change, plan, punch, rows, shown, wait_rows
from tests.harness import API_KEY, Device, Received, Receiver, Relay, wait_for
from tests.relay.tools import key_with, problem

NAME = {"FirstName": "<!channel> *Asha*", "LastName": "<users/all> @everyone"}


@pytest.fixture(params=sorted(PLATFORMS))
def format_(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def platform(format_: str) -> Iterator[Platform]:
    made = PLATFORMS[format_]()
    yield made
    made.close()


def is_signed(secret: str, got: Received) -> bool:
    """Return whether the signature is valid, whatever the body's media type is."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = f"{got.headers['webhook-id']}.{got.headers['webhook-timestamp']}.".encode() + got.body
    right = "v1," + base64.b64encode(hmac.digest(key, signed, "sha256")).decode()
    return got.headers["webhook-signature"] == right


def test_a_punch_is_a_message_that_the_platform_accepts(
    relay: Relay, device: Device, platform: Platform, format_: str
) -> None:
    subscription = relay.subscribe(platform, device, event_types=["attendance.punch"], format=format_)
    device.send_done(device.envelope(UserUpdated={"UserID": "2", **NAME}))
    punch(device)
    (row,) = wait_rows(relay, subscription, 1)
    assert (row["status"], row["response_status"]) == ("delivered", platform.success[0]), platform.refusals
    ((line,),) = platform.messages
    name = line.replace("\u200b", "").replace("‹", "<").replace("›", ">")
    assert name.startswith(f"{NAME['FirstName']} {NAME['LastName']} (2) checked in at ")
    assert is_signed(subscription["secret"], platform.received[0])


def test_the_platform_accepts_a_test_event_of_each_type(
    relay: Relay, device: Device, platform: Platform, format_: str
) -> None:
    subscription = relay.subscribe(platform, device, format=format_)
    for event_type in EVENT_TYPES:
        act(relay, subscription, "test", event_type=event_type)
    wait_for(lambda: len(platform.received) >= len(EVENT_TYPES))
    wait_for(lambda: len(platform.messages) == len(EVENT_TYPES) or bool(platform.refusals))
    assert platform.refusals == []
    assert all(line.startswith("Test: ") for (line,) in platform.messages)


def test_a_batch_is_one_message_with_a_line_per_event(
    relay: Relay, device: Device, platform: Platform, format_: str
) -> None:
    subscription = relay.subscribe(
        platform, device, format=format_, event_types=["attendance.punch"], batch_max=3, batch_wait_ms=60_000
    )
    punch(device, 3)
    (row,) = wait_rows(relay, subscription, 1)
    assert (row["status"], row["event_count"]) == ("delivered", 3), platform.refusals
    (lines,) = platform.messages
    assert len(lines) == 3 and all("User 2 checked in" in line for line in lines)


@pytest.mark.parametrize("header", [{"Retry-After": "0.3"}, {"Retry-After": "1"}, {}])
def test_discords_rate_limit_in_fractions_of_a_second_is_obeyed_without_using_up_retries(
    relay: Relay, device: Device, receiver: Receiver, header: dict[str, str]
) -> None:
    texts = b'{"message": "You are being rate limited.", "retry_after": 0.3, "global": false}'
    limited = (429, {**header, "content-type": "application/json"}, texts)
    receiver.answer = plan(*[limited] * 6, then=(204, {}, b""))
    subscription = relay.subscribe(receiver, device, format="discord", max_in_flight=1)
    punch(device)
    (row,) = wait_rows(relay, subscription, 1, status="delivered", seconds=30)
    assert row["attempt_count"] == 7  # the schedule has three


def fields_of(got: Received) -> dict[str, str]:
    """Return a form's fields, each of which must appear once."""
    pairs = parse_qsl(got.body.decode("ascii"), keep_blank_values=True, strict_parsing=True)
    assert len(dict(pairs)) == len(pairs)
    return dict(pairs)


def test_a_form_has_the_fields_of_the_event(relay: Relay, device: Device, receiver: Receiver) -> None:
    subscription = relay.subscribe(receiver, device, format="form", event_types=["attendance.punch"])
    punch(device)
    (got,) = receiver.wait(1)
    assert got.headers["content-type"] == "application/x-www-form-urlencoded"
    assert is_signed(subscription["secret"], got)
    found = fields_of(got)
    assert tuple(found) == FIELDS["attendance.punch"]
    event = relay.get(f"/v1/events/{found['id']}")
    words: dict[Any, str] = {None: "", True: "true", False: "false"}
    assert found == {
        name: words[value] if value is None or isinstance(value, bool) else str(value)
        for name, value in event.items()
    }
    assert found["user_name"] == "" and found["test"] == "false"


def test_a_batch_from_a_former_format_is_delivered_completely_as_forms(
    relay: Relay, device: Device, receiver: Receiver
) -> None:
    subscription = relay.subscribe(
        receiver, device, event_types=["attendance.punch"], batch_max=2, batch_wait_ms=60_000
    )
    receiver.answer = plan((503, {"Retry-After": "2"}, b""))
    punch(device, 2)
    receiver.wait(1)
    change(relay, subscription, format="form", batch_max=1)
    _, got = receiver.wait(2, 20)
    assert len(set(parse_qs(got.body.decode())["id"])) == 2


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ({"format": "form", "batch_max": 2}, "batch_max"),
        ({"format": "xml"}, "format"),
        ({"format": "Slack"}, "format"),
    ],
)
def test_options_that_a_format_does_not_support_are_refused(
    relay: Relay, receiver: Receiver, fields: dict[str, Any], fault: str
) -> None:
    body = {"target_url": receiver.url, "event_types": ["*"]}
    problem(relay.call("POST", "/v1/subscriptions", json={**body, **fields}), 422, fault)


def test_a_change_is_checked_together_with_the_unchanged_fields(relay: Relay, receiver: Receiver) -> None:
    subscription = relay.subscribe(receiver, batch_max=5)
    path = f"/v1/subscriptions/{subscription['id']}"
    problem(relay.call("PATCH", path, json={"format": "form"}), 422, "batch_max")
    assert shown(relay, subscription)["format"] == "flat"
    assert change(relay, subscription, format="form", batch_max=1)["format"] == "form"
    problem(relay.call("PATCH", path, json={"batch_max": 2}), 422, "batch_max")


def test_the_secret_in_a_webhooks_path_is_never_shown(
    relay: Relay, device: Device, receiver: Receiver
) -> None:
    """No log, event, problem, metric or audit entry contains it. Only keys that may change the subscription see it."""
    secret = "made-up-T0000-B0000-XXXXXXXX"
    receiver.url = f"{receiver.url}/services/{secret}?key={secret}"
    receiver.answer = plan(500, then=410)
    subscription = relay.subscribe(receiver, device, format="slack")
    punch(device)
    wait_for(lambda: shown(relay, subscription)["status"] == "disabled")
    wait_for(lambda: bool(_disabled(relay, subscription)))
    (event,) = _disabled(relay, subscription)
    assert event["target_url"] == receiver.url.partition("/hook")[0]
    act(relay, subscription, "enable")
    refused = relay.call(
        "PATCH", f"/v1/subscriptions/{subscription['id']}", json={"target_url": f"ftp://x.example/{secret}"}
    )
    problem(refused, 422, "target_url")
    texts = [
        refused.text,
        relay.logs(),
        str(rows(relay, subscription)),
        *(relay.call("GET", path).text for path in ("/v1/events", "/v1/audit", "/metrics", "/health")),
    ]
    assert [text[:200] for text in texts if secret in text] == []
    path = f"/v1/subscriptions/{subscription['id']}"
    assert relay.get(path)["target_url"] == receiver.url
    reader = key_with(relay, "subscriptions:read")
    assert relay.get(path, key=reader)["target_url"] == event["target_url"]
    assert secret not in relay.call("GET", "/v1/subscriptions", key=reader).text
    console = Client(relay)
    console.sign_in(API_KEY)
    assert secret not in console.get("/console/subscriptions").text
    console = Client(relay)
    console.sign_in(reader)
    assert secret not in console.get(f"/console/subscriptions/{subscription['id']}").text


def _disabled(relay: Relay, subscription: dict[str, Any]) -> list[dict[str, Any]]:
    found = relay.events(type="subscription.disabled")
    return [event for event in found if event["subscription_id"] == subscription["id"]]


def test_a_name_cannot_contain_a_link_in_slack_compatible_messages() -> None:
    """Mattermost and Rocket.Chat render `[text](URL)`."""
    (body,) = orjson.loads(message("slack", ["[payroll](https://evil.example) checked in"])).values()
    assert "](" not in body and "payroll" in body
