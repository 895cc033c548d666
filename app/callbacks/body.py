"""Reads a callback's body: its JSON as gateways really send it, and the device that it belongs to.

Failure policy: a body that can't be read as a JSON object is refused. One with odd content (values, encodings,
nesting, numbers of any size) is accepted, because the device would otherwise send it again forever.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from typing import Any, NamedTuple, NoReturn, TypeAlias

import orjson

from app.callbacks.forms import LARGEST_FORM, fields_in
from app.gateway import callbacks, legacy_callbacks
from app.gateway.callbacks import Envelope
from app.gateway.cipher import ciphertext

Affords: TypeAlias = Callable[[int], bool]

_DEEPEST = 200
_MOST_PARTS = 500_000
_STRING_OR_BRACKET = re.compile(r'"(?:[^"\\]++|\\.)*+"|[\[\]{}]', re.DOTALL)
_AUTH_TOKEN = re.compile(rb'"(?i:AuthToken)"\s*+:\s*+"([ -!#-\[\]-~]{1,200})"')
_SMALL = 64 * 1024  # bytes; strict parsing of such a body costs next to nothing
_STRICT_IS_FASTER = 8  # times faster than tolerant parsing
_FEW_PARTS = 5_000  # cost next to nothing, either
_BYTES_A_PART = 2.5  # tolerant parsing of these takes as long as strict parsing of one value
_REQUEST_DATA = "request_data"


class Refused(Exception):
    """A callback that is not kept, with the HTTP status, and the counter that counts it.

    `device_id` and `auth_token` are what it claims, if that is known and not obvious from the request. The AuthToken
    is only compared, and never shown.
    """

    def __init__(
        self,
        status: int,
        counter: str,
        detail: str,
        *,
        device_id: str | None = None,
        auth_token: str | None = None,
    ) -> None:
        super().__init__(detail)
        self.status, self.counter, self.detail = status, counter, detail
        self.device_id, self.auth_token = device_id, auth_token


def _always(_cost: int) -> bool:
    return True


def envelope_in(text: bytes, affords: Affords = _always) -> tuple[Envelope, str | None]:
    """Return the envelope in a body's JSON, and why nothing else of it is read (a sentence), or None. Raises Refused.

    `affords` is called before any slow step. It returns whether the body is worth that many bytes of tolerant parsing.
    """
    document, unread, version = _document_in(text, affords)
    envelope = callbacks.envelope_of(document)
    return (envelope if version is None else replace(envelope, version=version)), unread


class _Document(NamedTuple):
    """A body's JSON; `version` is the older API version that it was sent in, if any."""

    json: dict[str, Any]
    unread: str | None = None
    version: str | None = None


