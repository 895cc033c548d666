"""Logging to stderr, one line per message, as text or JSON. Logs never contain a secret: see
tests/relay/test_no_secret_leaks.py.

A line about a request contains its ID, and one about a delivery contains the event's ID.
"""

from __future__ import annotations

import logging
import re
from contextvars import ContextVar
from datetime import UTC, datetime

import orjson

from app.base.throttle import OnceAMinute

MORE = ("request_id", "event_id", "subscription_id")  # names that `extra` may have

REQUEST_ID_HEADER = "X-Request-Id"
REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{8,64}")  # the valid IDs from callers
request_id: ContextVar[str | None] = ContextVar("request_id", default=None)


class JsonFormatter(logging.Formatter):
    """One JSON object per line."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        more = {"request_id": request_id.get(), **record.__dict__}
        line |= {name: more[name] for name in MORE if more.get(name) is not None}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return orjson.dumps(line, default=str).decode()


class OnceAMinuteFilter(logging.Filter):
    """Passes lines whose template contains a text once a minute, and all others always."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self._text = text
        self._once = OnceAMinute()

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether a line is logged."""
        return self._text not in str(record.msg) or self._once.may_say()


def configure(level: str, form: str = "text") -> None:
    """Set up the root logger once for a process; `form` is `text` or `json`."""
    handler = logging.StreamHandler()
    if form == "json":
        handler.setFormatter(JsonFormatter())
    else:
        handler.setFormatter(
            logging.Formatter("%(asctime)s %(levelname)-7s %(name)s %(message)s", datefmt="%H:%M:%S")
        )
    logging.basicConfig(level=level.upper(), handlers=[handler])
    for library in ("urllib3", "alembic"):
        logging.getLogger(library).setLevel(logging.WARNING)
