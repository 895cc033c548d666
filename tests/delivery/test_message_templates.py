"""A subscription's template replaces the sentences of its messages, and no event makes one that a platform refuses."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from app.events import messages, templates
from app.events.formats import CHATS, MESSAGES
from app.events.samples import sample
from app.events.sentences import sentence
from app.events.types import EVENT_TYPES
from tests.delivery.chat_platforms import PLATFORMS, Platform
from tests.delivery.tools import act, change, punch, rows, shown, wait_rows
from tests.harness import Device, Receiver, Relay, wait_for
from tests.relay.tools import key_with, problem

HOSTILE = "<!channel> @everyone <users/all> *a* [x](https://evil.example) `b` & </at> ||c|| \\"
PUNCH = {**sample("attendance.punch"), "test": False, "user_name": "Asha Rao", "user_id": "2"}


@pytest.fixture(params=MESSAGES)
def format_(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def platform(format_: str) -> Platform:
    """A platform that is only used to read messages."""
    return PLATFORMS[format_].__new__(PLATFORMS[format_])


def line(template: str, **fields: Any) -> str:
    return messages.of_events("text", [{**PUNCH, **fields}], template).decode()


@pytest.mark.parametrize(
    ("template", "fields", "expected"),
    [
        ("{{user_name}} is in", {}, "Asha Rao is in"),
        ("{{ user_name }}", {}, "Asha Rao"),
        ("{{user_name|user_id}}", {"user_name": None}, "2"),
        ('{{employee_id|"no ID"}}', {"employee_id": None}, "no ID"),
        ('{{employee_id|"a|b"}}', {"employee_id": None}, "a|b"),
        ("{{employee_id}}?", {"employee_id": None}, "?"),
        ("late: {{is_late_arrival}}", {"is_late_arrival": True}, "late: yes"),
        ("{{temperature_celsius}}", {"temperature_celsius": 36.6}, "36.6"),
        ("{{command_id}}!", {}, "!"),  # a punch has none
        ("{not a field} }{", {}, "{not a field} }{"),
        ("one\ntwo", {}, "one\ntwo"),
        ("{{user_name}}", {"user_name": "a\nb\u202ec"}, "a b c"),
        ("{{user_name}}", {"user_name": "{{user_id}}"}, "{{user_id}}"),  # isn't a template itself
        ("{{user_id}}", {"test": True}, "Test: 2"),
    ],
)
def test_fields_are_replaced(template: str, fields: dict[str, Any], expected: str) -> None:
    assert line(template, **fields) == expected


def test_the_usual_sentence_can_be_part_of_it() -> None:
    assert line(">> {{sentence}}") == f">> {sentence(PUNCH)}"
    assert line(">> {{sentence}}", test=True) == f">> {sentence({**PUNCH, 'test': True})}"


@pytest.mark.parametrize(
    "template", ["{{employee_id}} {{card_number}}", " {{employee_id}}", '{{employee_id|""}}']
)
def test_a_message_is_never_empty(template: str) -> None:
    assert line(template, employee_id=None) == sentence(PUNCH)


@pytest.mark.parametrize(
    ("template", "why"),
    [
        ("{{user_nam}}", "Did you mean user_name?"),
        ("{{user_name", "has {{ or }} without the other"),
        ("user_name}}", "has {{ or }} without the other"),
        ("{{}}", "is not a field"),
        ("{{user_name.upper()}}", "is not a field"),
        ("{{7*7}}", "is not a field"),
        ("{{user_id}}" * 21, "more than 20"),
        ("x" * 501, "longer than 500"),
    ],
)
def test_a_wrong_template_is_explained(template: str, why: str) -> None:
    with pytest.raises(templates.TemplateError, match=None) as raised:
        templates.parse(template)
    assert why in str(raised.value)


def test_a_field_of_a_later_version_does_not_stop_deliveries() -> None:
    assert line("{{field_of_tomorrow}}") == sentence(PUNCH)


def test_no_name_adds_markup_or_mentions(platform: Platform, format_: str) -> None:
    (read,) = platform.read(
        messages.of_events(format_, [{**PUNCH, "user_name": HOSTILE}], "{{user_name}} came")
    )
    plain = read.replace("\u200b", "").replace("‹", "<").replace("›", ">")
    assert plain == f"{HOSTILE} came"


def test_markup_of_the_author_is_kept() -> None:
    body = orjson.loads(
        messages.of_events("slack", [{**PUNCH, "user_name": "*a*<b>"}], "<!here> *{{user_name}}*")
    )
    assert body == {"text": "<!here> **a*&lt;b&gt;*"}


LONG = {name: character * 4_000 for name, character in [("user_name", "*"), ("device_label", "🙂")]}


@pytest.mark.parametrize(
    "template",
    [
        "{{user_name}} {{device_label}} " * 10,
        ("{{user_name}}" + "🙂" * 12) * 20,
        "\n".join(["{{device_label}}"] * 20),
        "{{sentence}}" * 20,
    ],
)
@pytest.mark.parametrize("count", [1, 500])
@pytest.mark.parametrize("test", [False, True])
def test_the_largest_messages_are_accepted(
    platform: Platform, format_: str, template: str, count: int, test: bool
) -> None:
    events = [{**PUNCH, **LONG, "test": test}] * count
    lines = platform.read(messages.of_events(format_, events, template))
    assert lines and not lines[0].startswith("and ")
    if count > 1 and format_ in CHATS:
        assert lines[-1].startswith("and ") and lines[-1].endswith(" more")


@pytest.mark.parametrize("event_type", EVENT_TYPES)
def test_each_type_makes_a_message(platform: Platform, format_: str, event_type: str) -> None:
    body = messages.of_events(
        format_, [sample(event_type)], '{{user_name|device_label|"nobody"}}: {{sentence}}'
    )
    (read,) = platform.read(body)
    assert ": Test: " in read


# Through the API


@pytest.fixture
def webhook(format_: str) -> Iterator[Platform]:
    made = PLATFORMS[format_]()
    yield made
    made.close()


def test_a_delivery_has_the_text_of_the_template(
    relay: Relay, device: Device, webhook: Platform, format_: str
) -> None:
    template = "{{user_name|user_id}} {{direction}}"
    subscription = relay.subscribe(
        webhook, device, event_types=["attendance.punch"], format=format_, template=template
    )
    assert (subscription["template"], shown(relay, subscription)["template"]) == (template, template)
    device.send_done(
        device.envelope(UserUpdated={"UserID": "2", "FirstName": "<!channel>", "LastName": "@here"})
    )
    punch(device)
    (row,) = wait_rows(relay, subscription, 1)
    assert row["status"] == "delivered", webhook.refusals
    ((read,),) = webhook.messages
    assert read.replace("\u200b", "").replace("‹", "<").replace("›", ">") == "<!channel> @here in"
    change(relay, subscription, template=None)
    act(relay, subscription, "test")
    wait_for(lambda: len(webhook.messages) == 2)
    assert webhook.messages[1][0].startswith("Test: ")
    assert "checked in" in webhook.messages[1][0]


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"format": "flat", "template": "x"}, "can only be used with the formats slack"),
        ({"format": "slack", "template": "{{nothing}}"}, "is not a field of an event"),
        ({"format": "slack", "template": "  "}, "is empty"),
        ({"format": "slack", "template": 7}, "string"),
    ],
)
@pytest.mark.parametrize("path", ["/v1/subscriptions", "/v1/subscriptions/preview"])
def test_a_wrong_template_is_refused(
    relay: Relay, receiver: Receiver, path: str, fields: dict[str, Any], why: str
) -> None:
    body = dict(fields)
    if path == "/v1/subscriptions":
        body |= {"target_url": receiver.url, "event_types": ["*"]}
    assert why in problem(relay.call("POST", path, json=body), 422, "template")["detail"]


def test_a_change_of_the_format_keeps_no_template_that_does_not_fit(relay: Relay, receiver: Receiver) -> None:
    subscription = relay.subscribe(receiver, format="slack", template="{{user_id}}")
    path = f"/v1/subscriptions/{subscription['id']}"
    problem(relay.call("PATCH", path, json={"format": "flat"}), 422, "template")
    assert change(relay, subscription, format="flat", template=None)["template"] is None


def test_card_numbers_reach_no_template_of_a_key_that_may_not_read_them(
    relay: Relay, receiver: Receiver
) -> None:
    subscription = relay.subscribe(receiver, format="text", include_card_numbers=True)
    path = f"/v1/subscriptions/{subscription['id']}"
    key = key_with(relay, "subscriptions:write")
    problem(relay.call("PATCH", path, key=key, json={"template": "{{card_number}}"}), 403, "template")


def preview(relay: Relay, **fields: Any) -> dict[str, Any]:
    response = relay.call("POST", "/v1/subscriptions/preview", json=fields)
    assert response.status_code == 200, response.text
    found: dict[str, Any] = response.json()
    return found


def test_a_preview_is_what_a_test_event_delivers(
    relay: Relay, device: Device, receiver: Receiver, format_: str
) -> None:
    fields = {"format": format_, "template": "*{{user_name}}* {{temperature_celsius|sentence}}"}
    previewed = preview(relay, **fields, event_type="attendance.punch")
    subscription = relay.subscribe(receiver, device, event_types=["attendance.punch"], **fields)
    act(relay, subscription, "test")
    (got,) = receiver.wait(1)
    assert previewed["content_type"] == got.headers["content-type"]
    # The body differs at most in the sample: a test event can have a real device.
    sent = previewed["event"]
    assert messages.of_events(format_, [sent], fields["template"]).decode() == previewed["body"]
    assert preview(relay)["body"].startswith('{"id":')
    assert rows(relay, subscription)


def test_a_preview_shows_mappings_and_forms(relay: Relay) -> None:
    mapping = {"employee": "user_id", "source": {"value": "cams"}}
    found = preview(relay, field_mapping=mapping)
    assert orjson.loads(found["body"]) == {"employee": found["event"]["user_id"], "source": "cams"}
    found = preview(relay, format="form", field_mapping=mapping)
    assert found["content_type"] == "application/x-www-form-urlencoded"
    assert found["body"] == f"employee={found['event']['user_id']}&source=cams"
    event = preview(relay, format="cloudevents", event_type="device.silent")
    assert orjson.loads(event["body"])["type"] == "device.silent"
    problem(relay.call("POST", "/v1/subscriptions/preview", json={"event_type": "user.*"}), 422, "event_type")
    problem(relay.call("POST", "/v1/subscriptions/preview", json={"format": "xml"}), 422, "format")
