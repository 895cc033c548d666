"""Reads the values of settings. For a wrong one, readers raise ValueError, with the end of a sentence: "is not …"."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

from app.base import working_hours as hours
from app.base.addresses import AddressGuard
from app.base.store_urls import cluster_url, is_cluster_url, is_sentinel_url, sentinel_url


@dataclass(frozen=True, slots=True)
class Variable:
    """An environment variable: how it is read, and its documentation."""

    name: str
    field: str
    default: str
    example: str
    meaning: str
    read: Callable[[str], Any]
    secret: bool = False


class ExampleError(ValueError):
    """A wrong value for which another example is more helpful than the variable's own."""

    def __init__(self, problem: str, example: str) -> None:
        super().__init__(problem)
        self.example = example


class HiddenValueError(ValueError):
    """A wrong value that isn't shown, because it may contain a password or a key."""


# Plain values


def whole(least: int, most: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not re.fullmatch(r"\d{1,9}", text) or not least <= int(text) <= most:
            raise ValueError(f"is not a whole number between {least} and {most}")
        return int(text)

    return read


def seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value <= 86_400:
        raise ValueError("is not a number of seconds greater than 0 and up to 86400")
    return value


def schedule(text: str) -> tuple[float, ...]:
    try:
        steps = tuple(float(step) for step in text.split(","))
    except ValueError:
        steps = (-1.0,)
    if not all(0 < step <= 30 * 86_400 for step in steps) or len(steps) > 50:
        raise ValueError(
            "is not a comma-separated list of up to 50 numbers of seconds, each greater than 0 "
            "and up to 86400"
        )
    return steps


def interval(text: str) -> float:
    """Read seconds, from a number with a unit such as `12h`."""
    match = re.fullmatch(r"(\d{1,6})([mhd])", text)
    found = int(match[1]) * {"m": 60.0, "h": 3_600.0, "d": 86_400.0}[match[2]] if match else 0.0
    if not 60 <= found <= 366 * 86_400:
        raise ValueError("is not a duration between 1m and 366d")
    return found


def one_of(*choices: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text not in choices:
            raise ValueError(f"is not one of {', '.join(choices)}")
        return text

    return read


def switch(text: str) -> bool:
    if text.lower() not in ("1", "0", "on", "off", "true", "false", "yes", "no", ""):
        raise ValueError("must be on or off")
    return text.lower() in ("1", "on", "true", "yes")


# URLs and addresses


def _split_url(text: str) -> SplitResult | None:
    """Return the parts of a URL, with a checked port; None if it isn't one. Python's own errors could quote it."""
    try:
        parts = urlsplit(text)
        return parts if parts.port is None or parts.port > 0 else None
    except ValueError:
        return None


def redis_url(text: str) -> str | None:
    if is_cluster_url(text):
        try:
            cluster_url(text)
        except ValueError as error:
            raise ExampleError(str(error), "redis+cluster://:password@10.0.0.1:6379,10.0.0.2:6379") from None
        return text
    return rq_url(text)


def rq_url(text: str) -> str | None:
    if not text:
        return None
    if is_sentinel_url(text):
        try:
            sentinel_url(text)
        except ValueError as error:
            raise ExampleError(
                str(error), "redis+sentinel://:password@10.0.0.1:26379,10.0.0.2:26379/mymaster/0"
            ) from None
        return text
    parts = _split_url(text)
    if parts is None or parts.scheme not in ("redis", "rediss", "unix") or not (parts.hostname or parts.path):
        raise ValueError("is not a Redis URL")
    if parts.scheme != "unix" and not re.fullmatch(r"(/\d{0,5})?", parts.path):
        raise ValueError("doesn't end with a database number")
    return text


def public_url(text: str) -> str | None:
    if not text:
        return None
    parts = _split_url(text)
    if parts is None or parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("is not an http(s) URL")
    if parts.query or parts.fragment:
        raise ValueError("has a query or fragment, which is not allowed")
    path = unquote(parts.path.rstrip("/"))
    # Browsers interpret //name and /\name at the beginning of a link as another host.
    if "//" in path or path.endswith("/"):
        raise ValueError("has an empty segment in its path, which is not allowed")
    if "\\" in text + path:
        raise ValueError("has a backslash, which is not allowed")
    return text.rstrip("/")


def private_targets(text: str) -> str:
    AddressGuard(text)  # its ValueError contains the wrong item
    return text


# Optional values, and times


def optional(text: str) -> str | None:
    return text or None


def optional_key(text: str) -> str | None:
    if text and len(text) < 12:
        raise ValueError("is shorter than 12 characters")
    return text or None


def time_of_day(text: str) -> int:
    match = re.fullmatch(r"([01]?\d|2[0-3]):([0-5]\d)", text)
    if match is None:
        raise ValueError("is not a time of day between 00:00 and 23:59")
    return 60 * int(match[1]) + int(match[2])


def working_hours(text: str) -> str:
    try:
        hours.parse(text)
    except ValueError as error:
        raise ValueError(str(error).partition(" such as ")[0]) from None  # the caller adds an example
    return text


def optional_time_of_day(text: str) -> int | None:
    return time_of_day(text) if text else None
