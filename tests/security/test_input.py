"""No callback causes a 5xx or a hang, and a callback with a device's token is stored. Contract §2."""

from __future__ import annotations

import base64
import gc
import io
import re
import time
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest
import requests
from flask import Flask
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from app.api import create_app
from app.api.callback import DONE
from app.callbacks.body import Refused
from app.callbacks.receiver import Receiver
from app.settings.table import load
from app.store.devices.registry import Devices
from tests.harness import API_KEY, Device, Relay
from tests.relay.tools import KEY, done, problem, sealed
from tests.security.generated import Document, Sent, damaged, documents

DOCUMENTS, WAYS = 1_000, 10  # 10,000 callbacks
OVER_SOCKETS = 500
MOST_SECONDS = 1.0
# For a callback that is stored in chunks, between which other callbacks are stored.
MOST_GENUINE_SECONDS = 4.0
LARGEST = 16 * 1024 * 1024
# A list without rows is valid, and creates no event.
EMPTY = re.compile(rb'\[\s*\]|"Log"\s*:\s*(null|"")|"ReturnRowCount"')
_COUNTS = ("callbacks", "events", "duplicates", "unrecognised")


class Ways:
    """A relay's web application in this process, on the store of the running relay."""

    def __init__(self, relay: Relay) -> None:
        self.relay = relay
        # Quotas that allow more large bodies than any device sends.
        quotas = {"RELAY_DEVICE_MIB_PER_MINUTE": "100000", "RELAY_DEVICE_EVENTS_PER_MINUTE": "10000000"}
        self.app: Flask = create_app(load({**relay.environment, **quotas}))
        self.plain, self.keyed = relay.device(), relay.device(security_key=KEY)
        self.slowest = 0.0
        self.statuses: dict[int, int] = {}

    def by_receiver(self, body: bytes) -> int:
        """Receive a body as app.web.gunicorn_worker does, and return the status."""
        receiver: Receiver = self.app.extensions["receiver"]
        try:
            receiver.receive(body, [], self.relay.url)
        except Refused as refused:
            return refused.status
        return 200

    def by_view(self, body: bytes) -> int:
        """Receive a body through Flask, as for requests without a length, and return the status."""
        answers: list[str] = []
        environ: Any = {
            "REQUEST_METHOD": "POST",
            "PATH_INFO": "/callback",
            "SERVER_NAME": "relay",
            "SERVER_PORT": "80",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "wsgi.input": io.BytesIO(body),
            "wsgi.input_terminated": True,
            "wsgi.url_scheme": "http",
        }
        content = b"".join(self.app(environ, lambda status, *_: answers.append(status) or (lambda _: None)))
        status = int(answers[0].split()[0])
        assert (status == 200) == (content == DONE), content
        return status

    def check(self, sent: Sent, device: Device, way: Any) -> None:
        """Send a body, and check the status, the time taken and the device's counters."""
        before = self._counts(device)
        began = time.thread_time()
        status = way(sent.body)
        took = time.thread_time() - began
        self.slowest = max(self.slowest, took)
        self.statuses[status] = self.statuses.get(status, 0) + 1
        gained = [after - earlier for earlier, after in zip(before, self._counts(device), strict=True)]
        assert status in (200, 400, 401), status
        most = MOST_GENUINE_SECONDS if sent.authentic else MOST_SECONDS
        assert took < most, f"{took:.2f} s of {sent.body[:200]!r}"
        if sent.authentic:
            assert status == 200, sent.body
        if status == 200:
            callbacks, events, duplicates, _ = gained
            empty = EMPTY.search(sent.plain or sent.body)
            assert callbacks == 1 and (events + duplicates > 0 or empty), (gained, sent.body)
        else:
            assert gained == [0, 0, 0, 0], (gained, sent.body)

    def _counts(self, device: Device) -> list[int]:
        devices: Devices = self.app.extensions["store"].devices
        status = devices.status(device.id)
        return [status[name] for name in _COUNTS]


