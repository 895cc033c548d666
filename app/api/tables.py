"""Rows as files for spreadsheets: CSV and XLSX. Names come from people at machines, so none becomes a formula."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from flask import Response

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
_FLUSH = 32_768
_XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"


def as_csv(columns: Sequence[str], rows: Iterable[dict[str, Any]], name: str) -> Response:
    """A CSV file, sent as it is made."""
    return _file(Response(_csv(columns, rows), content_type="text/csv; charset=utf-8"), name)


def as_xlsx(columns: Sequence[str], rows: Iterable[dict[str, Any]], name: str) -> Response:
    """An Excel workbook of one sheet."""
    import xlsxwriter  # here, for it need not be loaded by a web process that never makes one

    buffer = io.BytesIO()
    # Texts stay texts: nothing is read as a formula, a URL or a number.
    options = {"constant_memory": True, "strings_to_formulas": False, "strings_to_urls": False}
    with xlsxwriter.Workbook(buffer, options) as workbook:
        sheet = workbook.add_worksheet("Attendance")
        sheet.freeze_panes(1, 0)
        sheet.set_column(0, len(columns) - 1, 18)
        sheet.write_row(0, 0, columns, workbook.add_format({"bold": True}))
        for number, row in enumerate(rows, 1):
            for column, title in enumerate(columns):
                _write(sheet, number, column, row.get(title))
    return _file(Response(buffer.getvalue(), content_type=_XLSX), name)


def _write(sheet: Any, row: int, column: int, value: Any) -> None:
    if isinstance(value, bool):
        sheet.write_boolean(row, column, value)
    elif isinstance(value, int | float):
        sheet.write_number(row, column, value)
    elif value is not None:
        sheet.write_string(row, column, value)


def _file(response: Response, name: str) -> Response:
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


def _csv(columns: Sequence[str], rows: Iterable[dict[str, Any]]) -> Iterator[str]:
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(columns)
    for row in rows:
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
