"""Plain sentences about events, for people in a chat. Their words are only made here.

Contract §8. A sentence contains no link, digest or hint of a secret, only names, IDs, times and reasons.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, date, datetime, tzinfo
from typing import Any

Event = dict[str, Any]

# Control characters, line and paragraph separators, and marks that reverse the direction of what follows.
_NOT_ONE_LINE = re.compile("[\\s\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]+")

_PUNCHES = {
    "check_in": "checked in",
    "check_out": "checked out",
    "break_out": "went on a break",
    "break_in": "came back from a break",
    "overtime_in": "started overtime",
    "overtime_out": "ended overtime",
    "meal_in": "punched for a meal (in)",
    "meal_out": "punched for a meal (out)",
}
_CREDENTIALS = {"password": "PIN", "user_photo": "photo"}


def sentence(event: Event) -> str:
    """Return what happened, in one line without a full stop; for an unknown type, its name and device."""
    made = _SENTENCES.get(event.get("type", ""), _other)(event)
    return one_line(f"Test: {made}" if event.get("test") else made)


def one_line(text: str) -> str:
    """Replace line breaks, control characters and marks that reverse the direction of text by spaces."""
    return _NOT_ONE_LINE.sub(" ", text).strip()


# Parts of sentences


def _person(event: Event) -> str:
    user = event.get("user_id")
    name = event.get("user_name") or event.get("full_name")
    if name and user:
        return f"{name} ({user})"
    return name or (f"User {user}" if user else "Someone")


def _user(event: Event) -> str:
    return f"user {event.get('user_id') or '?'}"


def _device(event: Event) -> str:
    return event.get("device_label") or event.get("device_id") or "a device"


def _moment(text: object) -> datetime | None:
    try:
        found = datetime.fromisoformat(str(text or ""))
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _clock(at: datetime, today: date | None = None) -> str:
    """Return `09:01` in the time's own offset, after the date if that isn't `today`. UTC is named."""
    zone = "" if at.utcoffset() else " UTC"
    day = f"{at:%Y-%m-%d} " if today is not None and at.date() != today else ""
    return f"{day}{at:%H:%M}{zone}"


def _zone(event: Event) -> tzinfo:
    at = _moment(event.get("occurred_at"))
    return at.tzinfo if at is not None and at.tzinfo is not None else UTC


def _when(event: Event) -> str:
    """Return when it happened by the device's clock, with the date if it was received on a later day."""
    received = _moment(event.get("received_at"))
    at = _moment(event.get("occurred_at")) or received
    if at is None:
        return ""
    return f", {_clock(at, received.astimezone(at.tzinfo).date() if received else at.date())}"


def _at(event: Event, name: str) -> str:
    """Return a field with a time in UTC by the device's clock, if the event contains its offset."""
    at = _moment(event.get(name))
    if at is None:
        return ""
    happened = _moment(event.get("occurred_at"))
    zone = _zone(event)
    return _clock(at.astimezone(zone), happened.astimezone(zone).date() if happened else None)


def _duration(seconds: object) -> str:
    if not isinstance(seconds, int | float):
        return ""
    left = abs(int(seconds))
    parts = []
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s")):
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count} {unit}")
    return " ".join(parts[:2]) or "0 s"


def _because(event: Event, name: str) -> str:
    reason = str(event.get(name) or "").strip().removesuffix(".")
    return f": {reason}" if reason else ""


# One function for each type


def _punch(event: Event) -> str:
    kind = event.get("punch_type")
    did = _PUNCHES.get(kind or "") or (f"punched ({kind})" if kind else "punched")
    corrected = "Corrected: " if (event.get("revision") or 1) > 1 else ""
    return f"{corrected}{_person(event)} {did} at {_device(event)}{_when(event)}"


def _photo(event: Event) -> str:
    whom = f" of {_user(event)}" if event.get("user_id") else ""
    return f"{_device(event)} took a photo{whom}{_when(event)}"


def _day(event: Event) -> str:
    first, last, hours = (
        _moment(event.get("first_in")),
        _moment(event.get("last_out")),
        event.get("worked_hours"),
    )
    parts = [f"first in {first:%H:%M}" if first else "no first in", f"last out {last:%H:%M}" if last else ""]
    if hours is not None:
        parts.append(f"{hours:g} h")
    if event.get("is_late"):
        parts.append(f"{_duration(event.get('late_seconds'))} late".strip())
    if event.get("missing_punch"):
        parts.append("a punch is missing")
    return f"{_person(event)} on {event.get('date') or '?'}: {', '.join(part for part in parts if part)}"


