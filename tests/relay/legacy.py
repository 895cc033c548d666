"""Callbacks of versions 2.0 and 1.0 as sent by the gateway, and the expected responses."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

import requests

from tests.harness import API_KEY, Device
from tests.relay.tools import (
    now,
    only,
)

PUNCH, UNKNOWN = "attendance.punch", "callback.unrecognised"
LOCAL = (now() - timedelta(days=1)).astimezone(ZoneInfo("Asia/Kolkata"))
SECONDS = int(LOCAL.timestamp())


def version_2(device: Device, operation: str = "RealTimePunchLog", **info: Any) -> dict[str, Any]:
    """Return a document of version 2.0 as the gateway sends it."""
    fields = {
        "AuthToken": device.token,
        "Operation": operation,
        "UserId": "7",
        "OperationTime": SECONDS,
        "OperationReferenceId": None,
        "OperationData": {"AttendanceType": "CheckOut", "InputType": "Card"},
        **info,
    }
    return {"ServiceTagId": device.id, "ApiRequestInfo": fields}


def form(document: Any, **others: str) -> bytes:
    return urlencode({"request_data": json.dumps(document), **others}).encode()


def kept_body(device: Device) -> bytes:
    """Return the whole body of a device's only callback.unrecognised."""
    url = only(device, UNKNOWN)["body_url"]
    return requests.get(url, headers={"X-API-Key": API_KEY}, timeout=10).content


def callback_url(device: Device) -> str:
    """Rotate the device's callback secret, and return its Callback URL."""
    path = f"/v1/devices/{device.id}/rotate-callback-secret"
    answer = device.relay.call("POST", path)
    assert answer.status_code == 200, answer.text
    url: str = answer.json()["callback_url"]
    assert "?k=" in url
    return url


def version_1(device: Device, **fields: str) -> dict[str, str]:
    return {"stgid": device.id, "userid": "7", "att_time": str(SECONDS), "att_type": "i", **fields}


def ok(answer: requests.Response) -> None:
    """Check that the response is the one that version 1.0 expects."""
    assert (answer.status_code, answer.content) == (200, b"ok"), answer.text
    assert answer.headers["content-type"].startswith("text/plain")
