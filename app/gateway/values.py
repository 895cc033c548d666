"""Single values of the gateway's JSON, read tolerantly.

A reader raises ValueError with the end of a sentence ("is not a number"), which never repeats the value: it
may be a PIN or a template.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

import pybase64

LONGEST_ID = 128
LONGEST_NAME = 256
LONGEST_WORD = 64

_INEXACT = 2.0**53
_LARGEST = 10**LONGEST_ID
_CONTROL = dict.fromkeys([*range(0x20), *range(0x7F, 0xA0)])
_SURROGATE = re.compile("[\ud800-\udfff]")
_DECIMAL = re.compile(
    r"\s*([+-]?\d{1,9})(?:[.,](\d{1,30}))?([eE][+-]?\d{1,2})?\s*(?:(?:°|º)?\s*[Cc]|℃|°|º)?\s*", re.ASCII
)
_WHOLE = re.compile(r"\s*(\d{1,15})(?:\.0{1,9})?\s*", re.ASCII)
_FLAGS: dict[str, bool] = {
    "true": True,
    "yes": True,
    "1": True,
    "false": False,
    "no": False,
    "0": False,
}
_WORD_STARTS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_BETWEEN_WORDS = re.compile(r"[^\w]+|_+")


def fold(document: Mapping[str, object]) -> dict[str, object]:
    """The same with lower-case keys; where two become one, the first that holds something stays."""
    folded = {key.lower(): value for key, value in document.items()}
    if len(folded) != len(document):
        folded = {}
        for key, value in document.items():
            if folded.get(key.lower()) in (None, ""):
                folded[key.lower()] = value
    return folded


def clean(text: str) -> str:
    """`text` without control characters and surrounding blanks, a lone surrogate replaced by U+FFFD."""
    if not text.isprintable():
        text = _SURROGATE.sub("\ufffd", text.translate(_CONTROL))
    return text.strip()


def text(value: object) -> str:
    """A cleaned text; a whole number is taken as its digits."""
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("is not a text")
    if isinstance(value, float) and abs(value) >= _INEXACT:  # another ID may have become the same
        raise ValueError("is too large for a number; it must be a text")
    # The limit keeps clear of Python's own on the digits of str().
    if not -_LARGEST < value < _LARGEST or value != int(value):
        raise ValueError("is not a text")
    return str(int(value))


def identifier(value: object) -> str:
    """A user's or an operation's ID: 1 to 128 characters. 12 and 12.0 are "12"; a boolean is none."""
    found = text(value)
    if not found:
        raise ValueError("is empty")
    if len(found) > LONGEST_ID:
        raise ValueError(f"is longer than {LONGEST_ID} characters")
    return found


def name(value: object) -> str | None:
    """A name of a person or a device, cut at 256 characters; None if there is nothing in it."""
    return text(value)[:LONGEST_NAME] or None


def number(value: object) -> float:
    """A finite number, also from a text with a decimal comma or a unit ("36,8", "36.8 °C")."""
    if isinstance(value, str):
        match = _DECIMAL.fullmatch(value)
        if match is None:
            raise ValueError("is not a number")
        whole, fraction, exponent = match.groups()
        return float(f"{whole}.{fraction or 0}{exponent or ''}")
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("is not a number")
    try:
        found = float(value)
    except OverflowError:
        found = math.inf
    if not math.isfinite(found):
        raise ValueError("is not a number")
    return found


def flag(value: object) -> bool:
    """A boolean, also from true/false, yes/no, 0/1 as text or number."""
    if isinstance(value, bool):
        return value
    found = None
    if isinstance(value, str):
        found = _FLAGS.get(value.strip().lower())
    elif isinstance(value, int | float) and value in (0, 1):
        found = value == 1
    if found is None:
        raise ValueError("is neither true nor false")
    return found


def whole(value: object, most: int = 10**15) -> int:
    """A whole number from 0 to `most`, also from a text of digits."""
    found: float | None = None
    if isinstance(value, str):
        match = _WHOLE.fullmatch(value)
        found = int(match.group(1)) if match else None
    elif isinstance(value, int | float) and not isinstance(value, bool):
        found = value
    if found is None or (-_LARGEST < found < _LARGEST and found != int(found)):
        raise ValueError("is not a whole number")
    if not 0 <= found <= most:
        raise ValueError(f"is not between 0 and {most}")
    return int(found)


def squeeze(value: str) -> str:
    """The letters and digits alone, in lower case: "Over Time-In" and "OverTimeIn" are "overtimein"."""
    return "".join(character for character in value.lower() if character.isalnum())


def snake(value: str) -> str:
    """A name in snake_case, cut at 64 characters: "FingerVein" is "finger_vein", "IPAddress" "ip_address"."""
    words = _BETWEEN_WORDS.sub(" ", _WORD_STARTS.sub(" ", value[:LONGEST_WORD])).split()
    return "_".join(words).lower()


def word(value: object, known: Mapping[str, str]) -> str | None:
    """One of the gateway's words in snake_case, by `known` (squeezed to ours) if there; None if empty."""
    if not isinstance(value, str):
        raise ValueError("is not a text")
    value = clean(value)[: LONGEST_WORD * 2]
    if not value:
        return None
    found = known.get(value.lower()) or known.get(squeeze(value)) or snake(value)
    if not found:
        raise ValueError("is not a word")
    return found


def base64_bytes(data: str) -> bytes | None:
    """What a Base64 text holds, with or without line breaks and padding; None if it isn't one or is empty."""
    return _unpacked(data) or _unpacked("".join(data.split()))


def _unpacked(data: str) -> bytes | None:
    packed = data.rstrip("=")
    missing = -len(packed) % 4
    if len(data) - len(packed) > missing > 0:
        return None
    try:
        # 30 times as fast as binascii's, which took a tenth of what a photo costs.
        return pybase64.b64decode(packed + "=" * missing, validate=True) or None
    except ValueError:
        return None
