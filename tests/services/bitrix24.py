"""Bitrix24's work days, through an inbound webhook: timeman.status, .open, .pause and .close.

https://apidocs.bitrix24.com/api-reference/timeman/base/timeman-open.html
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from tests.services.web import Request, Service

PATH = "/rest/1/made-up-code"


def _refused(error: str, description: str) -> tuple[int, Any]:
    return 400, {"error": error, "error_description": description}


class Bitrix24(Service):
    """A portal in which each user has a work day. The next `busy` calls exceed the rate limit."""

    def __init__(self, *users: int) -> None:
        super().__init__()
        self.days: dict[int, dict[str, Any]] = {
            user: {"STATUS": "CLOSED", "TIME_START": None, "TIME_FINISH": None} for user in users
        }
        self.busy = 0

    def answer(self, request: Request) -> tuple[int, Any]:
        assert request.method == "POST" and request.path.startswith(PATH + "/"), request
        given = request.json
        if self.busy:
            self.busy -= 1
            return 503, {"error": "QUERY_LIMIT_EXCEEDED", "error_description": "Too many requests"}
        assert isinstance(given["USER_ID"], int)
        day = self.days.get(given["USER_ID"])
        if day is None:
            return _refused("", "User not found")
        moment = given.get("TIME")
        if moment is not None:
            assert datetime.fromisoformat(moment).tzinfo, "TIME must be in ISO 8601, with an offset"
            assert given.get("REPORT"), "REPORT is required if TIME is given and the schedule isn't flexible"
        match request.path.removeprefix(PATH + "/"):
            case "timeman.status":
                pass
            case "timeman.open":
                if moment is not None:
                    at = datetime.fromisoformat(moment)
                    if day["STATUS"] != "CLOSED":
                        return _refused("", "TIME is for a closed day")
                    if at.date() != datetime.now(at.tzinfo).date():
                        return _refused("", "The date must be the current one")
                    day |= {"TIME_START": moment, "TIME_FINISH": None}
                day["STATUS"] = "OPENED"
            case "timeman.pause":
                day["STATUS"] = "PAUSED"
            case "timeman.close":
                if moment[:10] != day["TIME_START"][:10]:
                    return _refused("", "The date must be that of the start")
                day |= {"STATUS": "CLOSED", "TIME_FINISH": moment}
            case other:
                return 404, {"error": "ERROR_METHOD_NOT_FOUND", "error_description": other}
        return 200, {"result": day}
