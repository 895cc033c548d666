"""The gateway's JSON without what must not leave the relay, and the digest that tells two documents apart.

All of it copes with any document a JSON decoder can make; what it returns can be written as JSON.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b

from app.gateway.values import LONGEST_NAME, LONGEST_WORD, clean, squeeze

_SECRETS = frozenset(
    {"authtoken", "securitykey", "password", "pin", "data", "logphoto", "photo", "userphoto"}
)
# Of a Template only these are known to be harmless; whatever else is in it goes.
_HARMLESS_IN_TEMPLATE = frozenset({"type", "userid", "size", "index"})
_ENVELOPE = frozenset({"operationid", "time", "labelname", "serialnumber"})
_DEEPEST = 32
_LARGEST_INT = 2**63
_UNKNOWN_MOST = 1000


def is_secret(key: str) -> bool:
    """Whether a key's value is a token, a key, a PIN, a template or a photo, however the key is spelled."""
    return key.lower() in _SECRETS or (not key.isalpha() and squeeze(key[:LONGEST_WORD]) in _SECRETS)


def redact(document: Mapping[str, object]) -> dict[str, object]:
    """A deep copy with tokens, security keys, PINs, template and photo data "" (contract §4, format `raw`).

    Everything nested deeper than 32 is null.
    """
    return {_writable(key): _redacted(key, value, _DEEPEST, False) for key, value in document.items()}


def _redacted(key: str, value: object, depth: int, in_template: bool) -> object:
    folded = key.lower()
    in_template = in_template or folded == "template"
    if is_secret(key):
        return "" if value is not None else None
    if isinstance(value, dict | list):
        if depth == 0:
            return None
        if isinstance(value, list):
            return [_redacted(key, item, depth - 1, in_template) for item in value]
        return {
            _writable(name): _redacted(name, item, depth - 1, in_template) for name, item in value.items()
        }
    if in_template and value is not None and folded not in _HARMLESS_IN_TEMPLATE:
        return ""
    return leaf(value)


def leaf(value: object) -> object:
    """A text or number as any JSON encoder takes it: no lone surrogates, an integer past 64 bits null."""
    if isinstance(value, str):
        return _writable(value)
    if isinstance(value, int) and not -_LARGEST_INT <= value < _LARGEST_INT:
        return None
    return value


def _writable(text: str) -> str:
    """`text` with its lone surrogates replaced: no JSON encoder takes them."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def redact_unknown(document: object) -> object:
    """What may be shown of a document nobody knows: its keys.

    Texts are "", all else null, but for the envelope's OperationID, Time, LabelName and SerialNumber. At most
    1000 values, no deeper than 32, keys no longer than 64.
    """
    return _Outline().of(document, _DEEPEST, envelope=True)


class _Outline:
    def __init__(self) -> None:
        self._left = _UNKNOWN_MOST

    def of(self, value: object, depth: int, envelope: bool) -> object:
        self._left -= 1
        if isinstance(value, str):
            return ""
        if depth == 0 or not isinstance(value, dict | list):
            return None
        if isinstance(value, list):
            return [self.of(item, depth - 1, False) for item in value[: max(self._left, 0)] if self._left > 0]
        outline: dict[str, object] = {}
        for key, item in value.items():
            if self._left <= 0:
                break
            folded = key.lower()
            if envelope and folded in _ENVELOPE and isinstance(item, str):
                self._left -= 1
                shown: object = clean(item[:LONGEST_NAME])
            else:
                shown = self.of(item, depth - 1, envelope and folded == "realtime")
            outline[_writable(key[:LONGEST_WORD])] = shown
        return outline


def content_digest(document: Mapping[str, object]) -> bytes:
    """16 bytes, the same for the same content: keys in any order, without AuthToken and the envelope's Time.

    Of two callbacks with the same OperationID it tells the repetition from new content (contract §3).
    """
    hasher = blake2b(digest_size=16)
    # Walked by hand: no JSON encoder takes every depth, integer and surrogate that a decoder lets in.
    stack: list[object] = [_without_envelope(document)]
    while stack:
        node = stack.pop()
        if isinstance(node, str):
            encoded = node.encode("utf-8", "surrogatepass")
            hasher.update(b"s%d:" % len(encoded) + encoded)
        elif isinstance(node, dict):
            hasher.update(b"{%d:" % len(node))
            for key in sorted(node, reverse=True):
                stack += (node[key], key)
        elif isinstance(node, list):
            hasher.update(b"[%d:" % len(node))
            stack += reversed(node)
        elif isinstance(node, bool) or not isinstance(node, int):
            hasher.update(f"v{node!r};".encode())
        else:
            hasher.update(f"i{node:x};".encode())  # hexadecimal has no limit on digits
    return hasher.digest()


def _without_envelope(document: Mapping[str, object]) -> dict[str, object]:
    kept = {key: value for key, value in document.items() if key.lower() not in ("authtoken", "time")}
    for key, value in kept.items():
        if key.lower() == "realtime" and isinstance(value, dict):
            kept[key] = {
                name: item for name, item in value.items() if name.lower() not in ("authtoken", "time")
            }
    return kept
