"""A device's callback secret: `?k=SECRET` in its Callback URL is a second factor besides the AuthToken."""

from __future__ import annotations

import socket
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from app.callbacks.url import url_parts
from app.settings.table import load
from app.store import Store
from tests.harness import Device, Relay
from tests.relay.tools import KEY, counters, done, post, problem, sealed, stored_values

ATTEMPTS = 8  # over new connections, so that both web processes get some


def send(device: Device, url: str, document: Any = None) -> requests.Response:
    """POST a punch to a URL over a new connection."""
    document = device.punch() if document is None else document
    how = {"data": document} if isinstance(document, bytes) else {"json": document}
    return requests.post(url, timeout=15, **how)


def patch(device: Device, **fields: Any) -> dict[str, Any]:
    answer = device.relay.call("PATCH", f"/v1/devices/{device.id}", json=fields)
    assert answer.status_code == 200, answer.text
    changed: dict[str, Any] = answer.json()
    return changed


def secret_of(url: str) -> str:
    secret = urlsplit(url).query.removeprefix("k=")
    assert len(secret) >= 32
    return secret


@pytest.fixture
def guarded(relay: Relay, device: Device) -> tuple[Device, str]:
    """A device that requires its callback secret, and this secret."""
    return device, secret_of(patch(device, require_callback_secret=True)["callback_url"])


def test_without_the_secret_or_with_a_wrong_one_a_callback_is_401(guarded: tuple[Device, str]) -> None:
    device, secret = guarded
    base = f"{device.relay.url}/callback"
    for _ in range(ATTEMPTS):
        for url in (
            base,
            f"{base}/{device.id}",
            f"{base}?k=",
            f"{base}?k={secret[:-1]}",
            f"{base}?k={secret}x",
        ):
            problem(send(device, url), 401)
        problem(send(device, f"{base}?k=%ff&stgid={device.id}"), 401)
    assert counters(device)["callbacks"] == 0


@pytest.mark.parametrize(
    "query",
    [
        "?k={secret}",
        "?k={secret}&stgid={id}",
        "?k={secret}?stgid={id}",
        "?stgid={id}&k={secret}",
        "?k={secret}?stgid={id}?stgid={id}",
        "?stgid={id}&k={secret}?stgid={id}",
        "?k={secret}&other=1",
        "?k={secret}%3Fstgid%3D{id}",
    ],
)
@pytest.mark.parametrize("path", ["/callback", "/callback/{id}"])
def test_with_the_secret_a_callback_is_accepted_however_stgid_is_appended(
    guarded: tuple[Device, str], query: str, path: str
) -> None:
    device, secret = guarded
    url = device.relay.url + (path + query).format(secret=secret, id=device.id)
    for _ in range(ATTEMPTS):
        done(send(device, url))
    other = device.relay.url + (path + query).format(secret=secret, id="OTHER")
    if "OTHER" in other:
        problem(send(device, other), 401)


def test_the_secret_is_required_with_a_security_key_and_for_old_versions(relay: Relay) -> None:
    device = relay.device(security_key=KEY)
    url = patch(device, require_callback_secret=True)["callback_url"]
    body = sealed(device.punch())
    problem(send(device, f"{relay.url}/callback", body), 401)
    done(send(device, url, body))


def test_the_secret_is_shown_once_and_nowhere_else(relay: Relay, guarded: tuple[Device, str]) -> None:
    device, secret = guarded
    done(send(device, f"{relay.url}/callback?k={secret}"))
    problem(send(device, f"{relay.url}/callback?k={secret}", b'{"AuthToken":"x"}'), 401)
    problem(send(device, f"{relay.url}/callback?k={secret}&a=b", b"no JSON"), 400)
    shown = [relay.get(f"/v1/devices/{device.id}"), patch(device, label="Gate"), relay.get("/v1/audit")]
    shown += [relay.call("GET", "/metrics").text, relay.events(device_id=device.id)]
    # It was required already, so no new secret is shown.
    shown.append(patch(device, require_callback_secret=True))
    assert shown[0]["require_callback_secret"] is True
    assert shown[0]["callback_url"] == f"{relay.url}/callback/{device.id}"
    assert secret not in str(shown)
    assert secret.encode() not in b"".join(stored_values(relay).values())
    assert secret not in relay.logs()
    done(send(device, f"{relay.url}/callback?k={secret}"))


