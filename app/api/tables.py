"""CSV files for spreadsheets. Values that look like formulas are escaped, because people type names at devices."""

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
# Without it, Excel decodes the file with the code page of its region.
_BYTE_ORDER_MARK = "\ufeff"


def as_csv(columns: Sequence[str], rows: Iterable[dict[str, Any]], name: str) -> Response:
    """Return a streamed CSV file. An error before the first part is raised here, so that the caller gets a problem."""
    parts = _csv(columns, rows)
    content = chain([next(parts)], parts)
    return attachment(Response(content, content_type="text/csv; charset=utf-8"), name)


def attachment(response: Response, name: str) -> Response:
    """Add the header that makes browsers save the response under this name."""
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
    """Return a value; an apostrophe is added if a spreadsheet would read it as a formula."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str) and value.startswith(_FORMULA_STARTS):
        return "'" + value
    return value
