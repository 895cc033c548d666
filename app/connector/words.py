"""Translates the device software's values for a punch type or verification type to the gateway's terms."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from app.connector.errors import Stop
from app.gateway import values

log = logging.getLogger("connector")

PUNCH_TYPES: Final = (
    "CheckIn",
    "CheckOut",
    "BreakOut",
    "BreakIn",
    "OverTimeIn",
    "OverTimeOut",
    "MealIn",
    "MealOut",
)
INPUT_TYPES: Final = ("Fingerprint", "Face", "Palm", "Card", "Password")

# Values of device software, normalised to lower-case letters and digits. The numbers are ZKTeco's states.
TYPE_WORDS: Final[Mapping[str, str]] = {
    **{values.squeeze(name): name for name in PUNCH_TYPES},
    **dict.fromkeys(("0", "in", "i", "cin", "entry"), "CheckIn"),
    **dict.fromkeys(("1", "out", "o", "cout", "exit"), "CheckOut"),
    "2": "BreakOut",
    "3": "BreakIn",
    "4": "OverTimeIn",
    "5": "OverTimeOut",
    "otin": "OverTimeIn",
    "otout": "OverTimeOut",
}
# The numbers are ZKTeco's verification types, of older devices (0 to 2) and newer ones.
INPUT_WORDS: Final[Mapping[str, str]] = {
    **{values.squeeze(name): name for name in INPUT_TYPES},
    **dict.fromkeys(("1", "fp", "finger"), "Fingerprint"),
    **dict.fromkeys(("0", "3", "pw", "pin", "pwd"), "Password"),
    **dict.fromkeys(("2", "4", "rf", "rfid"), "Card"),
    "15": "Face",
    "25": "Palm",
}
EMPTY: Final = frozenset(("", "-", "--", "none", "null", "nil", "n/a", "undefined", "unknown"))
"""Values that mean that a column is empty."""

_MOST_VALUES = 20  # unknown values counted separately, per field
_SHOWN = 20


class Unknown:
    """Counts unknown values in optional columns, and logs each value when it first occurs."""

    def __init__(self) -> None:
        self.counts: Counter[tuple[str, str]] = Counter()

    def note(self, name: str, value: str, advice: str) -> None:
        """Count a row with an unknown `value` of the field `name`. `advice` is logged with it."""
        key = (name, value[:_SHOWN])
        if key not in self.counts:
            if sum(1 for field_name, _ in self.counts if field_name == name) >= _MOST_VALUES:
                key = (name, "others")
            else:
                log.warning("%s %r is unknown, so these punches are sent without it. %s", *key, advice)
        self.counts[key] += 1

    def __str__(self) -> str:
        return ", ".join(f"{name} {value!r} ({count})" for (name, value), count in self.counts.items())


@dataclass(frozen=True, slots=True)
class Words:
    """The terms of one field. The user's own words (`own`) take precedence over `known`, which are normalised.

    A value is compared exactly first, then by its letters and digits, ignoring case. If several own words only differ
    in case or punctuation (`I=CheckIn,i=OverTimeIn`), only an exact match counts.
    """

    name: str
    known: Mapping[str, str]
    own: Mapping[str, str | None] = field(default_factory=dict)

    def read(self, written: str, unknown: Unknown) -> str | None:
        """Return the gateway's term; None if the value is empty or unknown. Unknown values are counted."""
        same = self._same(written)
        if len(same) == 1:
            return same.pop()
        if not same and written.lower() in EMPTY:
            return None
        found = None if same else self.known.get(values.squeeze(written))
        if found is None:
            example = next(iter(self.known.values()))
            advice = f"Set its meaning, e.g. --{self.name}-words {written[:_SHOWN]}={example}"
            unknown.note(self.name, written, advice)
        return found

    def is_empty(self, written: str) -> bool:
        """Return whether the value means that the column is empty."""
        same = self._same(written)
        return same == {None} or (not same and written.lower() in EMPTY)

    def _same(self, written: str) -> set[str | None]:
        """Return the terms of the user's own words that match when normalised."""
        if written in self.own:
            return {self.own[written]}
        squeezed = _squeezed(written)
        return {word for key, word in self.own.items() if _squeezed(key) == squeezed}


def read_words(text: str, known: Sequence[str], option: str) -> dict[str, str | None]:
    """Parse `100=CheckIn,255=` to value → the gateway's term, or None for an ignored value. Raises Stop."""
    found: dict[str, str | None] = {}
    for part in text.split(","):
        written, equals, word = (piece.strip() for piece in part.partition("="))
        right = {values.squeeze(name): name for name in known}.get(values.squeeze(word))
        if not equals or not written or (right is None and word.lower() not in EMPTY):
            example = f"100={known[0]},200={known[1]}"
            raise Stop(
                f"{option}: {part.strip()!r} contains none of {', '.join(known)}; use, for example, {example}, or "
                "255=None if a value has no meaning"
            )
        if found.get(written, right) != right:
            raise Stop(f"{option}: {written!r} has two meanings, {found[written]} and {right}")
        found[written] = right
    return found


def _squeezed(written: str) -> str:
    return values.squeeze(written) or written.lower()
