"""Zoho People's Attendance Bulk Import API, and the accounts server that renews access tokens.

https://www.zoho.com/people/api/attendance-bulkimport.html
https://www.zoho.com/accounts/protocol/oauth/web-apps/access-token-expiry.html

What the import answers is not documented; the stand-in answers an empty list.
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any
from urllib.parse import parse_qs

from tests.services.web import Request, Service

CLIENT_ID, CLIENT_SECRET, REFRESH_TOKEN = "made-up-id", "made-up-secret", "made-up-refresh-token"


def _form(request: Request) -> dict[str, str]:
    assert request.headers["content-type"] == "application/x-www-form-urlencoded"
    return {name: values[-1] for name, values in parse_qs(request.body.decode()).items()}


class Zoho(Service):
    """`imported` contains the employee, side and time of each row. The next `locked` calls exceed the threshold."""

    def __init__(self) -> None:
        super().__init__()
        self.imported: list[tuple[str, str, str]] = []
        self.tokens = 0
        self.locked = 0

    def answer(self, request: Request) -> tuple[int, Any]:
        if request.path == "/oauth/v2/token":
            assert _form(request) == {
                "grant_type": "refresh_token",
                "client_id": CLIENT_ID,
                "client_secret": CLIENT_SECRET,
                "refresh_token": REFRESH_TOKEN,
            }
            self.tokens += 1
            return 200, {"access_token": f"token-{self.tokens}", "expires_in": 3600, "token_type": "Bearer"}
        assert (request.method, request.path) == ("POST", "/people/api/attendance/bulkImport"), request
        if request.headers.get("authorization") != f"Zoho-oauthtoken token-{self.tokens}":
            return 401, {"message": "invalid oauth token"}
        if self.locked:
            self.locked -= 1
            return 429, {"message": "too many requests"}
        form = _form(request)
        assert form.keys() == {"data", "dateFormat"} and form["dateFormat"] == "yyyy-MM-dd HH:mm:ss"
        for row in json.loads(form["data"]):
            (side,) = row.keys() - {"empId"}
            assert side in ("checkIn", "checkOut"), row
            datetime.strptime(row[side], "%Y-%m-%d %H:%M:%S")
            self.imported.append((row["empId"], side, row[side]))
        return 200, []
