"""Helpers for the contract tests: a device's events, problems, and the gateway's encryption."""

from __future__ import annotations

import base64
import json
import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import requests
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from app.api.cursors import make as make_cursor
from app.settings.table import load
from app.store import Store, make_vault
from app.store.server.codec import inflate
from app.store.server.connection import make_client
from tests.harness import Device, Relay, wait_for

KEY = "0123456789abcdef0123456789ABCDEF"
OTHER_KEY = "fedcba9876543210FEDCBA9876543210"


def events(device: Device, **query: Any) -> list[dict[str, Any]]:
    """Return a device's events, oldest first."""
    return device.relay.events(device_id=device.id, **query)


def types(device: Device) -> list[str]:
    """Return the types of a device's events, oldest first."""
    return [event["type"] for event in events(device)]


def only(device: Device, event_type: str) -> dict[str, Any]:
    """Return the device's only event of this type."""
    (event,) = events(device, type=event_type)
    return event


def sealed(document: Any, key: str = KEY) -> bytes:
    """Encrypt a body as the gateway does for a device with a Security Key: Base64 of AES-256/ECB/PKCS5."""
    plain = document if isinstance(document, bytes) else json.dumps(document).encode()
    missing = 16 - len(plain) % 16
    cipher = Cipher(algorithms.AES(key.encode()), modes.ECB())
    return base64.b64encode(cipher.encryptor().update(plain + bytes([missing]) * missing))


def gateway_time(at: datetime) -> str:
    """Return a time like `2020-09-17 07:48:22 GMT +0530`."""
    return at.strftime("%Y-%m-%d %H:%M:%S GMT %z")


def now() -> datetime:
    """Return the time in UTC, to the second, like the gateway's times."""
    return datetime.now(UTC).replace(microsecond=0)


def post(relay: Relay, path: str, body: Any) -> dict[str, Any]:
    """POST a body that must be answered with 201; return the JSON."""
    answer = relay.call("POST", path, json=body)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


def key_with(relay: Relay, *scopes: str, **fields: Any) -> str:
    """Create an API key with these scopes."""
    made: str = post(relay, "/v1/api-keys", {"name": "of a test", "scopes": list(scopes), **fields})["key"]
    return made


def cursor_at(relay: Relay, path: str, place: str, **filters: Any) -> str:
    """Return the relay's cursor for a place in the list at `path` with these filters."""
    texts = {name: str(value) for name, value in filters.items()}
    return make_cursor(make_vault(load(relay.environment)), path, texts, place)


def place_of(error: dict[str, str]) -> str:
    """Return the field (with dots), parameter or header of an item in `errors`."""
    (place,) = error.keys() - {"message"}
    return (
        (error[place].removeprefix("/").replace("/", ".") or "body") if place == "pointer" else error[place]
    )


def problem(answer: requests.Response, status: int, *fields: str) -> dict[str, Any]:
    """Return the answer's problem, which must have this status and name these fields."""
    assert answer.status_code == status, f"{answer.status_code} {answer.text}"
    assert answer.headers["content-type"] == "application/problem+json", answer.headers
    found: dict[str, Any] = answer.json()
    assert found["type"].endswith(f"/docs/errors#{found['code']}"), found
    assert found["title"] and found["detail"] and found["request_id"], found
    assert found["status"] == status
    if fields:
        assert {place_of(error) for error in found["errors"]} == set(fields), found
        assert all(error["message"] for error in found["errors"])
    return found


def done(answer: requests.Response) -> None:
    """Check that the answer is exactly the gateway's acknowledgement."""
    assert (answer.status_code, answer.content) == (200, b'{"status":"done"}'), answer.text
    assert answer.headers["content-type"] == "application/json"


def counters(device: Device) -> dict[str, Any]:
    """Return a device as the API shows it, with its counters."""
    shown: dict[str, Any] = device.relay.get(f"/v1/devices/{device.id}")
    return shown


def stored_values(relay: Relay) -> dict[str, bytes]:
    """Return everything in the relay's store: key → all of its values, decompressed."""
    settings = load(relay.environment)
    client: Any = make_client(settings)
    found: dict[str, bytes] = {}
    for key in client.scan_iter(count=1000):
        kind = client.type(key)
        if kind == b"string":
            parts = [client.get(key) or b""]
        elif kind == b"hash":
            parts = [part for pair in client.hgetall(key).items() for part in pair]
        elif kind == b"set":
            parts = list(client.smembers(key))
        elif kind == b"zset":
            parts = list(client.zrange(key, 0, -1))
        elif kind == b"list":
            parts = list(client.lrange(key, 0, -1))
        else:
            assert kind in (b"stream", b"none"), kind
            rows = client.xrange(key) if kind == b"stream" else []
            parts = [part for _, fields in rows for pair in fields.items() for part in pair]
        for part in list(parts):
            with suppress(ValueError, zlib.error):  # encrypted data may begin with any byte
                parts.append(inflate(part))
        found[key.decode("utf-8", "replace")] = b"\n".join(parts)
    client.close()
    return found


def stream_ends(answer: requests.Response, meanwhile: Callable[[], object] = lambda: None) -> None:
    """Check that a stream of server-sent events ends by itself, while something else continues."""
    reader = threading.Thread(target=lambda: list(answer.iter_lines(chunk_size=1)), daemon=True)
    reader.start()
    wait_for(lambda: meanwhile() or not reader.is_alive(), 25, every=0.2)


def punches(device: Device) -> list[dict[str, Any]]:
    return events(device, type="attendance.punch")


def log_of(document: dict[str, Any]) -> dict[str, Any]:
    """Return the PunchLog of a callback."""
    log: dict[str, Any] = document["RealTime"]["PunchLog"]
    return log


def ids(found: list[dict[str, Any]]) -> list[str]:
    return [event["id"] for event in found]


def patch(device: Device, **fields: Any) -> dict[str, Any]:
    answer = device.relay.call("PATCH", f"/v1/devices/{device.id}", json=fields)
    assert answer.status_code == 200, answer.text
    changed: dict[str, Any] = answer.json()
    return changed


@contextmanager
def replaced(store: Store, key: str, field: str | None = None, value: bytes = b"x") -> Iterator[None]:
    """Replace a field of a hash, or a whole key, by another value or type. Put the original back afterwards."""
    client = store.connection.redis
    before = client.dump(key)
    if field is not None:
        client.hset(key, field, value)
    else:
        client.delete(key)
        client.set(key, value)
    try:
        yield
    finally:
        client.delete(key)
        if before is not None:
            client.restore(key, 0, before)


def corrected_punch(relay: Relay, device_id: str, user_id: str) -> dict[str, Any]:
    """Add a punch of a user an hour ago by a correction, and return the correction."""
    at = datetime.now(UTC) - timedelta(hours=1)
    body = {"kind": "added", "user_id": user_id, "device_id": device_id, "punched_at": at.isoformat()}
    answer = relay.call("POST", "/v1/corrections", json={**body, "reason": "Forgot to punch."})
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made
