"""A `body_url` shows an unrecognised body without secrets. The full body needs `templates:read`. Contract §8."""

from __future__ import annotations

import base64
import json
from typing import Any
from urllib.parse import quote

import orjson
import pytest
import requests

from app.callbacks.body_redaction import content_kind, redacted_body
from tests.harness import API_KEY, Device, Receiver, Relay
from tests.relay.tools import KEY, key_with, only, problem, sealed

UNKNOWN = "callback.unrecognised"
PIN = "5550197342"
CARD = "8812673009"
TEMPLATE = base64.b64encode(b"a fingerprint of nobody " * 9).decode()
PHOTO = base64.b64encode(b"\xff\xd8\xff a face of nobody" * 20).decode()

SECTIONS: dict[str, dict[str, Any]] = {
    "templates of no known type": {
        "UserUpdated": {
            "UserID": "2",
            "Template": [
                {"Type": "Password", "UserID": "2", "Size": "9", "Index": "0", "Data": PIN},
                {"Type": ["Iris"], "UserID": "2", "Data": TEMPLATE, "Extra": TEMPLATE},
            ],
        }
    },
    "names nobody knows": {
        "New": {"UserID": "2", "PassCode": PIN, "CardNo": CARD, "FaceImage": PHOTO, "Door": "7"}
    },
    "a kind and a value": {
        "New": [{"UserID": "2", "Kind": "PIN", "Value": PIN}, {"Type": "Card", "No": CARD}]
    },
    "numbers": {"New": {"UserID": "2", "pin_code": int(PIN), "cards": [{"number": int(CARD)}]}},
    "lists under a secret name": {
        "New": {"UserID": "2", "Fingers": [TEMPLATE, [TEMPLATE]], "Pins": {"a": [PIN]}}
    },
    "JSON and words in a text": {
        "New": {"UserID": "2", "Note": json.dumps({"Password": PIN}), "Line": f"card={CARD}; pin: {PIN}"}
    },
    "a secret said again": {"New": {"UserID": "2", "Password": PIN, "Remark": f"is {PIN} now", PIN: 1}},
    "a photo of a wrong form": {"Log": {"UserID": "2", "LogTime": "never", "LogPhoto": PHOTO}},
    "a blob in a text": {"New": {"UserID": "2", "Anything": TEMPLATE, "Short": TEMPLATE[:40]}},
}


def sent(device: Device, section: dict[str, Any]) -> tuple[bytes, str]:
    """Send an unrecognised body with the device's token in a text. Return the body and its link."""
    body = json.dumps(device.envelope(**section, Echo=f"from {device.token}"), indent=1).encode()
    device.send_done(sealed(body) if device.security_key else body)
    return body, only(device, UNKNOWN)["body_url"]


def opened(url: str, key: str | None = None) -> requests.Response:
    return requests.get(url, headers={"X-API-Key": key} if key else {}, timeout=10)


@pytest.mark.parametrize("section", SECTIONS.values(), ids=SECTIONS)
@pytest.mark.parametrize("security_key", [None, KEY], ids=["plain", "encrypted"])
def test_without_a_key_the_link_shows_the_body_without_its_secrets(
    relay: Relay, section: dict[str, Any], security_key: str | None
) -> None:
    device = relay.device(security_key=security_key)
    _, url = sent(device, section)
    for key in (None, key_with(relay, "events:read"), key_with(relay, "devices:write", "actions:write")):
        answer = opened(url, key)
        assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
        assert answer.headers["cache-control"] == "no-store"
        for secret in (device.token, PIN, CARD, TEMPLATE, TEMPLATE[:40], PHOTO):
            assert secret not in answer.text
        shown = answer.json()["RealTime"]
        assert shown["AuthToken"] == "" and len(shown["OperationID"]) == 12
        assert '"UserID":"2"' in answer.text


