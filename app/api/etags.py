"""ETag, If-Match and If-None-Match of what can be changed (RFC 9110 §13).

An ETag stands for what can be changed, secrets that aren't shown included. Counters, times of contact and other states
don't change it: who has read a device and changes it is to be stopped by another change, but not by a callback.
"""

from __future__ import annotations

import re
from dataclasses import asdict
from typing import Any

import orjson
from flask import Response, request

from app.api.auth import store
from app.api.problems import Problem
from app.api.request_helpers import answer
from app.store.devices.registry import Device
from app.store.subscriptions.records import Subscription

_TAGS = re.compile(r'\s*(?:(?:W/)?"[^"]*"\s*(?:,\s*|$))+')
_TAG = re.compile(r'(W/)?("[^"]*")')


def of_device(device: Device) -> str:
    """The ETag of a device: the version of its record, which each change makes anew."""
    return of_version(device.version)


def of_version(version: str) -> str:
    """The same, by the version of the record."""
    return f'"{version}"'


def of_subscription(subscription: Subscription) -> str:
    """The ETag of a subscription."""
    content = asdict(subscription)
    del content["takes_over"]  # it changes by itself
    return _digest(content)


def of_employee(row: dict[str, Any]) -> str:
    """The ETag of an employee."""
    return _digest(row)


def _digest(content: dict[str, Any]) -> str:
    data = orjson.dumps(content, default=sorted, option=orjson.OPT_SORT_KEYS)
    return f'"{store().vault.digest("etag", data)}"'  # keyed: secrets are in it


def shown(value: Any, tag: str) -> Response:
    """`value` with its ETag; 304 without it if a GET's If-None-Match has that."""
    if request.method in ("GET", "HEAD") and _names(request.headers.get("If-None-Match"), tag, weak=True):
        return Response(status=304, headers={"ETag": tag})
    return answer(value, ETag=tag)


def is_conditional() -> bool:
    """Whether the request is to be carried out only if nothing has changed."""
    return "If-Match" in request.headers


def check_version(version: str) -> None:
    """The same as `check`, for a device's version."""
    check(of_version(version))


def check(tag: str | None) -> None:
    """Raises a 412 Problem if the request has an If-Match without this ETag; None if there is nothing yet.

    To be called where the change is made, with what is stored then.
    """
    given = request.headers.get("If-Match")
    if given is not None and (tag is None or not _names(given, tag, weak=False)):
        raise Problem(
            412,
            "It was changed after you read it, so its ETag is no longer the one in If-Match. Read it again, and send "
            "the request with the new ETag.",
            [("If-Match", "is not the present ETag")],
        )


def _names(given: str | None, tag: str, *, weak: bool) -> bool:
    """Whether a list of ETags has this one; a weak one counts only where `weak` says so."""
    if given is None:
        return False
    if given.strip() == "*":
        return True
    if not _TAGS.fullmatch(given):
        return False
    return any(found == tag and (weak or not is_weak) for is_weak, found in _TAG.findall(given))
