"""ETag, If-Match and If-None-Match for resources that can be changed (RFC 9110 §13).

An ETag covers the fields that callers can change, including secrets that aren't shown. It doesn't cover counters and
other state: a change must fail if somebody else has changed the device, but not because a callback has arrived.
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
from app.store.access.api_key_records import StoredKey
from app.store.devices.registry import Device
from app.store.subscriptions.records import Subscription

_TAGS = re.compile(r'\s*(?:(?:W/)?"[^"]*"\s*(?:,\s*|$))+')
_TAG = re.compile(r'(W/)?("[^"]*")')


def of_device(device: Device) -> str:
    """Return the ETag of a device, made from the version of its record. Each change creates a new version."""
    return of_version(device.version)


def of_version(version: str) -> str:
    """Return the ETag of a device from the version of its record."""
    return f'"{version}"'


def of_subscription(subscription: Subscription) -> str:
    """Return the ETag of a subscription."""
    content = asdict(subscription)
    del content["takes_over"]  # the relay changes it
    return _digest(content)


def of_api_key(key: StoredKey) -> str:
    """Return the ETag of an API key. A rotation changes it; the end of the previous key doesn't."""
    record = key.record
    return _digest({"digest": key.digest, "name": record["name"], "expires_at": record["expires_at"]})


def of_employee(row: dict[str, Any]) -> str:
    """Return the ETag of an employee."""
    return _digest(row)


def _digest(content: dict[str, Any]) -> str:
    data = orjson.dumps(content, default=sorted, option=orjson.OPT_SORT_KEYS)
    return f'"{store().vault.digest("etag", data)}"'  # a keyed digest, because the data includes secrets


def shown(value: Any, tag: str) -> Response:
    """Return `value` with its ETag, or a 304 if the If-None-Match of a GET contains the ETag."""
    if request.method in ("GET", "HEAD") and _names(request.headers.get("If-None-Match"), tag, weak=True):
        return Response(status=304, headers={"ETag": tag})
    return answer(value, ETag=tag)


def is_conditional() -> bool:
    """Return whether the request should only be carried out if the resource hasn't changed."""
    return "If-Match" in request.headers


def check_version(version: str) -> None:
    """Like `check`, for the version of a device's record."""
    check(of_version(version))


def check(tag: str | None) -> None:
    """Raise a 412 Problem if the request has an If-Match that doesn't contain this ETag.

    `tag` is None if the resource doesn't exist yet. Call this in the same transaction as the change, with the ETag of
    what is stored at that moment.
    """
    given = request.headers.get("If-Match")
    if given is not None and (tag is None or not _names(given, tag, weak=False)):
        raise Problem(
            412,
            "The object has changed since you read it, so its ETag no longer matches If-Match. Read it again, and send "
            "the request with the new ETag.",
            [("If-Match", "is not the current ETag")],
        )


def check_absent(exists: bool) -> None:
    """Raise a 412 Problem if the request has `If-None-Match: *`, but the resource already exists."""
    if exists and request.headers.get("If-None-Match", "").strip() == "*":
        raise Problem(
            412,
            "The object already exists, and a request with If-None-Match: * may only create one.",
            [("If-None-Match", "is *, but the object already exists")],
        )


def _names(given: str | None, tag: str, *, weak: bool) -> bool:
    """Return whether a list of ETags contains this one. Weak ETags only count if `weak` is set."""
    if given is None:
        return False
    if given.strip() == "*":
        return True
    if not _TAGS.fullmatch(given):
        return False
    return any(found == tag and (weak or not is_weak) for is_weak, found in _TAG.findall(given))
