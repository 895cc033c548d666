"""`Accept`: 406 only if the caller can't read any of the endpoint's formats."""

from __future__ import annotations

from typing import Any

import pytest
import requests

from tests.harness import API_KEY, Relay
from tests.relay.tools import problem

JSON, CSV, STREAM = "application/json", "text/csv", "text/event-stream"
XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
DAY = {"date": "2026-11-24"}


def call(
    relay: Relay, accept: str, path: str = "/v1/me", method: str = "GET", **how: Any
) -> requests.Response:
    return relay.call(method, path, headers={"Accept": accept}, **how)


@pytest.mark.parametrize(
    "accept",
    [
        *("*/*", "", ",", "*", "application/*", JSON, "APPLICATION/JSON; charset=utf-8"),
        *("application/problem+json", "application/vnd.api+json", "text/json"),
        *("text/html, */*;q=0.1", "text/*, */*", "text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2"),
        "text/html,application/xhtml+xml,application/xml;q=0.9,image/webp,*/*;q=0.8",
        *("application/json;q=0.001", "*/*;q=0.0001", "nonsense"),
    ],
)
def test_whoever_can_read_json_is_answered(accept: str, relay: Relay) -> None:
    assert call(relay, accept).status_code == 200


def test_without_the_header_all_works(relay: Relay) -> None:
    headers = {"Accept": None, "X-API-Key": API_KEY}
    assert requests.get(f"{relay.url}/v1/me", headers=headers, timeout=10).status_code == 200  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "accept",
    ["text/html", "application/xml", "image/*", "text/csv, text/plain", "application/json;q=0", "*/*; q=0.0"],
)
def test_a_caller_who_cannot_read_json_is_refused_with_a_message(accept: str, relay: Relay) -> None:
    answer = call(relay, accept)
    document = problem(answer, 406)
    assert document["code"] == "not_acceptable" and JSON in document["detail"]
    assert [error["header"] for error in document["errors"]] == ["Accept"]
    assert answer.headers["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("path", "query", "media"),
    [("/v1/events.csv", {}, CSV), ("/v1/attendance.csv", DAY, CSV), ("/v1/attendance.xlsx", DAY, XLSX)],
)
def test_a_file_can_be_asked_for_by_its_own_type(
    path: str, query: dict[str, str], media: str, relay: Relay
) -> None:
    for accept in (media, f"{media.partition('/')[0]}/*", JSON, "*/*"):
        answer = call(relay, accept, path, params=query)
        assert answer.status_code == 200 and answer.headers["Content-Type"].startswith(media)
    problem(call(relay, "text/html", path, params=query), 406)


def test_a_stream_can_be_asked_for_by_its_own_type(relay: Relay) -> None:
    with call(relay, STREAM, "/v1/events/stream", stream=True) as answer:
        assert answer.status_code == 200
    problem(call(relay, STREAM, "/v1/events"), 406)


def test_the_key_is_checked_first(relay: Relay) -> None:
    problem(call(relay, "text/html", key=None), 401)


def test_nothing_is_done_for_a_request_that_is_refused(relay: Relay) -> None:
    body = {"device_id": "ACCEPT1", "auth_token": "a" * 31 + "1"}
    headers = {"Accept": "text/html", "Idempotency-Key": "accept-1"}
    problem(relay.call("POST", "/v1/devices", json=body, headers=headers), 406)
    problem(relay.call("GET", "/v1/devices/ACCEPT1"), 404)
    again = relay.call("POST", "/v1/devices", json=body, headers={**headers, "Accept": JSON})
    assert again.status_code == 201, again.text


def test_an_answer_without_a_body_is_never_refused(relay: Relay) -> None:
    device = relay.device()
    assert call(relay, "text/html", f"/v1/devices/{device.id}", "DELETE").status_code == 204


def test_callbacks_are_never_refused(relay: Relay) -> None:
    device = relay.device()
    answer = relay.call(
        "POST", f"/callback/{device.id}", key=None, json=device.punch(), headers={"Accept": "text/html"}
    )
    assert answer.json() == {"status": "done"}