def test_fields_other_than_secrets_are_shown(device: Device) -> None:
    _, url = sent(
        device, {"New": {"UserID": "2", "Kind": "Duress", "FaceMask": True, "Temperature": 36.6, "At": None}}
    )
    shown = opened(url).json()["RealTime"]["New"]
    assert shown == {"UserID": "2", "Kind": "Duress", "FaceMask": True, "Temperature": 36.6, "At": None}


def test_a_key_with_templates_read_gets_the_full_body_and_the_access_is_audited(
    relay: Relay, device: Device
) -> None:
    body, url = sent(device, SECTIONS["names nobody knows"])
    key = key_with(relay, "templates:read")
    answer = opened(url, key)
    assert (answer.status_code, answer.content) == (200, body)
    assert answer.headers["cache-control"] == "no-store"
    row = relay.get("/v1/audit", params={"limit": 1})["data"][0]
    assert (row["action"], row["actor"]) == ("body.read", relay.get("/v1/me", key=key)["id"])
    assert row["subject"] in url
    opened(url)
    assert relay.get("/v1/audit", params={"limit": 1})["data"][0] == row, (
        "only reads of the full body are audited"
    )


def test_a_wrong_key_or_an_altered_link_shows_nothing(relay: Relay, device: Device) -> None:
    _, url = sent(device, SECTIONS["numbers"])
    problem(opened(url, "crk_made-up"), 401)
    problem(opened(url[:-1], API_KEY), 403)


def test_a_version_2_body_is_shown_without_secrets(device: Device) -> None:
    document = device.envelope(New={"Password": PIN, "Door": "7"})
    device.send_done(f"stgid={device.id}&pin={PIN}&request_data={quote(json.dumps(document))}".encode())
    answer = opened(only(device, UNKNOWN)["body_url"])
    assert answer.json()["RealTime"]["New"] == {"Password": "", "Door": "7"}
    assert device.token not in answer.text and PIN not in answer.text


def test_only_the_shape_of_an_unreadable_body_is_shown(relay: Relay, device: Device) -> None:
    parts = b"0," * 30_000
    body = b'{"RealTime":{"AuthToken":"%s","Password":"%s","X":[%s0]}}' % (
        device.token.encode(),
        PIN.encode(),
        parts,
    )
    device.send_done(body)
    url = only(device, UNKNOWN)["body_url"]
    shown = opened(url).json()
    assert shown.keys() == {"size_bytes", "content_kind", "digest"}
    assert (shown["size_bytes"], shown["content_kind"]) == (len(body), "json")
    assert opened(url, key_with(relay, "templates:read")).content == body


@pytest.mark.parametrize(
    "body, kind",
    [
        (b"no JSON", "text"),
        (b"\xff\x00\x01", "binary"),
        (b"stgid=1&userid=2&att_time=now", "form"),
        (b"{", "json"),
    ],
)
def test_the_kind_of_a_body_that_is_not_json_is_named(body: bytes, kind: str) -> None:
    assert redacted_body(body) is None
    assert content_kind(body) == kind


@pytest.mark.parametrize(
    "value",
    [
        "[" * 300 + "]" * 300,
        '"\\ud800"',
        "9" * 6_000,
        "1e999",
        '"' + "x" * 100_000 + '"',
        '{"a":' * 90 + "1" + "}" * 90,
    ],
    ids=lambda value: value[:8],
)
def test_unusual_json_is_shown_as_json(value: str) -> None:
    shown = redacted_body(f'{{"RealTime":{{"New":{value},"{"k" * 90}":1,"UserID":"2"}}}}'.encode())
    assert shown is not None and orjson.loads(shown)["RealTime"]["UserID"] == "2"


def test_webhooks_in_all_formats_get_no_secrets(relay: Relay, device: Device, receiver: Receiver) -> None:
    for form in ("flat", "cloudevents", "raw"):
        relay.subscribe(receiver, device, format=form)
    sent(device, SECTIONS["names nobody knows"])
    text = "".join(got.body.decode() for got in receiver.wait(3))
    for secret in (device.token, PIN, CARD, TEMPLATE, PHOTO):
        assert secret not in text
