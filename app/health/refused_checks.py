"""Checks of refused callbacks, for `/health`, `doctor` and a single device."""

from __future__ import annotations

import time
from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple
from zoneinfo import ZoneInfo

from app.health.findings import Problem
from app.health.refused_causes import REGISTERED_NOW, explanations
from app.store import Store
from app.store.alerts.refused import Source
from app.store.devices.record import Device

_RECENT_SECONDS = 3600.0
_MOST_NAMED = 5


class RefusedOfDevice(NamedTuple):
    """Refused callbacks with a device's AuthToken, or with the device in their URL.

    `since` is in seconds since 1970; None if there are none. `note` is a text for people, until the device sends a
    callback again.
    """

    callbacks: int
    since: float | None
    note: str | None


def refused_warnings(store: Store, now: float | None = None) -> list[str]:
    """Report callbacks that were refused within the last hour, without details, because `/health` requires no key.

    It is a problem if a registered device's AuthToken was in them, because its punches don't arrive.
    """
    recent = recent_sources(store, now)
    if not recent:
        return []
    count = sum(source.count for source in recent)
    text = (
        f"{_callbacks(count)} from {_sources(len(recent))} {_have(count)} been refused, the latest within the last "
        "hour. The console's Refused callbacks page, GET /v1/refused and `cams-relay doctor` say which and why."
    )
    return [Problem(text) if _of_registered(store, recent, explanations(store, recent)) else text]


def refused_details(store: Store, now: float | None = None) -> list[str]:
    """For `doctor`: each source of refused callbacks in the last hour, with what to do."""
    recent = recent_sources(store, now)
    why = explanations(store, recent)
    broken = _of_registered(store, recent, why)
    recent.sort(key=lambda source: source.id not in broken)
    found = []
    for source in recent[:_MOST_NAMED]:
        text = (
            f"{_callbacks(source.count)} from {source.latest.address}{_claim(source)} {_have(source.count)} been "
            f"refused since {_clock(source.first_at, ZoneInfo('UTC'))} UTC: {why[source.id]}"
        )
        found.append(Problem(text) if source.id in broken else text)
    if more := len(recent[_MOST_NAMED:]):
        found.append(
            f"Callbacks from {more} other source{'s' * (more != 1)} have also been refused. GET /v1/refused lists "
            "all of them."
        )
    return found


def _of_registered(store: Store, sources: list[Source], why: dict[str, str]) -> set[str]:
    """Return the IDs of sources that sent a registered device's AuthToken, unless it has been registered since."""
    return {name for name in store.refused.registered(sources) if REGISTERED_NOW not in why[name]}


def recent_sources(store: Store, now: float | None = None) -> list[Source]:
    """Return the sources of refused callbacks in the last hour that seem to be devices, the latest first.

    Sources whose device has sent a callback since then are left out.
    """
    now = time.time() if now is None else now
    recent = [
        source
        for source in store.refused.all()
        if not source.is_noise and 0 <= now - source.latest.at < _RECENT_SECONDS
    ]
    registered = store.refused.registered(recent)
    return [source for source in recent if not _was_heard_since(store, source, registered.get(source.id, []))]


def _was_heard_since(store: Store, source: Source, registered: list[str]) -> bool:
    candidates = registered or [source.latest.device_id]
    seen = [store.devices.last_seen(device_id) or 0 for device_id in candidates if device_id]
    return bool(seen) and max(seen) / 1000 > source.latest.at


def of_device(store: Store, device: Device, sources: Iterable[Source]) -> RefusedOfDevice:
    """Return the part of `sources` (see `RefusedCallbacks.all`) that belongs to a device."""
    digest = store.vault.digest("token", device.auth_token)
    by_token = [source for source in sources if source.latest.token == digest]
    by_url = [
        source for source in sources if source.latest.device_id == device.id and source.latest.token != digest
    ]
    found = by_token + by_url
    if not found:
        return RefusedOfDevice(0, None, None)
    zone, heard = ZoneInfo(device.record["timezone"]), (store.devices.last_seen(device.id) or 0) / 1000
    notes = [
        _note(store, waiting, how, zone)
        for one, how in (
            (by_token, "with this device's AuthToken"),
            (by_url, "to this device's Callback URL"),
        )
        if (waiting := [source for source in one if source.latest.at > heard])
    ]
    return RefusedOfDevice(
        sum(source.count for source in found),
        min(source.first_at for source in found),
        " ".join(notes) or None,
    )


def _note(store: Store, sources: list[Source], how: str, zone: ZoneInfo) -> str:
    count, latest = sum(source.count for source in sources), max(sources, key=lambda one: one.latest.at)
    since = _clock(min(source.first_at for source in sources), zone)
    cause = explanations(store, [latest])[latest.id]
    why = "" if REGISTERED_NOW in cause else f" {cause}"
    return (
        f"{_callbacks(count)} {how} {_have(count)} been refused since {since}.{why} "
        f"The gateway sends {'it' if count == 1 else 'them'} again."
    )


def _claim(source: Source) -> str:
    said = f" for device {source.latest.device_id}" if source.latest.device_id else ""
    return said + (f" (AuthToken ends in {source.latest.token_hint})" if source.latest.token_hint else "")


def _callbacks(count: int) -> str:
    return f"{count} callback{'s' * (count != 1)}"


def _have(count: int) -> str:
    return "has" if count == 1 else "have"


def _sources(count: int) -> str:
    return f"{count} source{'s' * (count != 1)}"


def _clock(seconds: float, zone: ZoneInfo) -> str:
    """Return the time of day, with the date if it isn't today."""
    at, today = datetime.fromtimestamp(seconds, zone), datetime.now(zone).date()
    return f"{at:%H:%M}" if at.date() == today else f"{at:%Y-%m-%d %H:%M}"
