"""The stored form of events: the flat body as JSON without its ID, and the gateway's JSON, deflated."""

from __future__ import annotations

import zlib
from types import NoneType
from typing import Any

import orjson

from app.base import ids
from app.base.vault import Vault

# An example of a punch, so that even the first bytes are compressed. Never change it: add another one with another
# mark.
_PUNCH = (
    b'{"RealTime":{"OperationID":"","LabelName":"","SerialNumber":"","PunchLog":{"Type":"CheckOut","Type":"CheckIn",'
    b'"Temperature":"36.8","FaceMask":false,"InputType":"Face","InputType":"Fingerprint","UserID":"","UserId":"",'
    b'"LogTime":"2026-01-01 00:00:00 GMT +0530"},"AuthToken":"","Time":"2026-01-01 00:00:00 GMT +0000"}}'
)
_MARK = b"\x01"
_WINDOW_BITS = -12
_MEMORY = 4

# How long links are valid after an event is shown: longer than the retries of a delivery last.
LINK_SECONDS = 7 * 86_400
# Fields that the relay itself uses, and that every version has stored, with their types.
_TEXT, _TEXT_OR_NULL = (str,), (str, NoneType)
_NEEDED: dict[str, dict[str, tuple[type, ...]]] = {
    "attendance.punch": {
        "device_id": _TEXT,
        "user_id": _TEXT,
        "punch_type": _TEXT_OR_NULL,
        "direction": _TEXT_OR_NULL,
        "clock_suspect": (bool,),
        "occurred_at": _TEXT,
        "occurred_at_utc": _TEXT,
    },
    "attendance.photo": {"photo_url": _TEXT},
    "callback.unrecognised": {"body_url": _TEXT},
    "command.completed": {"action": _TEXT, "user_id": _TEXT_OR_NULL},
}
_NEEDED_BY_ALL: dict[str, tuple[type, ...]] = {
    "type": _TEXT,
    "device_id": _TEXT_OR_NULL,
    "occurred_at": _TEXT_OR_NULL,
    "received_at": _TEXT,
}
_LINKS = {"attendance.photo": "photo_url", "callback.unrecognised": "body_url"}
# Fields that are looked up in sets, or used in calculations: another type would raise an error.
_IF_THERE: dict[str, tuple[type, ...]] = {
    "user_id": _TEXT_OR_NULL,
    "command_id": _TEXT_OR_NULL,
    "revision": (int, NoneType),
    "worked_hours": (int, float, NoneType),
}


def deflate(data: bytes) -> bytes:
    """Compress bytes, with a mark for the method."""
    packer = zlib.compressobj(6, zlib.DEFLATED, _WINDOW_BITS, _MEMORY, zdict=_PUNCH)
    return _MARK + packer.compress(data) + packer.flush()


def inflate(data: bytes) -> bytes:
    """Decompress bytes from `deflate`. Raises ValueError for an unknown mark, or if they are damaged."""
    if data[:1] != _MARK:
        raise ValueError("a raw body was stored by a newer version of cams-relay")
    unpacker = zlib.decompressobj(_WINDOW_BITS, zdict=_PUNCH)
    try:
        found = unpacker.decompress(data[1:])
    except zlib.error as error:
        raise ValueError(f"a raw body is damaged: {error}") from None
    if not unpacker.eof:
        raise ValueError("a raw body is damaged: its end is missing")
    return found


def raw_json(data: bytes) -> bytes:
    """Decompress the gateway's JSON. Raises ValueError if it is damaged, which the compression doesn't always show."""
    found = inflate(data)
    orjson.loads(found)
    return found


class UnreadableEvent(ValueError):
    """The stored bytes aren't an event."""


class Codec:
    """Decodes stored events, and encodes events for delivery."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault

    @staticmethod
    def decode(body: bytes | None) -> dict[str, Any]:
        """Return the flat event as stored, without its ID. Raises UnreadableEvent for a missing or invalid field.

        Readers use `EventReader` instead, which notes what can't be read.
        """
        try:
            event = orjson.loads(body or b"")
        except ValueError:
            raise UnreadableEvent("no JSON") from None
        if not isinstance(event, dict) or not _has(event, _NEEDED_BY_ALL):
            raise UnreadableEvent("no event")
        if not _has(event, _NEEDED.get(event["type"], {})):
            raise UnreadableEvent("not a whole event")
        if not all(isinstance(event.get(name), types) for name, types in _IF_THERE.items()):
            raise UnreadableEvent("a field of another type")
        link = _LINKS.get(event["type"])
        if link is not None and event[link].count("/") < 2:
            raise UnreadableEvent("no link")
        return event

    def event(self, shard: int, entry: str, body: bytes | None) -> dict[str, Any]:
        """Return the flat event with its ID and freshly signed links. Raises UnreadableEvent."""
        return self._shown(ids.event_id(shard, entry), body)

    def flat(self, event_id: str, body: bytes, sealed_extra: bytes | None = None) -> bytes:
        """Return the flat event as JSON. With `sealed_extra`, card numbers are included."""
        if sealed_extra is None and not body.startswith(_NEED_READING):
            return b'{"id":"' + event_id.encode() + b'",' + body[1:]
        event = self._shown(event_id, body)
        if sealed_extra is not None:
            event |= orjson.loads(self._vault.open("extra", sealed_extra, event["device_id"]))
        return orjson.dumps(event)

    def _shown(self, event_id: str, body: bytes | None) -> dict[str, Any]:
        event: dict[str, Any] = {"id": event_id, **self.decode(body)}
        link = _LINKS.get(event["type"])
        if link is not None:
            event[link] = self._signed(event[link])
        return event

    def _signed(self, url: str) -> str:
        base, path = split_link(url)
        return base + self._vault.sign_path(path, LINK_SECONDS)


def _has(event: dict[str, Any], needed: dict[str, tuple[type, ...]]) -> bool:
    return all(name in event and isinstance(event[name], types) for name, types in needed.items())


_NEED_READING = tuple(f'{{"type":"{event_type}"'.encode() for event_type in _LINKS)


def split_link(url: str) -> tuple[str, str]:
    """Split a stored link into its base URL and its signed path, which is the last two segments."""
    base, folder, name = url.rsplit("/", 2)
    return base, f"/{folder}/{name}"
