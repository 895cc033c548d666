"""Warnings about this machine's spool, each with its fix, for `/health`, `doctor` and the console."""

from __future__ import annotations

import time

from app.health.findings import Problem
from app.store.spool.spool import Spool, Summary

LATE_SECONDS = 60.0


def spool_warnings(spool: Spool, now: float | None = None) -> list[str]:
    """Warnings about callbacks that wait too long, are parked or can't be read. `now` is in seconds since 1970."""
    try:
        found = spool.summary()
    except OSError as error:
        return [Problem(f"The spool can't be read: {error.strerror or type(error).__name__}.")]
    now = time.time() if now is None else now
    return [*_late(found, now), *_parked(found, now), *_kept(found)]


def _late(found: Summary, now: float) -> list[str]:
    if found.oldest_waiting is None or now - found.oldest_waiting < LATE_SECONDS:
        return []
    return [
        Problem(
            f"{_count(found.waiting, 'callback')} waiting on this machine's disk, the oldest for "
            f"{_age(found.oldest_waiting, now)}. If the store can't be reached, bring it back. "
            "The callbacks are then stored automatically."
        )
    ]


def _parked(found: Summary, now: float) -> list[str]:
    if not found.parked or found.oldest_parked is None:
        return []
    return [
        Problem(
            f"{_count(found.parked, 'callback')} parked on this machine's disk, the oldest for "
            f"{_age(found.oldest_parked, now)}, because the store doesn't accept them. Run `cams-relay spool` to see "
            "why. Then register the device again, or repair the damaged data. Parked callbacks are retried "
            "automatically."
        )
    ]


def _kept(found: Summary) -> list[str]:
    warnings = []
    if found.damaged:
        warnings.append(
            f"{_files(found.damaged)} damaged, for example {found.damaged[0]}. All readable callbacks in them have "
            "been stored. Check the disk, and remove the files once you no longer need them."
        )
    if found.unreadable:
        warnings.append(
            f"{_files(found.unreadable)} encrypted with another key, for example {found.unreadable[0]}. Set that key "
            "as RELAY_SECRET_KEY_OLD and run `cams-relay rekey`."
        )
    return warnings


def _files(names: tuple[str, ...]) -> str:
    return _count(len(names), "spool file")


def _count(count: int, what: str) -> str:
    return f"{count} {what} is" if count == 1 else f"{count} {what}s are"


def _age(since: float, now: float) -> str:
    seconds = max(0, int(now - since))
    if seconds < 120:
        return f"{seconds} s"
    return f"{seconds // 60} min" if seconds < 7200 else f"{seconds // 3600} h"
