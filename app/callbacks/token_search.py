"""Finds AuthTokens in a callback's bytes without parsing them, in a time that grows only slowly with their number.

The result is a guess, because a device's token can also be in a text that isn't JSON. It shows which bodies are worth
parsing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from urllib.parse import unquote

_NAME = b"authtoken"
# The value after the name, in JSON or in a form.
_JSON_VALUE = re.compile(rb'"\s{0,200}:\s{0,200}("(?:[^"\\]|\\.){1,2000}")', re.DOTALL)
_FORM_VALUE = re.compile(
    rb"(?:%22|\")(?:%20|\+){0,9}(?:%3A|:)(?:%20|\+){0,9}(?:%22|\")([^\"&]{1,2000}?)(?:%22|\")", re.I
)
# In JSON that is a string within other JSON, as version 2.0 may send it.
_QUOTED_VALUE = re.compile(rb'\\"\s{0,200}:\s{0,200}\\"([^"\\]{1,2000})\\"')
_ESCAPED = re.compile(rb"\\u00([2-7][0-9a-fA-F])")
_MOST_ESCAPES = 1_000
_MOST_FOUND = 32


def tokens_in(body: bytes) -> Iterator[str]:
    """Yield the values after `"AuthToken":` in a body, in any letter case and at any depth; at most 32."""
    if 0 < body.count(b"\\u00") <= _MOST_ESCAPES:
        yield from _found(_ESCAPED.sub(_plain, body))
    else:
        yield from _found(body)


def _plain(escaped: re.Match[bytes]) -> bytes:
    character = bytes([int(escaped[1], 16)])
    return escaped[0] if character in b'"\\' else character


def _found(body: bytes) -> Iterator[str]:
    lower, at = body.lower(), -1
    for _ in range(_MOST_FOUND):
        at = lower.find(_NAME, at + 1)
        if at < 0:
            return
        end = at + len(_NAME)
        value = _JSON_VALUE.match(body, end)
        if value is not None:
            with suppress(ValueError):
                yield str(json.loads(value[1].decode("utf-8", "replace"), strict=False))
            continue
        quoted = _QUOTED_VALUE.match(body, end)
        if quoted is not None:
            yield quoted[1].decode("utf-8", "replace")
            continue
        field = _FORM_VALUE.match(body, end)
        if field is not None:
            yield unquote(field[1].decode("ascii", "replace"))
