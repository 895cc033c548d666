"""Public IDs: a prefix and lower-case Crockford base 32. They sort by time of receipt if that matters.

An event's ID is its place in the store: `evt_` + milliseconds (10 characters), sequence (4), shard (2). So an event is
found by its ID without an index, and IDs from all shards sort by time.

A sequence beyond 2^20 doesn't fit. The store counts that far within one millisecond after its clock was set back. The
ID is then longer: milliseconds (10), six z, sequence (13), shard (2). It sorts after the shorter ones. With
milliseconds beyond 2^50, it is 17 z, milliseconds (13), sequence (13), shard (2). So each place has a separate ID.
"""

from __future__ import annotations

import re
import secrets
from functools import lru_cache
from typing import NamedTuple

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_PAIRS = [first + second for first in _ALPHABET for second in _ALPHABET]
_VALUES = {character: value for value, character in enumerate(_ALPHABET)}
_ENTRY = re.compile(r"(?!0+-0+$)([0-9]{1,20})-([0-9]{1,20})")  # Redis refuses requests for entries before 0-0
_LARGEST = 2**64 - 1  # the largest value of both numbers in an entry's ID
_EVENT = re.compile(r"evt_([0-9a-hjkmnp-tv-z]{16,45})")
_MANY = "z" * 6  # like the last sequence of the last shard
_LATE = "z" * 17


class Place(NamedTuple):
    """The place of an event: its shard and the ID of its stream entry (`ms-seq`)."""

    shard: int
    entry: str


def encode(number: int, width: int) -> str:
    """Return `number` in base 32 with `width` characters. It sorts like the number."""
    parts = []
    for _ in range(width // 2):
        parts.append(_PAIRS[number & 1023])
        number >>= 10
    if width % 2:
        parts.append(_ALPHABET[number & 31])
    return "".join(reversed(parts))


def decode(text: str) -> int:
    """Return a number encoded by `encode`. Raises KeyError for an invalid character."""
    number = 0
    for character in text:
        number = number << 5 | _VALUES[character]
    return number


@lru_cache(maxsize=1_024)  # a delivery needs it for its body and for its header
def event_id(shard: int, entry: str) -> str:
    """Return the public ID of the event at stream entry `ms-seq` of a shard."""
    ms, _, sequence = entry.partition("-")
    at, number = int(ms), int(sequence)
    if at < 1 << 50 and number < 1 << 20:
        return f"evt_{encode(at, 10)}{encode(number, 4)}{encode(shard, 2)}"
    head = f"{encode(at, 10)}{_MANY}" if at < 1 << 50 else f"{_LATE}{encode(at, 13)}"
    return f"evt_{head}{encode(number, 13)}{encode(shard, 2)}"


def event_place(public: str) -> Place | None:
    """Return the place of the event with this public ID; None if it isn't an event's ID."""
    match = _EVENT.fullmatch(public)
    if match is None:
        return None
    text = match[1]
    if len(text) == 16:
        ms, sequence = text[:10], text[10:14]
    elif len(text) == 31 and text[10:16] == _MANY:
        ms, sequence = text[:10], text[16:29]
    elif len(text) == 45 and text.startswith(_LATE):
        ms, sequence = text[17:30], text[30:43]
    else:
        return None
    place = Place(decode(text[-2:]), f"{decode(ms)}-{decode(sequence)}")
    # Another spelling of a place would be a second ID for it.
    return place if is_entry(place.entry) and event_id(*place) == public else None


def is_entry(text: str) -> bool:
    """Return whether it can be the ID of a stream's entry, `ms-seq`."""
    match = _ENTRY.fullmatch(text)
    return match is not None and all(int(number) <= _LARGEST for number in match.groups())


def random_id(prefix: str, shard: int | None = None) -> str:
    """Return a random ID of 120 bits, after the number of its shard, if it has one."""
    place = "" if shard is None else encode(shard, 2)
    return f"{prefix}_{place}{encode(secrets.randbits(120), 24)}"


def shard_of(public: str) -> int | None:
    """Return the shard in an ID from `random_id(prefix, shard)`; None if there is none."""
    _, _, tail = public.rpartition("_")
    if len(tail) != 26 or not set(tail) <= _VALUES.keys():
        return None
    return decode(tail[:2])