def _corrected(event: Event) -> str:
    at, was = _moment(event.get("punched_at")), _moment(event.get("reported_at"))
    shown = at or was
    day = f" on {shown:%Y-%m-%d}" if shown else ""
    what = {
        "added": f"at {_clock(at)} was added" if at else "was added",
        "changed": f"was changed to {_clock(at)}" if at else "was changed",
        "excluded": f"at {_clock(was)} was excluded" if was else "was excluded",
        "restored": f"at {_clock(was)} was restored" if was else "was restored",
    }.get(str(event.get("kind")), "was corrected")
    by = f" by {event['author']}" if event.get("author") else ""
    return f"{_person(event)}: a punch{day} {what}{by}{_because(event, 'reason')}"


def _user_updated(event: Event) -> str:
    return f"{_person(event)} was added or changed on {_device(event)}{_when(event)}"


def _credential(event: Event) -> str:
    kind = str(event.get("credential_type") or "credential")
    done = "added" if event.get("is_new") else "changed"
    what = _CREDENTIALS.get(kind, kind)
    return f"The {what} of {_user(event)} was {done} on {_device(event)}{_when(event)}"


def _user_deleted(event: Event) -> str:
    return f"User {event.get('user_id') or '?'} was deleted on {_device(event)}{_when(event)}"


def _user_unknown(event: Event) -> str:
    return f"Unknown user {event.get('user_id') or '?'} punched at {_device(event)}{_when(event)}"


def _silent(event: Event) -> str:
    since = _at(event, "last_seen_at")
    return f"No contact from {_device(event)}{f' since {since}' if since else ''}"


def _back(event: Event) -> str:
    lasted = _duration(event.get("silent_seconds"))
    return f"{_device(event)} is back in contact{f' after {lasted}' if lasted else ''}"


def _time_changed(event: Event) -> str:
    shift = event.get("shift_seconds")
    moved = f" ({_duration(shift)} {'back' if shift < 0 else 'forward'})" if isinstance(shift, int) else ""
    to = _moment(event.get("changed_to"))
    return f"The clock of {_device(event)} was set{f' to {to:%Y-%m-%d %H:%M}' if to else ' manually'}{moved}"


def _command(how: str, *, because: bool = True) -> Callable[[Event], str]:
    def made(event: Event) -> str:
        user = f" for {_user(event)}" if event.get("user_id") else ""
        why = _because(event, "message") if because else ""
        return f"Command {event.get('action') or '?'}{user} on {_device(event)} {how}{why}"

    return made


def _unrecognised(event: Event) -> str:
    return f"{_device(event)} sent something that can't be read completely{_because(event, 'reason')}"


def _refused(event: Event) -> str:
    count, source = event.get("count") or 1, event.get("address") or "?"
    what = f"A callback from {source} was" if count == 1 else f"{count} callbacks from {source} were"
    return f"{what} refused{_because(event, 'message')}"


def _disabled(event: Event) -> str:
    return f"Subscription {event.get('subscription_id') or '?'} was disabled{_because(event, 'reason')}"


def _other(event: Event) -> str:
    return f"{event.get('type') or 'An event'} at {_device(event)}{_when(event)}"


_SENTENCES: dict[str, Callable[[Event], str]] = {
    "attendance.punch": _punch,
    "attendance.photo": _photo,
    "attendance.day_changed": _day,
    "attendance.corrected": _corrected,
    "user.updated": _user_updated,
    "credential.updated": _credential,
    "user.deleted": _user_deleted,
    "user.unknown": _user_unknown,
    "device.time_changed": _time_changed,
    "device.silent": _silent,
    "device.back": _back,
    "command.completed": _command("was carried out", because=False),
    "command.failed": _command("failed"),
    "command.unknown": _command("ended, and it is not known whether it was carried out"),
    "command.cancelled": _command("was cancelled", because=False),
    "callback.unrecognised": _unrecognised,
    "callback.refused": _refused,
    "subscription.disabled": _disabled,
}
TYPES_WITH_A_SENTENCE = frozenset(_SENTENCES)
