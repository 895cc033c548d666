"""Garbage costs very little, and unusual requests from a device are still read. Contract §2."""

from __future__ import annotations

import base64
import json
import secrets
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from random import Random
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.callbacks.authentication import Authenticator
from app.callbacks.body import Refused, envelope_in
from app.callbacks.token_search import tokens_in
from app.settings.table import load
from app.store import Store
from tests.harness import Device, Relay, wait_for
from tests.relay.tools import KEY, OTHER_KEY, sealed
from tests.security.generated import Document, damaged, documents

TOKEN = "0123456789abcdef0123456789abcdef"
DEEP = b'{"a":' + b"[" * 40_000 + b"]" * 40_000


@pytest.fixture(scope="module")
def store(relay: Relay) -> Iterator[Store]:
    """Another process's view of the running relay's store."""
    yield Store(load(relay.environment))


def outcome(text: bytes, **how: Any) -> tuple[Any, ...]:
    try:
        envelope, unread = envelope_in(text, **how)
    except Refused as refused:
        return refused.status, refused.counter
    return envelope.document, unread


# A device's bodies are read as if there were no limits


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(documents(TOKEN), st.integers(0, 2**32))
def test_a_body_with_a_devices_token_is_always_parsed(document: Document, start: int) -> None:
    chance = Random(start)
    for _ in range(10):
        text = damaged(document, TOKEN, chance).body.strip(b" \t\r\n\0\xef\xbb\xbf")
        read = outcome(text)
        limited = outcome(text, affords=lambda _cost, text=text: TOKEN in tokens_in(text))
        is_devices = isinstance(read[0], dict) and envelope_in(text)[0].auth_token == TOKEN
        assert limited == read or not is_devices, text


ODD = [
    b'{"AuthToken":"%s","a":[NaN' + b"]}",
    b'{"AUTHTOKEN" \n: "%s", "a": "\x00\xff"}',
    b'{"x":{"AuthToken":"other"},"RealTime":{"authtoken":"%s"},"n":' + b"9" * 500 + b"}",
    b'{"AuthToken":"other","AuthToken":"%s","a":"\xff"}',
    b'{"\\u0041uthToken":"%s","a":"\xff"}',
    b'{"AuthToken":"\\u0030' + TOKEN[1:].encode() + b'","a":"\xff"}',
    b'{"AuthToken":"%s","deep":' + b"[" * 90_000 + b"]" * 90_000 + b"}",
    b'{"a":"' + b"x" * 200_000 + b'","AuthToken":"%s"}',
]


@pytest.mark.parametrize("body", ODD)
def test_unusual_spellings_of_a_devices_token_are_found(body: bytes) -> None:
    text = body.replace(b"%s", TOKEN.encode())
    assert TOKEN in list(tokens_in(text))
    assert outcome(text, affords=lambda _: TOKEN in tokens_in(text)) == outcome(text)


@pytest.mark.parametrize("quoted", [quote, quote_plus, lambda text: text])
def test_the_token_in_a_form_body_of_version_2_is_found(quoted: Any) -> None:
    document = json.dumps({"RealTime": {"AuthToken": TOKEN, "Note": "x" * 100_000}})
    assert TOKEN in list(tokens_in(b"stgid=A&request_data=" + quoted(document).encode()))


def test_at_most_32_tokens_of_a_body_are_checked() -> None:
    assert len(list(tokens_in(b'"AuthToken":"x",' * 100_000))) == 32


# Bodies from unknown callers


def test_deeply_nested_garbage_is_refused_unparsed_unless_it_is_from_a_device(
    store: Store, relay: Relay
) -> None:
    device = relay.device()
    store.devices.keep_up()
    authenticator = Authenticator(store.devices, 100)
    details = []
    for _ in range(40):
        with pytest.raises(Refused) as refused:
            authenticator.authenticate(DEEP + b"}", [])
        details.append(refused.value.detail)
    assert details[-1] == "The body doesn't contain an AuthToken."
    own = DEEP + b',"AuthToken":"%s"}' % device.token.encode()
    for _ in range(40):
        assert authenticator.authenticate(own, []).device.id == device.id
    with pytest.raises(Refused) as refused:  # what unknown callers used up isn't missing for the gateway
        authenticator.authenticate(DEEP + b"}", [], trusted=True)
    assert refused.value.detail != details[-1]


MANY_PARTS = [
    b'{"a":[' + b",".join([b"[1]"] * 240_000) + b"]",
    b'{"a":[' + b",".join([b"{}"] * 240_000) + b"]",
    b"{" + b",".join(b'"%d":1' % number for number in range(400_000)),
    b'{"a":[' + b",".join([b'"x"'] * 400_000) + b"]",
]