def _document_in(text: bytes, affords: Affords) -> _Document:
    parts = sum(map(text.count, (b"[", b"{", b","))) if len(text) > _FEW_PARTS else 0
    has_too_many_parts = parts > _MOST_PARTS
    if not has_too_many_parts and text.startswith(b"{") and not text.endswith(b"}"):
        raise Refused(400, "malformed", "The body is not JSON.")
    cost = max(len(text) // _STRICT_IS_FASTER, int(parts * _BYTES_A_PART))
    if (len(text) > _SMALL or parts > _FEW_PARTS) and not affords(cost):
        raise _nobodys()
    if has_too_many_parts:
        # Anybody could send this, and parsing it would take seconds and hundreds of megabytes. A single string in it
        # is enough to find the device, and then to keep the body.
        found = _AUTH_TOKEN.search(text)
        known = {"AuthToken": found[1].decode() if found else None, "Digest": sha256(text).hexdigest()}
        return _Document(known, "The body has more fields than any known callback.")
    old = None if text.startswith(b"{") else callbacks.old_version(text)
    if old == "1.0":  # has no token, so its JSON can't name its device
        raise Refused(401, "unauthorised", legacy_callbacks.VERSION_1_REFUSED)
    document = form_json(text, affords) if old else parse(text, affords)
    if document is None:
        raise Refused(
            401, "unauthorised", "The form of version 2.0 has no JSON with an AuthToken in request_data."
        )
    if _REQUEST_DATA in document and "RealTime" not in document:
        unwrapped = _unwrapped(document, affords)
        return _Document(document, version=old) if unwrapped is None else _Document(unwrapped, version="2.0")
    return _Document(document, version=old)


def _unwrapped(outer: dict[str, Any], affords: Affords) -> dict[str, Any] | None:
    """Return the document in `request_data` (text or object) with the other fields; None if there is none."""
    inner = outer[_REQUEST_DATA]
    if isinstance(inner, str):
        try:
            inner = parse(inner.strip().encode("utf-8", "replace"), affords)
        except Refused:
            return None
    return _beside(outer) | inner if isinstance(inner, dict) else None


def _beside(outer: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in outer.items() if name not in (_REQUEST_DATA, "stgid")}


def _nobodys() -> Refused:
    return Refused(401, "unauthorised", "The body doesn't contain an AuthToken.")


def parse(text: bytes, affords: Affords = _always) -> dict[str, Any]:
    """Parse a JSON object, first strictly, then as tolerantly as other parsers. Raises Refused."""
    try:
        document = orjson.loads(text)
    except orjson.JSONDecodeError:
        if not affords(len(text)):
            raise _nobodys() from None
        try:
            document = _tolerantly(text.decode("utf-8", "replace"))
        except (ValueError, RecursionError):
            raise Refused(400, "malformed", "The body is not JSON.") from None
    if not isinstance(document, dict):
        raise Refused(400, "malformed", "The body is JSON, but not an object.")
    return document


def _tolerantly(text: str) -> Any:
    """Parse JSON with lone surrogates, huge numbers or nesting that no parser accepts. Raises ValueError."""
    options: dict[str, Any] = {"parse_constant": _no_constant, "parse_int": _whole, "strict": False}
    try:
        return json.loads(text, **options)
    except RecursionError:
        return json.loads(_cut_deep(text), **options)


def _whole(digits: str) -> int | float:
    # Python refuses to read integers with very many digits. As a float, it counts as a value that can't be read.
    return int(digits) if len(digits) < 400 else float(digits)


def _cut_deep(text: str) -> str:
    """Return the JSON with null in place of values that are nested deeper than any real callback."""
    kept, depth, start = [], 0, 0
    for token in _STRING_OR_BRACKET.finditer(text):
        bracket = token.group()[0]
        if bracket in "[{":
            depth += 1
            if depth == _DEEPEST + 1:
                kept += [text[start : token.start()], "null"]
        elif bracket in "]}":
            if depth == _DEEPEST + 1:
                start = token.end()
            depth -= 1
    if depth > _DEEPEST:
        raise ValueError("not closed")
    return "".join([*kept, text[start:]])


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def form_json(text: bytes, affords: Affords = _always) -> dict[str, Any] | None:
    """Return the JSON in version 2.0's form field `request_data`, with the form's other fields, or None."""
    fields = _form(text, affords)
    data = fields.get(_REQUEST_DATA)
    try:
        return None if data is None else _beside(fields) | parse(data.strip().encode(), affords)
    except (ValueError, Refused):
        return None


def sealed_in_form(text: bytes, affords: Affords = _always) -> bytes | None:
    """Return the encrypted body in the form field `request_data`; None if there is none."""
    data = _form(text, affords).get(_REQUEST_DATA, "").strip()
    if not data or data.startswith("{"):
        return None
    return ciphertext(data.replace(" ", "+").encode())  # a plus that wasn't encoded


def _form(text: bytes, affords: Affords) -> dict[str, str]:
    if _SMALL < len(text) <= LARGEST_FORM and not affords(len(text)):
        raise _nobodys()
    return fields_in(text) or {}
