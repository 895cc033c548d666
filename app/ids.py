"""Public ids: a prefix and lower-case Crockford base 32, sorting by time of receipt where it matters.

An event's id is its place in the store: `evt_` + milliseconds (10 characters), sequence (4), shard (2). So an
event is found by its id without an index, and ids of all shards sort by time.
"""

from __future__ import annotations

import re
import secrets
from functools import lru_cache
from typing import NamedTuple

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_PAIRS = [first + second for first in _ALPHABET for second in _ALPHABET]
_VALUES = {character: value for value, character in enumerate(_ALPHABET)}
_ENTRY = re.compile(r"(?!0+-0+$)[0-9]{1,16}-[0-9]{1,16}")  # nothing is before 0-0: Redis refuses to be asked
_EVENT = re.compile(r"evt_([0-9a-hjkmnp-tv-z]{10})([0-9a-hjkmnp-tv-z]{4})([0-9a-hjkmnp-tv-z]{2})")


class Place(NamedTuple):
    """Where an event is kept: its shard and the id of its stream entry (`ms-seq`)."""

    shard: int
    entry: str


def encode(number: int, width: int) -> str:
    """`number` in base 32, `width` characters wide, sorting like the number."""
    parts = []
    for _ in range(width // 2):
        parts.append(_PAIRS[number & 1023])
        number >>= 10
    if width % 2:
        parts.append(_ALPHABET[number & 31])
    return "".join(reversed(parts))


def decode(text: str) -> int:
    """The number that `encode` made. Raises KeyError on a foreign character."""
    number = 0
    for character in text:
        number = number << 5 | _VALUES[character]
    return number


@lru_cache(maxsize=1_024)  # a delivery asks for its body and for its header
def event_id(shard: int, entry: str) -> str:
    """The public id of the event at stream entry `ms-seq` of a shard."""
    ms, _, sequence = entry.partition("-")
    return f"evt_{encode(int(ms), 10)}{encode(int(sequence), 4)}{encode(shard, 2)}"


def event_place(public: str) -> Place | None:
    """Where the event with this public id is kept; None if it isn't an event's id."""
    match = _EVENT.fullmatch(public)
    if match is None:
        return None
    ms, sequence, shard = (decode(part) for part in match.groups())
    entry = f"{ms}-{sequence}"
    return Place(shard, entry) if is_entry(entry) else None


def is_entry(text: str) -> bool:
    """Whether it can be the id of a stream's entry, `ms-seq`."""
    return _ENTRY.fullmatch(text) is not None


def random_id(prefix: str, shard: int | None = None) -> str:
    """A random id of 120 bits, with its shard's number in front where it has one."""
    place = "" if shard is None else encode(shard, 2)
    return f"{prefix}_{place}{encode(secrets.randbits(120), 24)}"


def shard_of(public: str) -> int | None:
    """The shard in an id made by `random_id(prefix, shard)`; None if there is none."""
    _, _, tail = public.rpartition("_")
    if len(tail) != 26 or not set(tail) <= _VALUES.keys():
        return None
    return decode(tail[:2])
