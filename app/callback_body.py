"""What a callback's body says: its JSON as gateways really send it, and whose it is.

Failure policy: what can't be read as a JSON object at all is refused. What is odd in it (values, encodings, nesting,
numbers of any size) is not: the device would send it again for ever.
"""

from __future__ import annotations

import json
import re
from hashlib import sha256
from typing import Any, NoReturn
from urllib.parse import parse_qs

import orjson

from app.gateway import callbacks
from app.gateway.callbacks import Envelope

_DEEPEST = 200
_MOST_PARTS = 500_000
_STRING_OR_BRACKET = re.compile(r'"(?:[^"\\]++|\\.)*+"|[\[\]{}]', re.DOTALL)
_AUTH_TOKEN = re.compile(rb'"(?i:AuthToken)"\s*+:\s*+"([ -!#-\[\]-~]{1,200})"')
_LARGEST_FORM = 4 * 1024 * 1024


class Refused(Exception):
    """A callback that is not kept: `status` is what HTTP calls it, `counter` how it is counted."""

    def __init__(self, status: int, counter: str, detail: str) -> None:
        super().__init__(detail)
        self.status, self.counter, self.detail = status, counter, detail


def envelope_in(text: bytes) -> tuple[Envelope, str | None]:
    """Of a body's JSON whose it is, and a sentence why nothing more of it is to be read, or None. Raises Refused."""
    document, unread = _document_in(text)
    return callbacks.envelope_of(document), unread


def _document_in(text: bytes) -> tuple[dict[str, Any], str | None]:
    if len(text) > _MOST_PARTS and sum(map(text.count, (b"[", b"{", b","))) > _MOST_PARTS:
        # Its JSON would take seconds and hundreds of megabytes, of anybody who sends it. One string in it is enough
        # to tell whose it is, and then to keep it.
        found = _AUTH_TOKEN.search(text)
        known = {"AuthToken": found[1].decode() if found else None, "Digest": sha256(text).hexdigest()}
        return known, "The body has more parts than any callback has."
    old = None if text.startswith(b"{") else callbacks.old_version(text)
    if old is None:
        return parse(text), None
    # A form of version 2.0 is kept if its JSON holds the device's AuthToken; 1.0 knows no token at all.
    form = form_json(text)
    if form is None:
        raise Refused(401, "unauthorised", old)
    return form, old


def parse(text: bytes) -> dict[str, Any]:
    """A JSON object, strictly at first, then as other parsers would take it. Raises Refused."""
    try:
        document = orjson.loads(text)
    except orjson.JSONDecodeError:
        try:
            document = _tolerantly(text.decode("utf-8", "replace"))
        except (ValueError, RecursionError):
            raise Refused(400, "malformed", "The body is not JSON.") from None
    if not isinstance(document, dict):
        raise Refused(400, "malformed", "The body is JSON, but not an object.")
    return document


def _tolerantly(text: str) -> Any:
    """JSON with lone surrogates, huge numbers or nesting that no parser takes; raises ValueError."""
    options: dict[str, Any] = {"parse_constant": _no_constant, "parse_int": _whole, "strict": False}
    try:
        return json.loads(text, **options)
    except RecursionError:
        return json.loads(_cut_deep(text), **options)


def _whole(digits: str) -> int | float:
    # Python refuses to read integers of very many digits; as a float it is a value that nobody can read.
    return int(digits) if len(digits) < 400 else float(digits)


def _cut_deep(text: str) -> str:
    """The same JSON with null for what is nested deeper than anything a gateway means."""
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


def form_json(text: bytes) -> dict[str, Any] | None:
    """The JSON in the form field `request_data` of version 2.0; None if there is none."""
    if len(text) > _LARGEST_FORM:  # taking a form apart is slow
        return None
    try:
        values = parse_qs(text.decode(), max_num_fields=50).get("request_data")
        return parse(values[0].encode()) if values else None
    except (ValueError, Refused):
        return None
