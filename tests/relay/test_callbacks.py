"""Callbacks are answered as in the table of contract §2, and authentic callbacks are stored."""

from __future__ import annotations

import json
import secrets
import socket
import threading
from typing import Any

import pytest
import requests

from app.gateway.operations import CALLBACKS
from tests.harness import Device, Relay, wait_for
from tests.relay.tools import KEY, OTHER_KEY, counters, done, events, only, problem, sealed, types

LARGEST = 16 * 1024 * 1024


def refused(relay: Relay, reason: str) -> float:
    """Return how many callbacks were refused for this reason, according to /metrics."""
    for line in relay.call("GET", "/metrics").text.splitlines():
        if line.startswith(f'cams_relay_callbacks_refused_total{{reason="{reason}"}}'):
            return float(line.rpartition(" ")[2])
    return 0.0


@pytest.fixture(scope="module")
def keyed(relay: Relay) -> Device:
    return relay.device(security_key=KEY)


# Duplicates


@pytest.mark.parametrize("number", range(1, len(CALLBACKS) + 1))
def test_a_repeated_callback_is_acknowledged_and_counted_but_not_published(
    device: Device, number: int
) -> None:
    document = device.sample(number)
    done(device.send(document))
    first = events(device)
    assert first
    done(device.send(document))
    # The time of sending isn't part of the content.
    document["RealTime"]["Time"] = "2020-09-18 00:00:00 GMT +0000"
    done(device.send(document))
    assert events(device) == first
    assert counters(device)["duplicates"] == 2


def test_samples_with_the_same_operation_id_are_both_published(device: Device) -> None:
    device.send_done(device.sample(4))
    device.send_done(device.sample(5))
    changed = [event["credential_type"] for event in events(device, type="credential.updated")]
    assert changed == ["card", "password"]


def test_the_same_content_with_another_operation_id_is_not_a_duplicate(device: Device) -> None:
    for operation in ("one", "two"):
        document = device.sample(3)
        document["RealTime"]["OperationID"] = operation
        device.send_done(document)
    assert types(device) == ["user.updated", "user.updated"]


def test_the_same_body_from_two_devices_is_two_events(relay: Relay) -> None:
    first, second = relay.device(), relay.device()
    for one in (first, second):
        document = one.sample(11)
        one.send_done(document)
    assert only(first, "attendance.punch")["punch_id"] != only(second, "attendance.punch")["punch_id"]


