"""Google Sheets, API v4: https://developers.google.com/workspace/sheets/api/reference/rest."""

from __future__ import annotations

import re
from typing import Any

from tests.services.web import Request, Service

TOKEN = "ya29.made-up-access-token"
_VALUES = re.compile(r"/v4/spreadsheets/([\w-]+)/values/'?([^'!]+)'?(?:!([^:]+):([^:]+))?(:append)?")
_NUMBER = re.compile(r"-?\d+(\.\d+)?")


def _error(code: int, status: str, message: str) -> tuple[int, Any]:
    return code, {"error": {"code": code, "status": status, "message": message}}


class GoogleSheets(Service):
    """A spreadsheet with one sheet. `rows` are its rows of cells, none at first."""

    def __init__(self, spreadsheet: str, sheet: str) -> None:
        super().__init__()
        self.spreadsheet, self.sheet = spreadsheet, sheet
        self.rows: list[list[Any]] = []

    @property
    def records(self) -> list[dict[str, Any]]:
        """Return the rows below the first one, which contains the column names."""
        head, *rows = self.rows or [[]]
        return [dict(zip(head, row, strict=True)) for row in rows]

    def answer(self, request: Request) -> tuple[int, Any]:
        if request.headers.get("authorization") != f"Bearer {TOKEN}":
            return _error(401, "UNAUTHENTICATED", "Request had invalid authentication credentials.")
        if request.method == "GET" and request.path == f"/v4/spreadsheets/{self.spreadsheet}":
            return 200, {"sheets": [{"properties": {"sheetId": 0, "index": 0, "title": self.sheet}}]}
        found = _VALUES.fullmatch(request.path)
        if not found or (found[1], found[2]) != (self.spreadsheet, self.sheet):
            return _error(404, "NOT_FOUND", "Requested entity was not found.")
        if request.method == "GET":
            first, last = (int(found[3]), int(found[4])) if found[3] else (1, len(self.rows))
            values = self.rows[first - 1 : last]
            return 200, {"majorDimension": "ROWS", **({"values": values} if values else {})}
        mode = request.query.get("valueInputOption")
        if mode not in ("RAW", "USER_ENTERED"):
            return _error(400, "INVALID_ARGUMENT", "'valueInputOption' is required but not specified")
        rows = [[self._cell(value, mode) for value in row] for row in request.json["values"]]
        if request.method == "POST" and found[5]:
            self.rows += rows
        elif request.method == "PUT" and found[3]:
            self.rows[int(found[3]) - 1 : int(found[4])] = rows
        else:
            return _error(404, "NOT_FOUND", f"{request.method} {request.path}")
        return 200, {"spreadsheetId": self.spreadsheet, "updates": {"updatedRows": len(rows)}}

    @staticmethod
    def _cell(value: Any, mode: str) -> Any:
        """Return a value as the sheet stores it: typed text that looks like a number becomes one, RAW isn't changed."""
        if mode == "USER_ENTERED" and isinstance(value, str) and _NUMBER.fullmatch(value):
            return float(value)
        return value
