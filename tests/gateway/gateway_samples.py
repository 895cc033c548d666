"""The documented payloads in `tests/samples`, and callbacks composed of parts of them."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from app.gateway.operations import BY_NAME

FOLDER = Path(__file__).parents[1] / "samples"
TOKEN = "COJJ7eiiPBGUfmIQPvh2PJWWDLX7OuKs"
INDIA = timezone(timedelta(hours=5, minutes=30))
TIME = "2020-09-17 07:48:22 GMT +0530"
AT = datetime(2020, 9, 17, 7, 48, 22, tzinfo=INDIA)


def sample(name: str, part: str = "request") -> dict[str, Any]:
    """Return the documented request or response of an operation, by its name."""
    path = FOLDER / f"{BY_NAME[name].number:02}-{name}.{part}.json"
    document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return document


def realtime(**sections: Any) -> dict[str, Any]:
    """Return a callback with these sections or fields in its envelope."""
    return {"RealTime": {"OperationID": "op1", "AuthToken": TOKEN, "Time": TIME, **sections}}


def row(**fields: Any) -> dict[str, Any]:
    """Return a PunchLog with these fields."""
    return {"UserId": "2", "LogTime": TIME, **fields}


def template(**fields: Any) -> dict[str, Any]:
    """Return an item of a Template array with these fields."""
    return {"Type": "Card", "UserID": "8", "Data": "9804445", **fields}
