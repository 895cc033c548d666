"""Records punches as attendances in Odoo, by JSON-RPC: `WEBHOOK_SECRET=… ODOO_URL=… … python3 receiver.py [PORT]`.

Requires `pip install requests standardwebhooks`. See docs/integrations/odoo.md.
The subscription must have `max_in_flight` 1."""

import json
import os
import re
import sys
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import requests
from standardwebhooks import Webhook

WEBHOOK = Webhook(os.environ["WEBHOOK_SECRET"])
URL = os.environ["ODOO_URL"].rstrip("/")
DATABASE = os.environ["ODOO_DATABASE"]
LONGEST_SHIFT = timedelta(hours=float(os.environ.get("ODOO_LONGEST_SHIFT_HOURS", "16")))


class NotBooked(Exception):
    """Odoo refused the request permanently. The error is reported, and the request isn't retried."""


class TryLater(Exception):
    """Odoo may accept the punch later. The response is 503, so the relay retries the delivery."""


def handle(body: bytes, headers: dict[str, str]) -> int:
    """Return the response status: 2xx only after Odoo has accepted or permanently refused all punches."""
    try:
        events = WEBHOOK.verify(body, headers)
    except Exception:  # forged, or malformed in a way that prevents verification
        return 401
    for event in events if isinstance(events, list) else [events]:
        if event["type"] != "attendance.punch" or event["test"]:
            continue
        try:
            outcome = book(event)
        except NotBooked as error:
            outcome = f"not booked: {error}"
        except (TryLater, requests.RequestException) as error:
            print(
                json.dumps({"event": event["id"], "outcome": f"later: {str(error) or type(error).__name__}"}),
                flush=True,
            )
            return 503
        print(json.dumps({"event": event["id"], "user": event["user_id"], "outcome": outcome}), flush=True)
    return 204


def book(punch: dict[str, Any]) -> str:
    """Open or close an attendance. An employee never has two open ones, and a repeated punch changes nothing."""
    found = odoo("hr.employee", "search_read", [[["barcode", "=", punch["user_id"]]]], fields=["id"], limit=1)
    if not found:
        raise NotBooked(f"no employee has the Badge ID {punch['user_id']}")
    employee, moment = found[0]["id"], punch["occurred_at_utc"][:19].replace("T", " ")
    if punch["direction"] is None:
        raise NotBooked(f"{punch['punch_type']} is neither in nor out")
    side = "check_in" if punch["direction"] == "in" else "check_out"
    if attendances(employee, [side, "=", moment]):
        return "already booked"
    open_now = attendances(employee, ["check_out", "=", False])
    if side == "check_in":
        forgotten = ""
        if open_now:
            came = open_now[0]["check_in"]
            if since(came, moment) <= LONGEST_SHIFT:
                raise NotBooked(f"already checked in at {came} UTC, and not checked out since")
            # Odoo allows only one open attendance. Its end is unknown, so it is closed with 0 hours.
            odoo("hr.attendance", "write", [[open_now[0]["id"]], {"check_out": came}])
            forgotten = (
                f"; the check-out of {came} UTC is missing, so that attendance was closed with 0 hours"
            )
        odoo("hr.attendance", "create", [[{"employee_id": employee, "check_in": moment}]])
        return f"checked in{forgotten}"
    if not open_now:
        raise NotBooked("checked out without a check-in")
    if open_now[0]["check_in"] > moment:
        raise NotBooked(f"arrived late: the open attendance begins later, at {open_now[0]['check_in']} UTC")
    if since(open_now[0]["check_in"], moment) > LONGEST_SHIFT:
        raise NotBooked(
            f"the open attendance began too long before the punch, at {open_now[0]['check_in']} UTC: a check-out and a "
            "check-in are missing"
        )
    odoo("hr.attendance", "write", [[open_now[0]["id"]], {"check_out": moment}])
    return "checked out"


def since(earlier: str, later: str) -> timedelta:
    return datetime.fromisoformat(later) - datetime.fromisoformat(earlier)


def attendances(employee: int, term: list[Any]) -> list[dict[str, Any]]:
    domain = [["employee_id", "=", employee], term]
    found: list[dict[str, Any]] = odoo("hr.attendance", "search_read", [domain], fields=["check_in"], limit=1)
    return found


def odoo(model: str, method: str, arguments: list[Any], **options: Any) -> Any:
    """Call a method of a model."""
    login = [DATABASE, int(os.environ["ODOO_UID"]), os.environ["ODOO_API_KEY"]]
    return rpc("object", "execute_kw", [*login, model, method, arguments, options])


def rpc(service: str, method: str, arguments: list[Any]) -> Any:
    """Make a JSON-RPC call. Odoo also reports its own errors with status 200."""
    params = {"service": service, "method": method, "args": arguments}
    call = {"jsonrpc": "2.0", "method": "call", "id": 1, "params": params}
    answer = requests.post(f"{URL}/jsonrpc", json=call, timeout=30, allow_redirects=False)
    if answer.status_code != 200:
        raise TryLater(f"Odoo answered {answer.status_code}")
    document = answer.json()
    if "error" not in document:
        return document["result"]
    data = document["error"].get("data", {})
    if data.get("name") in ("odoo.exceptions.ValidationError", "odoo.exceptions.UserError"):
        raise NotBooked(data.get("message", "Odoo refused it"))
    raise TryLater(f"Odoo answered {data.get('name') or document['error'].get('message')}")


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        length = self.headers.get("content-length", "0")
        if re.fullmatch("[0-9]{1,8}", length):
            body = self.rfile.read(int(length))
            self.send_response(handle(body, {name.lower(): value for name, value in self.headers.items()}))
        else:
            self.close_connection = True
            self.send_response(400)
        self.end_headers()


HTTPServer(("127.0.0.1", int(sys.argv[1]) if sys.argv[1:] else 9000), Receiver).serve_forever()