def test_concurrent_identical_callbacks_are_published_once(relay: Relay, device: Device) -> None:
    body = json.dumps(device.sample(11))
    answers: list[requests.Response] = []

    def send() -> None:
        answers.append(requests.post(f"{relay.url}/callback", data=body, timeout=15))

    threads = [threading.Thread(target=send) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 12
    for answer in answers:
        done(answer)
    assert types(device) == ["attendance.punch"]


# Authentication


def test_a_wrong_or_missing_token_is_401_and_only_a_count_is_stored(relay: Relay, device: Device) -> None:
    before = refused(relay, "unauthorised")
    document = device.punch()
    for token in (
        "x" * 32,
        "",
        device.token[:-1],
        device.token.swapcase(),
        None,
        7,
        [device.token],
        "\ud800",
    ):
        document["RealTime"]["AuthToken"] = token
        problem(device.send(document), 401)
    del document["RealTime"]["AuthToken"]
    problem(device.send(document), 401)
    problem(device.send({}), 401)
    assert events(device) == []
    assert counters(device)["callbacks"] == 0
    assert refused(relay, "unauthorised") == before + 10


@pytest.mark.parametrize(
    "path",
    [
        "/callback/{id}",
        "/callback/{id}/",
        "/callback/",
        "/callback?stgid={id}",
        "/callback?stgid={id}&stgid={id}",
        "/callback?stgid={id}?stgid={id}",
        "/callback/{id}?stgid={id}",
        "/callback?other=1",
    ],
)
def test_a_matching_device_id_in_the_url_is_accepted(relay: Relay, device: Device, path: str) -> None:
    done(relay.session.post(relay.url + path.format(id=device.id), json=device.punch(), timeout=15))
    assert types(device) == ["attendance.punch"]


@pytest.mark.parametrize(
    "path",
    ["/callback/{other}", "/callback?stgid={other}", "/callback/{id}?stgid={other}", "/callback/nobody"],
)
@pytest.mark.parametrize("key", [None, KEY])
def test_a_different_device_id_in_the_url_is_401(relay: Relay, path: str, key: str | None) -> None:
    device, other = relay.device(security_key=key), relay.device()
    body = device.punch()
    url = relay.url + path.format(id=device.id, other=other.id)
    problem(relay.session.post(url, data=sealed(body) if key else json.dumps(body), timeout=15), 401)
    assert events(device) == events(other) == []


def test_devices_with_the_same_token_are_distinguished_by_url_or_serial_number(relay: Relay) -> None:
    token = secrets.token_hex(16)
    first = relay.device(auth_token=token, serial_number="SN1")
    second = relay.device(auth_token=token, serial_number="SN2")
    problem(first.send(first.punch()), 401)
    done(relay.session.post(f"{relay.url}/callback/{second.id}", json=second.punch(), timeout=15))
    document = first.punch()
    document["RealTime"]["SerialNumber"] = "SN1"
    done(first.send(document))
    assert len(events(first)) == len(events(second)) == 1


# Encryption


@pytest.mark.parametrize(
    "wrap",
    [
        lambda body: body,
        lambda body: b'"' + body + b'"',
        lambda body: json.dumps(body.decode().replace("/", "\\/")).encode().replace(b"\\\\", b"\\"),
        lambda body: body + b"\r\n \x00\x04",
        lambda body: b"\xef\xbb\xbf" + body,
        lambda body: b"\n".join(body[i : i + 76] for i in range(0, len(body), 76)),
        lambda body: body.rstrip(b"="),
    ],
    ids=["bare", "quoted", "escaped", "trailing junk", "BOM", "lines", "no padding"],
)
@pytest.mark.parametrize("hint", ["", "/{id}"], ids=["no hint", "hint"])
def test_an_encrypted_callback_is_read(relay: Relay, keyed: Device, wrap: Any, hint: str) -> None:
    document = keyed.punch()
    before = len(events(keyed))
    url = f"{relay.url}/callback{hint.format(id=keyed.id)}"
    headers = {"content-type": "application/json"}
    done(relay.session.post(url, data=wrap(sealed(document)), headers=headers, timeout=15))
    assert len(events(keyed)) == before + 1


@pytest.mark.parametrize("number", range(1, len(CALLBACKS) + 1))
def test_each_sample_has_the_same_result_encrypted_and_unencrypted(relay: Relay, number: int) -> None:
    plain, secret = relay.device(), relay.device(security_key=KEY)
    done(plain.send(plain.sample(number)))
    done(secret.send(sealed(secret.sample(number))))
    own = ("id", "device_id", "received_at", "punch_id", "delay_seconds", "photo_url", "credential_digest")

    def shown(device: Device) -> list[dict[str, Any]]:
        return [{name: event[name] for name in event if name not in own} for event in events(device)]

    assert shown(plain) == shown(secret) != []


def test_an_unencrypted_callback_from_a_device_with_a_security_key_is_401(relay: Relay) -> None:
    device = relay.device(security_key=KEY)
    problem(device.send(device.punch()), 401)
    problem(relay.session.post(f"{relay.url}/callback/{device.id}", json=device.punch(), timeout=15), 401)
    assert events(device) == []
    done(device.send(sealed(device.punch())))


def test_another_devices_key_does_not_authenticate(relay: Relay) -> None:
    device, other = relay.device(security_key=KEY), relay.device(security_key=OTHER_KEY)
    problem(device.send(sealed(device.punch(), OTHER_KEY)), 401)
    assert events(device) == events(other) == []


def test_old_and_new_key_are_accepted_while_the_key_is_changed(relay: Relay) -> None:
    device = relay.device(security_key=KEY)
    third = secrets.token_hex(16)
    assert relay.call(
        "PATCH", f"/v1/devices/{device.id}", json={"security_key": OTHER_KEY, "auth_token": device.token}
    ).ok
    for key in (KEY, OTHER_KEY):
        done(device.send(sealed(device.punch(), key)))
        done(relay.session.post(f"{relay.url}/callback/{device.id}", data=sealed(device.punch(), key)))
    assert len(events(device)) == 4
    assert relay.call(
        "PATCH", f"/v1/devices/{device.id}", json={"security_key": third, "auth_token": device.token}
    ).ok
    answer = relay.session.post(f"{relay.url}/callback/{device.id}", data=sealed(device.punch(), KEY))
    assert answer.status_code in (400, 401)
    done(device.send(sealed(device.punch(), third)))


# Invalid bodies


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"   ",
        b"hello",
        b"[]",
        b'[{"RealTime": {}}]',
        b"null",
        b"12",
        b'"text"',
        b"true",
        b"{",
        b'{"RealTime": ',
        b'{"a": 1} trailing',
        b"{'single': 'quotes'}",
        b"<xml/>",
        b"\xff\xfe{\x00}\x00",
        b"QUJD",  # Base64, but not a whole number of blocks
        b"A" * 64,  # Base64 of whole blocks, but with an unknown key
        b"\x00" * 100,
        b"{" * 100_000,
    ],
    ids=lambda body: repr(body[:24]),
)
def test_a_body_that_is_not_an_object_or_not_decryptable_is_400(
    relay: Relay, device: Device, body: bytes
) -> None:
    before = refused(relay, "malformed") + refused(relay, "undecryptable")
    problem(device.send(body), 400)
    # It may be more, because other processes write their counts every few seconds.
    wait_for(lambda: refused(relay, "malformed") + refused(relay, "undecryptable") >= before + 1)