@pytest.fixture(scope="module")
def ways(relay: Relay) -> Iterator[Ways]:
    made = Ways(relay)
    gc.freeze()  # collecting the garbage of thousands of tests takes up to a second, which isn't the relay's time
    yield made
    gc.unfreeze()
    print(f"\ncallbacks: {made.statuses}, the slowest {made.slowest * 1000:.0f} ms of CPU")


def check_many(ways: Ways, document: Document, start: int) -> None:
    chance = Random(start)
    for _ in range(WAYS):
        device = chance.choice((ways.plain, ways.plain, ways.keyed))
        document["RealTime"]["AuthToken"] = device.token
        sent = damaged(document, device.token, chance)
        if device is ways.keyed:
            sent.plain = sent.body
            sent.body = _encrypted(sent, chance)
        ways.check(sent, device, chance.choice((ways.by_receiver, ways.by_view)))


def _encrypted(sent: Sent, chance: Random) -> bytes:
    if sent.authentic is None and chance.random() < 0.2:
        return sent.body  # plain text from a device with a key
    body = sealed(sent.body.removeprefix(b"\xef\xbb\xbf").strip(b"\r\n \0"))
    if chance.random() < 0.2:
        sent.authentic = None
        packed = bytearray(base64.b64decode(body))
        packed[chance.randrange(len(packed))] ^= 1 << chance.randrange(8)
        return base64.b64encode(packed[: chance.choice((len(packed), len(packed) - 16))])
    return chance.choice((body, b'"' + body + b'"', b"\r\n".join((body[:76], body[76:]))))


