"""What the machine's software writes for a type or a way to verify, as the gateway's words."""

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

# What software writes, squeezed (small letters and digits only). The numbers are ZKTeco's states.
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
# The numbers are ZKTeco's ways to verify, of older machines (0 to 2) and of newer ones.
INPUT_WORDS: Final[Mapping[str, str]] = {
    **{values.squeeze(name): name for name in INPUT_TYPES},
    **dict.fromkeys(("1", "fp", "finger"), "Fingerprint"),
    **dict.fromkeys(("0", "3", "pw", "pin", "pwd"), "Password"),
    **dict.fromkeys(("2", "4", "rf", "rfid"), "Card"),
    "15": "Face",
    "25": "Palm",
}
EMPTY: Final = frozenset(("", "-", "--", "none", "null", "nil", "n/a", "undefined", "unknown"))
"""Texts that say that a column holds nothing."""

_MOST_VALUES = 20  # that are counted by themselves, of each field
_SHOWN = 20


class Unknown:
    """Values of optional columns that couldn't be read: counted, and logged the first time each."""

    def __init__(self) -> None:
        self.counts: Counter[tuple[str, str]] = Counter()

    def note(self, name: str, value: str, advice: str) -> None:
        """Counts one row whose `name` is unknown."""
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
    """The words of one field: `own` as the user wrote them go before `known`, which are squeezed.

    A value is compared as written first, then by its letters and digits in any case. If words of one's own
    differ in that alone (`I=CheckIn,i=OverTimeIn`), only the exact one counts.
    """

    name: str
    known: Mapping[str, str]
    own: Mapping[str, str | None] = field(default_factory=dict)

    def read(self, written: str, unknown: Unknown) -> str | None:
        """The gateway's word; None if the value is empty, or unknown and then counted."""
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
        """Whether the value says that there is nothing."""
        same = self._same(written)
        return same == {None} or (not same and written.lower() in EMPTY)

    def _same(self, written: str) -> set[str | None]:
        """What one's own words say of it."""
        if written in self.own:
            return {self.own[written]}
        squeezed = _squeezed(written)
        return {word for key, word in self.own.items() if _squeezed(key) == squeezed}


def read_words(text: str, known: Sequence[str], option: str) -> dict[str, str | None]:
    """`100=CheckIn,255=` as what the software writes → the gateway's word, None for no meaning. Raises Stop."""
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
