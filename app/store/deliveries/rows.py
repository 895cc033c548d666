"""A delivery as the API shows it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

import orjson

from app.store.deliveries.delivery_ids import DeliveryPlace, delivery_id, public_id, received_ms

Row = dict[str, Any]
Sees = Literal["none", "public", "all"]  # which of the targets' answers: restricted ones only with `all`


def iso(ms: float) -> str:
    """Return a time (ms since 1970) in ISO 8601, UTC."""
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass(frozen=True, slots=True)
class Attempted:
    """The known attempts of a delivery."""

    attempts: list[Row]
    made: int  # their number; only the latest are listed
    mark: str = ""  # why the latest or next one is made: replay, retry, or test and a type
    by: str = ""  # the same, if somebody requested the next one


NOTHING = Attempted([], 0)


def attempted(state: bytes) -> Attempted:
    """Read a stored state. Raises ValueError, LookupError or TypeError if it can't be read."""
    known = orjson.loads(state)
    return Attempted(
        attempts_of(known["log"]), int(known["n"]), str(known.get("was", "")), str(known.get("by", ""))
    )


def attempts_of(log: Sequence[Sequence[Any]]) -> list[Row]:
    """Return attempts as they are shown, from their stored form."""
    return [
        {
            "at": at,
            "response_status": status or None,
            "duration_ms": duration,
            "error": error,
            "response_body": None,
        }
        for at, status, duration, error in log
    ]


def row(
    place: DeliveryPlace,
    status: str,
    known: Attempted,
    *,
    entries: Sequence[str] | None = None,
    event_count: int | None = None,
    next_ms: int | None = None,
) -> Row:
    """Return the row of a delivery. `entries` are the events of a batch, if they are known."""
    public, is_batch = public_id(place.shard, place.name), ":b" in place.name
    what, _, event_type = known.mark.partition(" ")
    event_id: str | None = None if is_batch else public
    if is_batch and what == "test":
        event_id = f"evt_{public.removeprefix('bat_')}"
    event_ids = [] if event_id is None else [event_id]
    if entries is not None:
        event_ids = [public_id(place.shard, entry) for entry in entries]
    last: Row = known.attempts[-1] if known.attempts else {}
    return {
        "id": delivery_id(*place),
        "subscription_id": place.subscription_id,
        "event_id": event_id,
        "batch_id": public if is_batch else None,
        "event_ids": event_ids,
        "event_count": event_count if event_count is not None else max(1, len(event_ids)),
        "event_type": event_type or None,
        "trigger": _trigger(status, known),
        "status": status,
        "created_at": iso(received_ms(place.name)),
        "attempt_count": known.made,
        **{name: last.get(name) for name in ("response_status", "duration_ms", "error")},
        "last_attempt_at": last.get("at"),
        "next_attempt_at": None if next_ms is None else iso(next_ms),
        "attempts": known.attempts,
    }


def _trigger(status: str, known: Attempted) -> str:
    """Return why the latest attempt was made or, for a pending delivery, why the next one will be."""
    if known.mark.startswith("test"):
        return "test"
    if known.by or known.mark:
        return known.by or known.mark
    return "retry" if known.made > (0 if status == "pending" else 1) else "first"


def add_answer(shown: Row, stored: bytes | None, sees: Sees) -> None:
    """Add the target's answer to its attempt, if the reader may see it."""
    try:
        answer = orjson.loads(stored or b"")
        at, body, restricted = str(answer["at"]), str(answer["body"]), bool(answer["restricted"])
    except (ValueError, LookupError, TypeError):
        return
    for attempt in shown["attempts"]:
        if attempt["at"] == at and (sees == "all" or (sees == "public" and not restricted)):
            attempt["response_body"] = body
