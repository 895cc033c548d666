"""How events are kept: the flat body as JSON without its id, the gateway's own JSON deflated."""

from __future__ import annotations

import zlib
from typing import Any

import orjson

from app import ids
from app.vault import Vault

# What a punch looks like, so that even the first bytes compress. Never change it: add another with another mark.
_PUNCH = (
    b'{"RealTime":{"OperationID":"","LabelName":"","SerialNumber":"","PunchLog":{"Type":"CheckOut","Type":"CheckIn",'
    b'"Temperature":"36.8","FaceMask":false,"InputType":"Face","InputType":"Fingerprint","UserID":"","UserId":"",'
    b'"LogTime":"2026-01-01 00:00:00 GMT +0530"},"AuthToken":"","Time":"2026-01-01 00:00:00 GMT +0000"}}'
)
_MARK = b"\x01"
_WINDOW_BITS = -12
_MEMORY = 4

# Links are signed for this long when an event is shown: longer than the retries of a delivery last.
LINK_SECONDS = 7 * 86_400
_LINKS = {"attendance.photo": "photo_url", "callback.unrecognised": "body_url"}


def deflate(data: bytes) -> bytes:
    """Compressed, with a mark of how."""
    packer = zlib.compressobj(6, zlib.DEFLATED, _WINDOW_BITS, _MEMORY, zdict=_PUNCH)
    return _MARK + packer.compress(data) + packer.flush()


def inflate(data: bytes) -> bytes:
    """What `deflate` was given. Raises ValueError on a foreign mark."""
    if data[:1] != _MARK:
        raise ValueError("a raw body was stored by a newer version of cams-relay")
    return zlib.decompressobj(_WINDOW_BITS, zdict=_PUNCH).decompress(data[1:])


class Codec:
    """Turns stored events into what is shown and delivered."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault

    def event(self, shard: int, entry: str, body: bytes) -> dict[str, Any]:
        """The flat event, with its id and freshly signed links."""
        return self._shown(ids.event_id(shard, entry), body)

    def flat(self, event_id: str, body: bytes, sealed_extra: bytes | None = None) -> bytes:
        """The flat event as JSON. With `sealed_extra`, card numbers are put in."""
        if sealed_extra is None and not body.startswith(_NEED_READING):
            return b'{"id":"' + event_id.encode() + b'",' + body[1:]
        event = self._shown(event_id, body)
        if sealed_extra is not None:
            event |= orjson.loads(self._vault.open("extra", sealed_extra, event["device_id"]))
        return orjson.dumps(event)

    def _shown(self, event_id: str, body: bytes) -> dict[str, Any]:
        event: dict[str, Any] = {"id": event_id, **orjson.loads(body)}
        link = _LINKS.get(event["type"])
        if link is not None:
            event[link] = self._signed(event[link])
        return event

    def _signed(self, url: str) -> str:
        base, path = split_link(url)
        return base + self._vault.sign_path(path, LINK_SECONDS)


_NEED_READING = tuple(f'{{"type":"{event_type}"'.encode() for event_type in _LINKS)


def split_link(url: str) -> tuple[str, str]:
    """A stored link's base URL and its signed path, which is its last two segments."""
    base, folder, name = url.rsplit("/", 2)
    return base, f"/{folder}/{name}"
