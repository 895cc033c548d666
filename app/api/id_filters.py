"""The filters `device_id` and `user_id`: one ID, or several separated by commas."""

from __future__ import annotations

import re
from collections.abc import Iterable

from flask import request

from app.api.problems import wrong
from app.gateway.values import LONGEST_ID
from app.schemas.devices import is_device_id

MOST_IDS = 100
_PART = re.compile(r"(?:\\,|[^,])+")  # a comma with a backslash before it belongs to an ID


def device_ids() -> tuple[str, ...]:
    """Return the device IDs in the parameter `device_id`. Raises a 422 Problem if no device can have one."""
    found = _ids("device_id")
    for device_id in found:
        if not is_device_id(device_id):
            raise wrong(
                "device_id",
                f"{device_id[:64]!r} is not a valid Service Tag ID, so it matches nothing. Use for example "
                "device_id=ZHM1100001, or several IDs separated by commas",
            )
    return found


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
