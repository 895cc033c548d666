"""Prepares callbacks in a file, so that the load generator only has to send them."""

from __future__ import annotations

import base64
import json
import random
import secrets
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from simulator.cipher import encrypt
from simulator.jpeg import make_jpeg


def punch(token: str, number: int) -> dict[str, Any]:
    """Return the documented RealTimePunchLog. Each number results in a different punch."""
    at = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=number // 200)
    return {
        "RealTime": {
            "OperationID": secrets.token_hex(6),
            "LabelName": "Burj Khalifa",
            "SerialNumber": "ZHM1100000000",
            "PunchLog": {
                "Type": "CheckOut",
                "Temperature": "36.8",
                "FaceMask": False,
                "InputType": "Fingerprint",
                "UserId": str(number % 200),
                "LogTime": at.strftime("%Y-%m-%d %H:%M:%S GMT +0000"),
            },
            "AuthToken": token,
            "Time": at.strftime("%Y-%m-%d %H:%M:%S GMT +0000"),
        }
    }


def punches(token: str, count: int, first: int = 0, security_key: str | None = None) -> Iterator[bytes]:
    """Yield the bodies of `count` different punches."""
    for number in range(first, first + count):
        body = json.dumps(punch(token, number)).encode()
        yield encrypt(body, security_key) if security_key else body


def batches(token: str, count: int, rows: int = 200) -> Iterator[dict[str, Any]]:
    """Yield callbacks with `rows` punches each, like those of a device that was offline."""
    for first in range(0, count, rows):
        single = punch(token, 0)["RealTime"]
        logs = [
            punch(token, number)["RealTime"]["PunchLog"] for number in range(first, min(first + rows, count))
        ]
        yield {"RealTime": {**single, "PunchLog": {"ReturnRowCount": len(logs), "Log": logs}}}


def photos(token: str, count: int, size: int, first: int = 0) -> Iterator[bytes]:
    """Yield the bodies of `count` different photos of `size` bytes."""
    for number in range(first, first + count):
        single = punch(token, number)["RealTime"]
        at = single.pop("PunchLog")["LogTime"]
        picture = base64.b64encode(make_jpeg(str(number % 50), size)).decode()
        single["Log"] = {"UserID": str(number % 200), "LogTime": at, "LogPhoto": picture}
        yield json.dumps({"RealTime": single}).encode()


def write(folder: Path, bodies: Iterator[bytes]) -> Path:
    """Write a file for one thread of `callbacks.lua`. Return its path.

    Each body ends with random white space. LuaJIT's hash of a long string only covers its length, its last bytes and
    some bytes in its middle. If 100,000 strings had the same hash, `wrk` would take minutes to read them.
    """
    path = folder / f"callbacks-{secrets.token_hex(4)}"
    with path.with_name(path.name + ".0").open("wb") as file:
        for body in bodies:
            padded = body + b" " * random.randrange(32) + bytes(random.choices(b" \t\r\n", k=4))
            file.write(b"%d\n%s\n" % (len(padded), padded))
    return path
