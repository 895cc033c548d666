"""Removes from the gateway's JSON what must not leave the relay, and computes the digest that distinguishes documents.

All functions accept any document that a JSON decoder can return, and their results can be written as JSON.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from hashlib import blake2b
from itertools import islice

from app.base.yielding import in_turns, let_others_run
from app.gateway.values import LONGEST_NAME, LONGEST_WORD, clean, squeeze

_SECRETS = frozenset(
    {"authtoken", "securitykey", "password", "pin", "data", "logphoto", "photo", "userphoto"}
)
# Only documented as types of a Template. A value with such a name is also a secret.
_CREDENTIALS = frozenset({"card", "cardno", "cardnumber", "cardid", "rfid", "fingerprint", "face", "palm"})
# In a Template, only these are known to be harmless. Everything else in it is removed.
_HARMLESS_IN_TEMPLATE = frozenset({"type", "userid", "size", "index"})
_ENVELOPE = frozenset({"operationid", "time", "labelname", "serialnumber"})
_DEEPEST = 32
_LARGEST_INT = 2**63
_UNKNOWN_MOST = 1000
_SECRETS_MOST = 8
_SHORTEST_SECRET = 6
_MANY = 1000  # larger documents take so long that others must run meanwhile


def is_secret(key: str) -> bool:
    """Return whether a key's value is a token, a key, a PIN, a template or a photo, however the key is spelled."""
    return key.lower() in _SECRETS or (not key.isalpha() and squeeze(key[:LONGEST_WORD]) in _SECRETS)


def _is_credential(key: str) -> bool:
    return key.lower() in _CREDENTIALS or (not key.isalpha() and squeeze(key[:LONGEST_WORD]) in _CREDENTIALS)


def redact(document: Mapping[str, object]) -> dict[str, object]:
    """Return a deep copy with "" for tokens, Security Keys, PINs, cards, template and photo data (contract §4, `raw`).

    Values nested deeper than 32 are null.
    """
    return {_writable(key): _redacted(key, value, _DEEPEST, False) for key, value in _items(document)}


def _redacted(key: str, value: object, depth: int, in_template: bool) -> object:
    folded = key.lower()
    in_template = in_template or folded == "template"
    if is_secret(key) or _is_credential(key):
        return "" if value is not None else None
    if isinstance(value, dict | list):
        if depth == 0:
            return None
        if isinstance(value, list):
            items = value if len(value) <= _MANY else in_turns(value)
            return [_redacted(key, item, depth - 1, in_template) for item in items]
        return {
            _writable(name): _redacted(name, item, depth - 1, in_template) for name, item in _items(value)
        }
    if in_template and value is not None and folded not in _HARMLESS_IN_TEMPLATE:
        return ""
    return leaf(value)


def _items(found: Mapping[str, object]) -> Iterable[tuple[str, object]]:
    return found.items() if len(found) <= _MANY else in_turns(found.items())


def leaf(value: object) -> object:
    """Return a text or number for any JSON encoder: no lone surrogates, and null for integers beyond 64 bits."""
    if isinstance(value, str):
        return _writable(value)
    if isinstance(value, int) and not -_LARGEST_INT <= value < _LARGEST_INT:
        return None
    return value


def _writable(text: str) -> str:
    """Return `text` with its lone surrogates replaced, because no JSON encoder accepts them."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def redact_unknown(document: object) -> object:
    """Return what may be shown of an unknown document: its keys.

    Texts are "", and all other values null, except the envelope's OperationID, Time, LabelName and SerialNumber. A key
    or text that contains a secret of the envelope, such as the AuthToken, is "…". The result
    has at most 1000 values, nested no deeper than 32, and keys of at most 64 characters.
    """
    return _Outline(_secrets_of(document)).of(document, _DEEPEST, envelope=True)


def _secrets_of(document: object) -> list[str]:
    """Return the AuthToken and other secrets in the first 1000 fields of the envelope."""
    found: list[str] = []
    if isinstance(document, dict):
        outer = list(islice(document.items(), _UNKNOWN_MOST))
        inner = [
            pair
            for _, value in outer
            if isinstance(value, dict)
            for pair in islice(value.items(), _UNKNOWN_MOST)
        ]
        for key, value in islice((*outer, *inner), _UNKNOWN_MOST):
            if isinstance(value, str) and len(value) >= _SHORTEST_SECRET and is_secret(key):
                found.append(value)
    return found[:_SECRETS_MOST]


class _Outline:
    def __init__(self, secrets: list[str]) -> None:
        self._left = _UNKNOWN_MOST
        self._secrets = secrets

    def _shown(self, text: str, longest: int) -> str:
        return "…" if any(secret in text for secret in self._secrets) else text[:longest]

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
                shown: object = clean(self._shown(item, LONGEST_NAME))
            else:
                shown = self.of(item, depth - 1, envelope and folded == "realtime")
            outline[_writable(self._shown(key, LONGEST_WORD))] = shown
        return outline


def content_digest(document: Mapping[str, object]) -> bytes:
    """Return a 16-byte digest of the content, whatever the order of keys, without AuthToken and the envelope's Time.

    If two callbacks have the same OperationID, it distinguishes a repetition from new content (contract §3).
    """
    hasher = blake2b(digest_size=16)
    # Traversed here, because no JSON encoder accepts every depth, integer and surrogate that a decoder accepts.
    stack: list[object] = [_without_envelope(document)]
    parts: list[bytes] = []
    while stack:
        node = stack.pop()
        if isinstance(node, str):
            encoded = node.encode("utf-8", "surrogatepass")
            parts.append(b"s%d:" % len(encoded) + encoded)
        elif isinstance(node, dict):
            parts.append(b"{%d:" % len(node))
            for key in sorted(node, reverse=True):
                stack += (node[key], key)
        elif isinstance(node, list):
            parts.append(b"[%d:" % len(node))
            stack += reversed(node)
        elif isinstance(node, bool) or not isinstance(node, int):
            parts.append(f"v{node!r};".encode())
        else:
            parts.append(b"i%x;" % node)  # hexadecimal, as Python limits decimal digits
        if len(parts) == _MANY:
            hasher.update(b"".join(parts))
            parts.clear()
            let_others_run()
    hasher.update(b"".join(parts))
    return hasher.digest()


def _without_envelope(document: Mapping[str, object]) -> dict[str, object]:
    kept = {key: value for key, value in document.items() if key.lower() not in ("authtoken", "time")}
    for key, value in kept.items():
        if key.lower() == "realtime" and isinstance(value, dict):
            kept[key] = {
                name: item for name, item in value.items() if name.lower() not in ("authtoken", "time")
            }
    return kept
