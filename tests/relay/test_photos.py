"""Photos and stored bodies have signed links that expire, and are encrypted. Contract §3."""

from __future__ import annotations

import base64
import secrets
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from app.settings.table import load
from app.store import make_vault
from tests.harness import Device, Receiver, Relay
from tests.relay.tools import events, only, problem
from tests.relay.tools import stored_values as store_of

JPEG = b"\xff\xd8\xff\xe0" + b"a made-up photo" * 400


def send_photo(device: Device, data: bytes = JPEG, user: Any = "3") -> dict[str, Any]:
    """Send a photo. Return its event."""
    log = {
        "UserID": user,
        "LogPhoto": base64.b64encode(data).decode(),
        "LogTime": "2026-03-01 09:00:00 GMT +0530",
    }
    device.send_done(device.envelope(Log=log))
    return events(device, type="attendance.photo")[-1]


@pytest.mark.parametrize(
    "data, mime",
    [
        (JPEG, "image/jpeg"),
        (b"\x89PNG\r\n\x1a\n" + b"rest", "image/png"),
        (b"<script>alert(1)</script>", "application/octet-stream"),
    ],
)
def test_a_photos_link_works_without_an_api_key(device: Device, data: bytes, mime: str) -> None:
    event = send_photo(device, data)
    assert (event["photo_mime"], event["photo_size_bytes"]) == (mime, len(data))
    assert event["user_id"] == "3"
    answer = requests.get(event["photo_url"], timeout=10)
    assert (answer.status_code, answer.content) == (200, data)
    assert answer.headers["content-type"] == mime
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in answer.headers["content-security-policy"]


def test_an_altered_or_unsigned_link_is_403(relay: Relay, device: Device) -> None:
    first, second = send_photo(device)["photo_url"], send_photo(device, JPEG + b"2")["photo_url"]
    parts = urlsplit(first)
    query = parse_qs(parts.query)
    expires, signature = query["expires"][0], query["signature"][0]
    plain = first.partition("?")[0]
    flipped = ("B" if signature[0] == "A" else "A") + signature[1:]
    for url in (
        plain,
        f"{plain}?expires={expires}",
        f"{plain}?expires={int(expires) + 1}&signature={signature}",
        f"{plain}?expires={expires}&signature={flipped}",
        f"{plain}?expires=&signature=",
        f"{plain}?expires=9{expires}&signature={signature}",
        f"{plain}?expires=x&signature=%F0%9F%98%80",
        second.partition("?")[0] + "?" + parts.query,
        first.replace("/photos/", "/bodies/"),
    ):
        problem(requests.get(url, timeout=10), 403)
        problem(relay.session.get(url, headers={"X-API-Key": "crk_wrong"}, timeout=10), 403)
    assert requests.get(first, timeout=10).ok


def test_a_link_expires(relay: Relay, device: Device) -> None:
    vault = make_vault(load(relay.environment))
    path = urlsplit(send_photo(device)["photo_url"]).path
    assert requests.get(relay.url + vault.sign_path(path, 5), timeout=10).content == JPEG
    problem(requests.get(relay.url + vault.sign_path(path, -1), timeout=10), 403)


def test_an_event_read_again_has_a_new_link(relay: Relay, device: Device) -> None:
    event = send_photo(device)

    def expiry() -> int:
        url = relay.get(f"/v1/events/{event['id']}")["photo_url"]
        assert requests.get(url, timeout=10).ok
        return int(parse_qs(urlsplit(url).query)["expires"][0])

    first = expiry()
    deadline = first + 30
    later = first
    while later == first and later < deadline:  # the links change once a second
        later = expiry()
    assert later > first


def test_a_delivered_link_works(relay: Relay, device: Device, receiver: Receiver) -> None:
    relay.subscribe(receiver, device, events=["attendance.photo"])
    send_photo(device)
    (got,) = receiver.wait(1)
    assert requests.get(got.json["photo_url"], timeout=10).content == JPEG


def test_photos_templates_and_bodies_are_stored_encrypted(relay: Relay, device: Device) -> None:
    marker = secrets.token_hex(16)
    send_photo(device, JPEG + marker.encode())
    data = base64.b64encode(marker.encode()).decode()
    device.send_done(
        device.envelope(
            UserUpdated={"Template": [{"Type": "Face", "UserID": "2", "Index": "0", "Data": data}]}
        )
    )
    device.send_done(device.envelope(Unknown={"text": marker}))
    assert len(events(device)) == 3
    assert len(store_of(relay)) > 3
    for key, value in store_of(relay).items():
        for form in (marker, data, base64.b64encode(JPEG).decode()[:60]):
            assert form not in key and form.encode() not in value, key


def test_a_photo_without_a_user_is_stored(device: Device) -> None:
    device.send_done(
        device.envelope(
            Log={"LogPhoto": base64.b64encode(JPEG).decode(), "LogTime": "2026-03-01 09:00:00 GMT +0530"}
        )
    )
    assert only(device, "attendance.photo")["user_id"] is None
