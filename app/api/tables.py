"""Rows as a CSV file for spreadsheets. Names come from people at machines, so none becomes a formula."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Any

from flask import Response

from app.base.yielding import in_turns

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
_FLUSH = 32_768
# Excel takes a file without it for one in the old code page of its country.
_BYTE_ORDER_MARK = "\ufeff"


def as_csv(columns: Sequence[str], rows: Iterable[dict[str, Any]], name: str) -> Response:
    """A CSV file, sent as it is made. What fails before its first part is made is raised here, and answered."""
    parts = _csv(columns, rows)
    content = chain([next(parts)], parts)
    return attachment(Response(content, content_type="text/csv; charset=utf-8"), name)


def attachment(response: Response, name: str) -> Response:
    """A response that browsers save under this name."""
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


def _csv(columns: Sequence[str], rows: Iterable[dict[str, Any]]) -> Iterator[str]:
    buffer = io.StringIO()
    buffer.write(_BYTE_ORDER_MARK)
    writer = csv.writer(buffer)
    writer.writerow(columns)
    for row in in_turns(rows):
        writer.writerow([_cell(row.get(name)) for name in columns])
        if buffer.tell() > _FLUSH:
            yield buffer.getvalue()
            buffer.seek(0)
            buffer.truncate()
    yield buffer.getvalue()


def _cell(value: Any) -> Any:
    """What a spreadsheet would take for a formula is quoted."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str) and value.startswith(_FORMULA_STARTS):
        return "'" + value
    return value
