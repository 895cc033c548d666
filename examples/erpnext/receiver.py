"""Punches to ERPNext's Employee Checkin: `WEBHOOK_SECRET=… ERPNEXT_URL=… … python3 receiver.py [PORT]`.

Needs `pip install requests standardwebhooks`. See docs/integrations/erpnext.md."""

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
    """ERPNext won't have it, however often it is asked: reported, and not tried again."""


class Away(Exception):
    """ERPNext may have it later: the relay is answered 503, and delivers it again."""


def take(body: bytes, headers: dict[str, str]) -> int:
    """The status to answer a delivery with. 2xx only once ERPNext has all of it, or won't have it."""
    try:
        events = WEBHOOK.verify(body, headers)
    except Exception:  # not genuine, or so odd that it can't be checked
        return 401
    status = 204
    for event in events if isinstance(events, list) else [events]:
        if event["type"] != "attendance.punch" or event["test"]:
            continue
        try:
            outcome = book(event)
        except NotBooked as error:
            outcome = f"not booked: {error}"
        except (Away, requests.RequestException) as error:
            status = 503
            outcome = f"later: {str(error) or type(error).__name__}"
        print(json.dumps({"event": event["id"], "user": event["user_id"], "outcome": outcome}), flush=True)
        if outcome.startswith("later: ") and not outcome.startswith("later: ERPNext answered"):
            break  # it can't be reached, so the others of a batch would wait in vain
    return status


def book(punch: dict[str, Any]) -> str:
    """Adds an Employee Checkin. ERPNext tells a punch by employee and second, so that none is there twice."""
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
        return "there already"
    if "No Employee found" in answer.text:
        raise NotBooked(f"no employee has the Attendance Device ID {punch['user_id']}")
    if answer.status_code in (409, 417, 422):  # what Frappe answers where a rule of it forbids the entry
        raise NotBooked(f"ERPNext refused it: {reason(answer)}")
    raise Away(f"ERPNext answered {answer.status_code}")


def reason(answer: requests.Response) -> str:
    """Frappe's own words: a list of JSON texts in a JSON text."""
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
            self.send_response(take(body, {name.lower(): value for name, value in self.headers.items()}))
        else:
            self.close_connection = True
            self.send_response(400)
        self.end_headers()


HTTPServer(("127.0.0.1", int(sys.argv[1]) if sys.argv[1:] else 9000), Receiver).serve_forever()