@settings(max_examples=DOCUMENTS, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(documents("x"), st.integers(0, 2**32))
@pytest.mark.timeout(600)  # callbacks of unknown devices wait to be looked up in the store
def test_10_000_callbacks_of_all_kinds_with_all_kinds_of_damage(
    ways: Ways, document: Document, start: int
) -> None:
    check_many(ways, document, start)


@pytest.mark.soak
@pytest.mark.timeout(3600)
@settings(max_examples=10 * DOCUMENTS, deadline=None, suppress_health_check=list(HealthCheck))
@given(documents("x"), st.integers(0, 2**32))
def test_100_000_random_callbacks(ways: Ways, document: Document, start: int) -> None:
    check_many(ways, document, start)


@settings(max_examples=OVER_SOCKETS, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@seed(7)
@given(documents("x"), st.integers(0, 2**32))
def test_random_callbacks_over_sockets(ways: Ways, document: Document, start: int) -> None:
    def way(body: bytes) -> int:
        # Without a length, the body goes to the view.
        data: Any = iter((body[:100], body[100:])) if start % 3 == 0 and len(body) > 100 else body
        answer = ways.relay.session.post(f"{ways.relay.url}/callback", data=data, timeout=30)
        if answer.status_code == 200:
            done(answer)
        else:
            problem(answer, answer.status_code)
        return answer.status_code

    document["RealTime"]["AuthToken"] = ways.plain.token
    ways.check(damaged(document, ways.plain.token, Random(start)), ways.plain, way)


# 16 MiB


def _filled(unit: bytes, before: bytes, after: bytes = b"", *, least: int = 200) -> bytes:
    """Repeat a unit between `before` and `after` as often as fits into a body."""
    return before + unit * ((LARGEST - len(before) - len(after) - least) // len(unit)) + after


def large(token: str) -> dict[str, bytes]:
    """Return bodies of 16 MiB with the token, named by their content."""
    head = b'{"RealTime":{"AuthToken":"%s","OperationID":"%%s","PunchLog":' % token.encode()
    punch = b'{"UserId":"2","LogTime":"2020-09-17 07:48:22 GMT +0530"}'
    template = b'{"Type":"Face","UserID":"%d","Index":"1","Data":"QUJD"}'
    section = head.replace(b"PunchLog", b"UserUpdated")
    made = {
        "lists": head + b"[" * 8_000_000 + b"]" * 8_000_000 + b"}}",
        "objects": _filled(b'{"a":', head),
        "empty rows": _filled(b"{},", head + b"[", b"{}]}}"),
        "numbers": _filled(b"1,", head + b"[", b"1]}}"),
        "punches": _filled(punch + b",", head + b"[", punch + b"]}}"),
        "digits": _filled(b"9", head, b"}}"),
        "a text": _filled(b"x", head + b'"', b'"}}'),
        "escapes": _filled(b"\\u0041", head + b'"', b'"}}'),
        "surrogates": _filled(b"\\ud800", head + b'"', b'"}}'),
        "no UTF-8": _filled(b"\xff", head + b'"', b'"}}'),
        "blanks": _filled(b" ", head, b"1}}"),
        "deep and long": head + b"[" * 2_000 + _filled(b'"",', b"", least=9_000_000) + b"1" + b"]" * 2_000 + b"}}",
        # Callbacks that are read completely
        "10,000 punches": head + b"[" + b",".join(
            punch.replace(b'"2"', b'"%d"' % n) for n in range(10_000)) + b"]}}",
        "2,000 users": section + b"[" + b",".join(
            b'{"UserID":"%d","FirstName":"A"}' % n for n in range(2_000)) + b"]}}",
        "2,000 templates": section + b'{"Template":[' + b",".join(template % n for n in range(2_000)) + b"]}}}",
        "2,000 photos": head.replace(b"PunchLog", b"Log") + b"[" + b",".join(
            b'{"LogPhoto":"QUJD","LogTime":"2020-09-17 07:48:22 GMT +0530"}' for _ in range(2_000)) + b"]}}",
        "2,000 deletions": head.replace(b"PunchLog", b"UserDeleted") + b"[" + b",".join(
            b'{"UserID":"%d"}' % n for n in range(2_000)) + b"]}}",
    }  # fmt: skip
    return {name: body.replace(b"%s", name.encode()) for name, body in made.items()}


NAMES = list(large("x"))


@pytest.mark.parametrize("name", NAMES)
def test_a_large_body_is_stored_and_does_not_block_others(ways: Ways, name: str) -> None:
    body = large(ways.plain.token)[name]
    assert len(body) <= LARGEST
    ways.check(Sent(body, True), ways.plain, ways.by_receiver)
    ways.check(Sent(body, True), ways.plain, ways.by_view)


@pytest.mark.parametrize(
    "name", [*NAMES, "a form", "an old form", "Base64", "Base64 in lines", "Base64 in quotes"]
)
def test_a_large_body_from_an_unknown_caller_costs_very_little(ways: Ways, name: str) -> None:
    bodies = {
        **large("0" * 32),
        "a form": _filled(b"%7B", b"request_data="),
        "an old form": _filled(b"&a=1", b"att_time=1&stgid=2"),
        "Base64": _filled(b"QUJD", b""),
        "Base64 in lines": _filled(b"QQ==\n", b""),
        "Base64 in quotes": _filled(b"A\\n", b'"', b'"'),
    }
    ways.check(Sent(bodies[name], False), ways.plain, ways.by_receiver)


def test_two_bodies_with_too_many_parts_are_not_duplicates(ways: Ways, relay: Relay) -> None:
    """Their whole content is compared, although none of it is parsed."""
    device = relay.device()
    for number in (b"1", b"2"):
        body = b'{"RealTime":{"AuthToken":"%s","X":[%s]}}' % (device.token.encode(), b"0," * 600_000 + number)
        for _ in range(2):
            assert ways.by_receiver(body) == 200
    shown = relay.get(f"/v1/devices/{device.id}")
    assert (shown["events"], shown["duplicates"], shown["unrecognised"]) == (2, 2, 2)
    first = relay.events(device_id=device.id)[0]
    assert first["type"] == "callback.unrecognised" and "more fields" in first["reason"]
    whole = requests.get(first["body_url"], headers={"X-API-Key": API_KEY}, timeout=10).content
    assert len(whole) == len(body)
    shape = requests.get(first["body_url"], timeout=10).json()
    assert (shape["size_bytes"], shape["content_kind"]) == (len(body), "json")
