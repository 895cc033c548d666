"""Records punches as Employee Checkins in ERPNext: `WEBHOOK_SECRET=… ERPNEXT_URL=… … python3 receiver.py [PORT]`.

Requires `pip install requests standardwebhooks`. See docs/integrations/erpnext.md."""

import json
import os
import re
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import requests
from standardwebhooks import Webhook

WEBHOOK = Webhook(os.environ["WEBHOOK_SECRET"])
URL = os.environ["ERPNEXT_URL"].rstrip("/")
TOKEN = f"token {os.environ['ERPNEXT_API_KEY']}:{os.environ['ERPNEXT_API_SECRET']}"


class NotBooked(Exception):
    """ERPNext refused the request permanently. The error is reported, and the request isn't retried."""


class TryLater(Exception):
    """ERPNext may accept the punch later. The response is 503, so the relay retries the delivery."""


def handle(body: bytes, headers: dict[str, str]) -> int:
    """Return the response status: 2xx only after ERPNext has accepted or permanently refused all punches."""
    try:
        events = WEBHOOK.verify(body, headers)
    except Exception:  # forged, or malformed in a way that prevents verification
        return 401
    status = 204
    for event in events if isinstance(events, list) else [events]:
        if event["type"] != "attendance.punch" or event["test"]:
            continue
        try:
            outcome = book(event)
        except NotBooked as error:
            outcome = f"not booked: {error}"
        except (TryLater, requests.RequestException) as error:
            status = 503
            outcome = f"later: {str(error) or type(error).__name__}"
        print(json.dumps({"event": event["id"], "user": event["user_id"], "outcome": outcome}), flush=True)
        if outcome.startswith("later: ") and not outcome.startswith("later: ERPNext answered"):
            break  # ERPNext can't be reached, so the rest of the batch would also fail
    return status


def book(punch: dict[str, Any]) -> str:
    """Add an Employee Checkin. ERPNext identifies a punch by employee and second, so there are no duplicates."""
    answer = requests.post(
        f"{URL}/api/method/hrms.hr.doctype.employee_checkin.employee_checkin.add_log_based_on_employee_field",
        headers={"Authorization": TOKEN},
        json={
            "employee_field_value": punch["user_id"],
            "employee_fieldname": "attendance_device_id",
            "timestamp": f"{punch['local_date']} {punch['local_time']}",  # in the site's time zone
            "device_id": punch["device_id"],
            **({"log_type": punch["direction"].upper()} if punch["direction"] else {}),
        },
        timeout=30,
        allow_redirects=False,
    )
    if answer.ok:
        return "booked"
    if "already has a log with the same timestamp" in answer.text:
        return "already booked"
    if "No Employee found" in answer.text:
        raise NotBooked(f"no employee has the Attendance Device ID {punch['user_id']}")
    if answer.status_code in (409, 417, 422):  # the statuses with which Frappe refuses an invalid entry
        raise NotBooked(f"ERPNext refused it: {reason(answer)}")
    raise TryLater(f"ERPNext answered {answer.status_code}")


def reason(answer: requests.Response) -> str:
    """Return Frappe's own messages, which are JSON strings in a list in a JSON string."""
    try:
        messages = json.loads(answer.json()["_server_messages"])
        return " ".join(str(json.loads(message)["message"]) for message in messages)[:300]
    except (ValueError, LookupError, TypeError):
        return f"status {answer.status_code}"


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