def test_requests_refused_by_the_server_do_not_log_the_secret(
    relay: Relay, guarded: tuple[Device, str]
) -> None:
    _, secret = guarded
    for line in (
        f"POST /callback?k={secret} HTTP/9.9",
        f"PO ST /callback?k={secret} HTTP/1.1",
        f"POST /callback?k={secret}&{'x' * 9_000} HTTP/1.1",
        f"POST /callback?k={secret} HTTP/1.1\r\nContent-Length: x",
        f"POST /callback?k={secret} HTTP/1.1\r\nBroken header",
        f"POST /callback?k={secret} HTTP/1.1\r\nContent-Length: 5\r\n\r\n{{",
    ):
        with socket.create_connection(("127.0.0.1", relay.port), 10) as connection:
            connection.sendall(f"{line}\r\nHost: x\r\n\r\n".encode())
            connection.shutdown(socket.SHUT_WR)
            answer = connection.recv(65_536)
        assert secret.encode() not in answer, line
    assert secret not in relay.logs()


def test_after_rotation_both_secrets_are_accepted_until_the_former_expires(
    relay: Relay, guarded: tuple[Device, str]
) -> None:
    device, former = guarded
    rotated = relay.call("POST", f"/v1/devices/{device.id}/rotate-callback-secret")
    assert rotated.status_code == 200, rotated.text
    secret = secret_of(rotated.json()["callback_url"])
    for _ in range(ATTEMPTS):
        for one in (former, secret):
            done(send(device, f"{relay.url}/callback?k={one}"))
    known = Store(load(relay.environment)).devices.get(device.id)
    assert known is not None and known.takes_callback_secret(former) and known.takes_callback_secret(secret)
    (present, none), (old, until) = known.callback_secrets
    assert none is None and until is not None
    known.callback_secrets = ((present, None), (old, until - 24 * 3600 - 1))
    assert known.takes_callback_secret(secret) and not known.takes_callback_secret(former)


def test_rotation_without_a_secret_is_refused_with_advice(relay: Relay, device: Device) -> None:
    found = problem(relay.call("POST", f"/v1/devices/{device.id}/rotate-callback-secret"), 409)
    assert "require_callback_secret" in found["detail"]
    problem(relay.call("POST", "/v1/devices/nobody/rotate-callback-secret"), 404)


def test_a_device_can_be_registered_with_a_secret_and_removing_it_needs_the_auth_token(relay: Relay) -> None:
    wanted = {"device_id": "SECRET1", "auth_token": "0123456789abcdef" * 2, "require_callback_secret": True}
    made = post(relay, "/v1/devices", wanted)
    device = Device(relay, "SECRET1", wanted["auth_token"])  # type: ignore[arg-type]
    problem(send(device, f"{relay.url}/callback/SECRET1"), 401)
    done(send(device, made["callback_url"]))
    path = f"/v1/devices/{device.id}"
    problem(relay.call("PATCH", path, json={"require_callback_secret": False}), 403, "auth_token")
    off = patch(device, require_callback_secret=False, auth_token=device.token)
    assert off["require_callback_secret"] is False and "k=" not in off["callback_url"]
    for _ in range(ATTEMPTS):
        done(send(device, f"{relay.url}/callback"))
    problem(
        relay.call("PATCH", path, json={"require_callback_secret": "yes"}), 422, "require_callback_secret"
    )


def test_requiring_a_secret_again_creates_a_new_one(device: Device) -> None:
    found = set()
    for _ in range(3):
        found.add(secret_of(patch(device, require_callback_secret=True)["callback_url"]))
        patch(device, require_callback_secret=False, auth_token=device.token)
    assert len(found) == 3


@pytest.mark.parametrize(
    "query, hints, secret",
    [
        ("", [], ""),
        ("stgid=A", ["A"], ""),
        ("stgid=A?stgid=A", ["A", "A"], ""),
        ("stgid=A%3Fstgid%3DA", ["A", "A"], ""),
        ("k=S?stgid=A", ["A"], "S"),
        ("k=S&k=T", [], "S"),
        ("k=&k=T", [], "T"),
        ("stgid=&k", [], ""),
        ("stgid=%E9&k=%FF", ["\ufffd"], "\ufffd"),
        ("other=1&stgid=A&K=S", ["A"], ""),
    ],
)
def test_a_query_is_parsed_as_gateways_write_it(query: str, hints: list[str], secret: str) -> None:
    assert url_parts(query) == (hints, secret)
