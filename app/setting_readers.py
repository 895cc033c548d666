"""How the text of a setting becomes its value. A wrong one is a ValueError whose text ends a sentence: "is not …"."""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import SplitResult, urlsplit

from app import working_hours as hours
from app.addresses import AddressGuard
from app.store_urls import cluster_url, is_cluster_url, is_sentinel_url, sentinel_url


class ExampleError(ValueError):
    """A value that is wrong in a way that another example than the variable's own helps with."""

    def __init__(self, problem: str, example: str) -> None:
        super().__init__(problem)
        self.example = example


# Of a plain value


def whole(least: int, most: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not re.fullmatch(r"\d{1,9}", text) or not least <= int(text) <= most:
            raise ValueError(f"is not a whole number from {least} to {most}")
        return int(text)

    return read


def seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value <= 86_400:
        raise ValueError("is not a number of seconds above 0 and up to 86400")
    return value


def schedule(text: str) -> tuple[float, ...]:
    try:
        steps = tuple(float(step) for step in text.split(","))
    except ValueError:
        steps = (-1.0,)
    if not all(0 < step <= 30 * 86_400 for step in steps) or len(steps) > 50:
        raise ValueError("is not a comma-separated list of at most 50 numbers of seconds above 0")
    return steps


def one_of(*choices: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text not in choices:
            raise ValueError(f"is not one of {', '.join(choices)}")
        return text

    return read


def switch(text: str) -> bool:
    if text.lower() not in ("1", "0", "on", "off", "true", "false", "yes", "no", ""):
        raise ValueError("is neither on nor off")
    return text.lower() in ("1", "on", "true", "yes")


# Of a URL or an address


def _split_url(text: str) -> SplitResult | None:
    """The parts of a URL, its port checked; None where it is none. Its own errors would tell a password."""
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
        raise ValueError("does not end in the number of a database")
    return text


def public_url(text: str) -> str | None:
    if not text:
        return None
    parts = _split_url(text)
    if parts is None or parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("is not an http(s) URL")
    if parts.query or parts.fragment:
        raise ValueError("is not an http(s) URL without a query")
    return text.rstrip("/")


def private_targets(text: str) -> str:
    AddressGuard(text)  # its ValueError names the wrong item
    return text


# Of what may be left out, and of times


def optional(text: str) -> str | None:
    return text or None


def optional_key(text: str) -> str | None:
    if text and len(text) < 12:
        raise ValueError("is shorter than 12 characters")
    return text or None


def time_of_day(text: str) -> int:
    match = re.fullmatch(r"([01]?\d|2[0-3]):([0-5]\d)", text)
    if match is None:
        raise ValueError("is not a time of day from 00:00 to 23:59")
    return 60 * int(match[1]) + int(match[2])


def working_hours(text: str) -> str:
    try:
        hours.parse(text)
    except ValueError as error:
        raise ValueError(str(error).partition(" such as ")[0]) from None  # the example comes along
    return text


def optional_time_of_day(text: str) -> int | None:
    return time_of_day(text) if text else None
