"""A compressed request body is refused with a message, because anybody could send one that expands to gigabytes."""

from __future__ import annotations

import gzip
import json
import zlib

import pytest

from tests.harness import Device, Relay
from tests.relay.tools import events, problem


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "GZIP, identity"])
def test_a_compressed_callback_is_415_and_its_encoding_is_named(device: Device, encoding: str) -> None:
    plain = json.dumps(device.punch()).encode()
    packed = {"gzip": gzip.compress, "deflate": zlib.compress}.get(encoding, lambda body: body)(plain)
    answer = device.send(packed, headers={"Content-Encoding": encoding})
    found = problem(answer, 415)
    assert encoding.partition(",")[0].lower() in found["detail"] and "without compression" in found["detail"]
    assert answer.headers["Accept-Encoding"] == "identity"
    assert events(device) == []
    device.send_done(device.punch())  # the next request on the same connection is read from its beginning


@pytest.mark.parametrize("encoding", ["identity", "utf-8", "none", "<https://example.com|made up>"])
def test_a_body_with_another_content_encoding_is_read(device: Device, encoding: str) -> None:
    answer = device.send(device.punch(), headers={"Content-Encoding": encoding})
    assert answer.json() == {"status": "done"}


def test_a_compressed_api_request_is_415(relay: Relay) -> None:
    body = gzip.compress(json.dumps({"name": "a", "scopes": ["events:read"]}).encode())
    answer = relay.call("POST", "/v1/api-keys", data=body, headers={"Content-Encoding": "gzip"})
    assert "gzip" in problem(answer, 415)["detail"]