@pytest.mark.parametrize("body", MANY_PARTS, ids=["lists", "objects", "names", "texts"])
def test_a_body_with_very_many_parts_is_only_parsed_for_a_device(
    store: Store, relay: Relay, body: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = relay.device()
    store.devices.keep_up()
    authenticator = Authenticator(store.devices, 100)
    assert (
        authenticator.authenticate(body + b',"AuthToken":"%s"}' % device.token.encode(), []).device.id
        == device.id
    )
    monkeypatch.setattr("app.callbacks.body.parse", lambda *_: pytest.fail("parsed"))
    for trusted in (False, True):
        with pytest.raises(Refused) as refused:
            authenticator.authenticate(body + b"}", [], trusted=trusted)
        assert (refused.value.status, refused.value.counter) == (401, "unauthorised")


def test_a_body_that_does_not_end_like_an_object_is_not_parsed(relay: Relay) -> None:
    assert outcome(b'{"a":' + b"[" * 400_000, affords=lambda _: pytest.fail("parsed")) == (400, "malformed")


@pytest.mark.parametrize("kind", ["encrypted", "token"])
def test_the_store_is_not_called_for_every_unknown_caller(relay: Relay, kind: str) -> None:
    with_key = [relay.device(security_key=KEY) for _ in range(5)]
    with Process(relay) as (store, authenticator):
        before, began = reads(store), time.monotonic()

        def refused(number: int) -> bool:
            body = base64.b64encode(secrets.token_bytes(48))
            if kind == "token":
                body = json.dumps(Device(relay, "x", f"{number:032x}").punch()).encode()
            with pytest.raises(Refused) as refused:
                authenticator.authenticate(body, [])
            return refused.value.status in (400, 401, 429)

        with ThreadPoolExecutor(100) as pool:
            assert all(pool.map(refused, range(3_000)))
        most = 2_500 + 300 * (time.monotonic() - began)
        assert reads(store) - before < most, "500 at once, then at most 100 a second"
        for device in with_key:  # meanwhile, all genuine callbacks are accepted
            assert authenticator.authenticate(sealed(device.punch()), []).device.id == device.id


class Process:
    """A store and an authenticator as in a web process, with all devices loaded."""

    def __init__(self, relay: Relay) -> None:
        self.store = Store(load(relay.environment))

    def __enter__(self) -> tuple[Store, Authenticator]:
        self.store.devices.keep_up()
        return self.store, Authenticator(self.store.devices, 5_000)

    def __exit__(self, *_: object) -> None:
        self.store.connection.redis.close()


def reads(store: Store) -> int:
    """Return how often any process has read devices or sets of devices from the store."""
    found = 0
    stats = store.connection.redis.info("commandstats")
    for command in ("hmget", "smembers", "xrange"):
        found += int(stats.get(f"cmdstat_{command}", {"calls": 0})["calls"])
    return found


# Encrypted bodies


def test_the_same_garbage_is_decrypted_once(relay: Relay) -> None:
    relay.device(security_key=KEY)
    with Process(relay) as (_, authenticator):
        garbage = base64.b64encode(bytes(48))
        for _ in range(50):
            with pytest.raises(Refused) as refused:
                authenticator.authenticate(garbage, [])
            assert refused.value.status == 400


@pytest.mark.parametrize("start", [b"", b"  \n", b"\xef\xbb\xbf"])
def test_an_encrypted_body_is_decrypted_whatever_its_beginning(relay: Relay, start: bytes) -> None:
    device = relay.device(security_key=OTHER_KEY)
    with Process(relay) as (_, authenticator):
        for _ in range(3):
            body = sealed(start + json.dumps({"x": 1, **device.punch()}).encode(), OTHER_KEY)
            assert authenticator.authenticate(body, []).device.id == device.id


def test_a_key_just_registered_in_another_process_is_used(relay: Relay) -> None:
    with Process(relay) as (_, authenticator):
        key = secrets.token_hex(16)
        device = relay.device(security_key=key)
        assert authenticator.authenticate(sealed(device.punch(), key), []).device.id == device.id


def test_with_many_keys_an_unusual_body_needs_its_device_in_the_url(relay: Relay) -> None:
    keys = [secrets.token_hex(16) for _ in range(4)]
    device = [relay.device(security_key=key) for key in keys][-1]
    with Process(relay) as (store, _):
        authenticator = Authenticator(store.devices, 2)
        usual, unusual = sealed(device.punch(), keys[-1]), sealed({"x": 1, **device.punch()}, keys[-1])
        assert authenticator.authenticate(usual, []).device.id == device.id
        assert authenticator.authenticate(unusual, [device.id]).device.id == device.id
        with pytest.raises(Refused) as refused:
            authenticator.authenticate(unusual, [])
        assert refused.value.status == 401 and "/callback/ZHM1100001" in refused.value.detail


def test_a_removed_key_is_no_longer_used(relay: Relay) -> None:
    key = secrets.token_hex(16)
    device = relay.device(security_key=key)
    with Process(relay) as (store, authenticator):
        assert authenticator.authenticate(sealed(device.punch(), key), []).device.id == device.id
        relay.call("DELETE", f"/v1/devices/{device.id}").raise_for_status()
        wait_for(lambda: store.devices.keep_up() or store.devices.known(device.id) is None)
        with pytest.raises(Refused):
            authenticator.authenticate(sealed(device.punch(), key), [])