@pytest.mark.parametrize(
    "content_type",
    [
        None,
        "application/json",
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data",
        "a/b; =",
    ],
)
def test_the_content_type_is_not_relied_on(device: Device, content_type: str | None) -> None:
    headers = {} if content_type is None else {"content-type": content_type}
    done(device.send(device.punch(), headers=headers))
    assert types(device) == ["attendance.punch"]


@pytest.mark.parametrize("before, after", [(b"\xef\xbb\xbf", b""), (b"\r\n\t ", b" \r\n\x00")])
def test_a_bom_and_white_space_around_the_json_are_accepted(
    device: Device, before: bytes, after: bytes
) -> None:
    done(device.send(before + json.dumps(device.punch()).encode() + after))
    assert types(device) == ["attendance.punch"]


def test_a_bom_inside_the_encrypted_text_is_accepted(keyed: Device) -> None:
    before = len(events(keyed))
    done(keyed.send(sealed(b"\xef\xbb\xbf" + json.dumps(keyed.punch()).encode())))
    assert len(events(keyed)) == before + 1


# Size limits


def padded(device: Device, size: int) -> bytes:
    """Return a punch of exactly this many bytes."""
    body = json.dumps(device.punch(Padding="x")).encode()
    return body.replace(b'"Padding": "x"', b'"Padding": "' + b"x" * (size - len(body) + 1) + b'"')


def test_16_mib_are_accepted(device: Device) -> None:
    body = padded(device, LARGEST)
    assert len(body) == LARGEST
    done(device.send(body))
    assert types(device)[0] == "attendance.punch"


@pytest.mark.parametrize("more", [1, 9 * 1024 * 1024])
@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
def test_more_than_16_mib_is_413(relay: Relay, device: Device, more: int, chunked: bool) -> None:
    body = padded(device, LARGEST + more)
    data = (body[at : at + 65_536] for at in range(0, len(body), 65_536)) if chunked else body
    answer = requests.post(f"{relay.url}/callback", data=data, timeout=15)
    problem(answer, 413)
    assert events(device) == []


def test_a_chunked_body_is_read(relay: Relay, device: Device) -> None:
    body = json.dumps(device.punch()).encode()
    chunks = (body[at : at + 7] for at in range(0, len(body), 7))
    done(requests.post(f"{relay.url}/callback", data=chunks, timeout=15))
    assert types(device) == ["attendance.punch"]


# Callbacks that skip Flask, and those that don't, are handled alike


def test_a_photo_has_the_same_url_on_the_fast_path_and_in_the_app(relay: Relay, device: Device) -> None:
    for chunked in (False, True):  # chunked bodies have no length, so they go through Flask
        document = device.sample(10)
        document["RealTime"]["OperationID"] = secrets.token_hex(6)
        body = json.dumps(document).encode()
        done(relay.session.post(f"{relay.url}/callback", data=iter([body]) if chunked else body, timeout=15))
    first, second = (event["photo_url"].partition("/photos/")[0] for event in events(device))
    assert first == second == relay.url


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_a_callback_with_another_method_is_405(relay: Relay, method: str) -> None:
    answer = relay.call(method, "/callback", json={})
    assert problem(answer, 405)
    assert "POST" in answer.headers["allow"]


def test_an_incomplete_body_is_not_stored(relay: Relay, device: Device) -> None:
    body = json.dumps(device.punch()).encode()
    head = f"POST /callback HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    with socket.create_connection(("127.0.0.1", relay.port), 10) as connection:
        connection.sendall(head + body[:-1])
        connection.shutdown(socket.SHUT_WR)
        answer = connection.recv(4096)
    assert answer.startswith(b"HTTP/1.1 400 ") or not answer
    assert events(device) == []
