"""The filters `device_id` and `user_id`: one ID, or several separated by commas."""

from __future__ import annotations

import re
from collections.abc import Iterable

from flask import g, request

from app.api.auth import caller, store
from app.api.problems import Problem, wrong
from app.api.warnings import unknown_device_in_query
from app.gateway.values import LONGEST_ID
from app.schemas.devices import is_device_id

MOST_IDS = 100
_PART = re.compile(r"(?:\\,|[^,])+")  # a comma with a backslash before it belongs to an ID


def device_ids() -> tuple[str, ...]:
    """Return the device IDs in the parameter `device_id`, or those that the caller's key is limited to; () for all.

    A device that isn't registered is named in the `warnings` of a page. Raises a 422 Problem if no device can have such
    an ID, and a 403 Problem if the key may not access it.
    """
    found = _ids("device_id")
    for device_id in found:
        if not is_device_id(device_id):
            raise wrong(
                "device_id",
                f"{device_id[:64]!r} is not a valid Service Tag ID, so it matches nothing. Use for example "
                "device_id=ZHM1100001, or several IDs separated by commas",
            )
    allowed = _allowed(found)
    g.warnings = [unknown_device_in_query(device_id) for device_id in store().devices.unregistered(found)]
    return allowed


def _allowed(asked: tuple[str, ...]) -> tuple[str, ...]:
    """Return the devices to filter by: those of a limited key if none are requested. Raises a 403 Problem."""
    allowed = caller().device_ids
    if allowed is None:
        return asked
    others = [device_id for device_id in asked if device_id not in allowed]
    if others:
        raise not_allowed(others[0])
    return asked or tuple(sorted(allowed))


def not_allowed(device_id: str) -> Problem:
    """Return the 403 Problem for a device that the caller's key may not access, whether it exists or not."""
    allowed = ", ".join(sorted(caller().device_ids or ()))
    return Problem(
        403, f"This API key is limited to the devices {allowed}, so it can't access {device_id[:64]!r}."
    )


def user_ids() -> tuple[str, ...]:
    """Return the user IDs in the parameter `user_id`. Raises a 422 Problem if no user can have one."""
    found = _ids("user_id")
    for user_id in found:
        if len(user_id) > LONGEST_ID:
            raise wrong("user_id", f"is longer than {LONGEST_ID} characters, so it matches nothing")
    return found


def _ids(name: str) -> tuple[str, ...]:
    text = request.args.get(name)
    if not text:
        return ()
    found: Iterable[str] = _PART.findall(text)
    if "," in text:
        found = filter(None, (part.strip(" ") for part in found))
    ids = tuple(dict.fromkeys(part.replace("\\,", ",") for part in found))
    if not ids:  # without a filter, all rows would be returned
        raise wrong(name, f"contains no ID. Use for example {name}=100,101")
    if len(ids) > MOST_IDS:
        raise wrong(name, f"contains {len(ids)} IDs. Send at most {MOST_IDS}")
    return ids
