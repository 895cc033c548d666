"""The documented payloads in `tests/samples`, one request and one response an operation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from app.gateway.operations import BY_NAME

FOLDER = Path(__file__).parents[1] / "samples"
TOKEN = "COJJ7eiiPBGUfmIQPvh2PJWWDLX7OuKs"


def sample(name: str, part: str = "request") -> dict[str, Any]:
    """The documented request or response of an operation, by its name."""
    path = FOLDER / f"{BY_NAME[name].number:02}-{name}.{part}.json"
    document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return document
