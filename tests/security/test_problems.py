"""An invalid request is answered with a problem that says what is wrong. Contract §5."""

from __future__ import annotations

import base64
import socket

import pytest
import requests

from tests.harness import API_KEY, Relay
from tests.relay.tools import problem


@pytest.mark.parametrize(
    "method, path, status",
    [
        ("GET", "/nothing", 404),
        ("GET", "/v1/nothing", 404),
        ("GET", "/v1/events/evt_nothing", 404),
        ("GET", "/v1/events/evt_" + "0" * 16, 404),
        ("GET", "/v1/events/" + "z" * 3000, 422),
        ("GET", "/v1/devices/nobody", 404),
        ("PATCH", "/v1/devices/nobody", 404),
        ("DELETE", "/v1/devices/nobody", 404),
        ("GET", "/v1/subscriptions/sub_none", 404),
        ("DELETE", "/v1/events", 405),
        ("GET", "/callback", 405),
        ("PUT", "/v1/devices", 405),
        ("POST", "/health", 405),
    ],
)
def test_missing_and_impossible_resources_are_a_problem(
    relay: Relay, method: str, path: str, status: int
) -> None:
    answer = relay.call(method, path)
    problem(answer, status)
    if status == 405:
        assert "GET" in answer.headers["allow"] or "POST" in answer.headers["allow"]


@pytest.mark.parametrize("body", [b"[]", b"null", b'"x"'])
@pytest.mark.parametrize("path", ["/v1/devices", "/v1/subscriptions", "/v1/api-keys"])
def test_a_body_that_is_not_an_object_is_422(relay: Relay, path: str, body: bytes) -> None:
    problem(relay.call("POST", path, data=body), 422, "body")


@pytest.mark.parametrize("body", [b"{", b"\xff", b"{" * 9000, b'{"a": "\\ud800"}', b"NaN"])
@pytest.mark.parametrize("path", ["/v1/devices", "/v1/subscriptions", "/v1/api-keys"])
def test_a_body_that_is_not_json_is_400(relay: Relay, path: str, body: bytes) -> None:
    problem(relay.call("POST", path, data=body), 400)


@pytest.mark.parametrize(
    ("path", "mib"),
    [
        ("/v1/api-keys", 1),
        ("/v1/subscriptions", 1),
        ("/v1/devices", 1),
        ("/v1/actions/add-user", 16),
        ("/v1/employees", 16),
    ],
)
def test_a_body_above_its_limit_is_413_and_names_the_limit(relay: Relay, path: str, mib: int) -> None:
    body = b'{"name": "' + b"x" * (mib * 1024 * 1024) + b'"}'
    chunks = (body[at : at + 65_536] for at in range(0, len(body), 65_536))
    for sent in (body, chunks):
        # On separate connections, because the relay closes a connection whose body it doesn't read to the end.
        answer = requests.post(relay.url + path, data=sent, headers={"X-API-Key": API_KEY}, timeout=30)
        assert f"larger than {mib} MiB" in problem(answer, 413)["detail"]


def test_an_actions_photo_can_be_larger_than_other_bodies(relay: Relay) -> None:
    body = {
        "device_id": "nobody",
        "user_id": "1",
        "user_photo_data": base64.b64encode(bytes(2 * 1024 * 1024)).decode(),
    }
    assert relay.call("POST", "/v1/actions/add-user", json=body).status_code in (404, 422)


def test_a_url_or_headers_that_are_too_long_are_a_problem(relay: Relay) -> None:
    problem(relay.call("GET", "/v1/events", params={"cursor": "x" * 9_000}), 414)
    problem(relay.call("GET", "/v1/events", headers={"X-Long": "x" * 20_000}), 431)


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"NONSENSE\r\n\r\n",
        b"POST /callback HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST /callback HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n\r\n",
    ],
)
def test_malformed_http_is_400(relay: Relay, request_bytes: bytes) -> None:
    with socket.create_connection(("127.0.0.1", relay.port), timeout=10) as connection:
        connection.sendall(request_bytes)
        answer = connection.recv(10_000).decode()
    assert answer.startswith("HTTP/1.1 400 ")
    assert "content-type: application/problem+json" in answer.lower()
