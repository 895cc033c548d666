"""Larger responses are compressed with gzip if the client accepts that, and nothing else changes."""

from __future__ import annotations

import gzip
import json

import pytest
import requests

from tests.console.tools import Client
from tests.harness import API_KEY, Relay


def fetch(
    relay: Relay, path: str, accepts: str | None = "gzip", **headers: str
) -> tuple[requests.Response, bytes]:
    """A response, and its body as sent."""
    session = requests.Session()
    session.headers.clear()
    sent = {"X-API-Key": API_KEY, "Accept-Encoding": accepts, **headers}  # None leaves it out
    answer = session.get(relay.url + path, headers=sent, stream=True, timeout=30)
    return answer, answer.raw.read(decode_content=False)


@pytest.mark.parametrize("path", ["/v1/event-types", "/openapi.json", "/openapi.yaml"])
def test_a_large_response_is_compressed_if_the_client_accepts_gzip(relay: Relay, path: str) -> None:
    plain, whole = fetch(relay, path, "identity")
    assert "Content-Encoding" not in plain.headers
    small, data = fetch(relay, path)
    assert small.headers["Content-Encoding"] == "gzip" and int(small.headers["Content-Length"]) == len(data)
    assert gzip.decompress(data) == whole and len(data) < len(whole) / 3
    for answer in (plain, small):
        assert "accept-encoding" in answer.headers["Vary"].lower()


@pytest.mark.parametrize("accepts", ["", "identity", "gzip;q=0", "br", "deflate"])
def test_others_get_it_as_it_is(relay: Relay, accepts: str) -> None:
    answer, data = fetch(relay, "/v1/event-types", accepts)
    assert "Content-Encoding" not in answer.headers and json.loads(data)


def test_a_small_response_is_not_compressed(relay: Relay) -> None:
    answer, data = fetch(relay, "/v1/api-keys?limit=1")
    assert "Content-Encoding" not in answer.headers and json.loads(data)


def test_the_etag_of_a_compressed_description_is_weak_and_still_answers_304(relay: Relay) -> None:
    answer, _ = fetch(relay, "/openapi.json")
    assert answer.headers["ETag"].startswith('W/"')
    again, data = fetch(relay, "/openapi.json", **{"If-None-Match": answer.headers["ETag"]})
    assert again.status_code == 304 and data == b""


def test_a_response_to_a_session_is_not_compressed(relay: Relay) -> None:
    client = Client(relay)
    client.sign_in(API_KEY)
    cookies = "; ".join(f"{cookie.name}={cookie.value}" for cookie in client.session.cookies)
    answer, data = fetch(relay, "/v1/event-types", Cookie=cookies)
    assert answer.status_code == 200 and "Content-Encoding" not in answer.headers and json.loads(data)


@pytest.mark.parametrize("path", ["/v1/employees", "/v1/subscriptions"])
@pytest.mark.parametrize(
    "kind", ["application/xml", "text/xml; charset=utf-8", "multipart/form-data; boundary=x"]
)
def test_a_body_of_another_type_is_415_and_says_what_to_send(relay: Relay, path: str, kind: str) -> None:
    answer = relay.call("POST", path, data=b"<a/>", headers={"Content-Type": kind})
    assert answer.status_code == 415
    problem = answer.json()
    assert kind.partition(";")[0] in problem["detail"] and "application/json" in problem["detail"]
