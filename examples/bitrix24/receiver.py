"""Records punches as work days in Bitrix24: `WEBHOOK_SECRET=… BITRIX24_WEBHOOK=… python3 receiver.py [PORT]`.

Requires `pip install requests standardwebhooks`. See docs/integrations/bitrix24.md.
The subscription must have `max_in_flight` 1."""

import json
import os
import re
import sqlite3
import sys
from datetime import datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import requests
from standardwebhooks import Webhook

WEBHOOK = Webhook(os.environ["WEBHOOK_SECRET"])
WEBHOOK_URL = os.environ["BITRIX24_WEBHOOK"].rstrip("/")  # https://company.bitrix24.com/rest/1/…/
USERS: dict[str, int] = json.loads(
    os.environ.get("BITRIX24_USERS", "{}")
)  # {"ID on the device": Bitrix24 ID}
SEEN = sqlite3.connect(os.environ.get("SEEN_FILE", "seen.db"))
SEEN.execute("CREATE TABLE IF NOT EXISTS seen (event TEXT PRIMARY KEY)")


class NotBooked(Exception):
    """Bitrix24 refused the request permanently. The error is reported, and the request isn't retried."""


class TryLater(Exception):
    """Bitrix24 may accept the punch later. The response is 503, so the relay retries the delivery."""


def handle(body: bytes, headers: dict[str, str]) -> int:
    """Return the response status: 2xx only after Bitrix24 has accepted or permanently refused all punches."""
    try:
        events = WEBHOOK.verify(body, headers)
    except Exception:  # forged, or malformed in a way that prevents verification
        return 401
    for event in events if isinstance(events, list) else [events]:
        if event["type"] != "attendance.punch" or event["test"]:
            continue
        if SEEN.execute("SELECT 1 FROM seen WHERE event = ?", (event["id"],)).fetchone():
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
        with SEEN:
            SEEN.execute("INSERT INTO seen VALUES (?)", (event["id"],))
        print(json.dumps({"event": event["id"], "user": event["user_id"], "outcome": outcome}), flush=True)
    return 204


def book(punch: dict[str, Any]) -> str:
    """Open, pause or close today's work day, depending on its state. Bitrix24 has one work day per person and day."""
    kind, moment = punch["punch_type"], punch["occurred_at"]
    user = USERS.get(punch["user_id"], punch["user_id"])
    if not str(user).isdecimal():
        raise NotBooked(f"BITRIX24_USERS names no Bitrix24 user for {user}")
    day = bitrix24("timeman.status", USER_ID=int(user))
    state = day["STATUS"]
    timed = {
        "USER_ID": int(user),
        "TIME": moment,
        "REPORT": f"Punched at {punch['device_label'] or punch['device_id']}",
    }
    if punch["direction"] is None:
        raise NotBooked(f"{kind} is neither in nor out")
    if same_moment(day.get("TIME_START" if punch["direction"] == "in" else "TIME_FINISH"), moment):
        return "already booked"
    if punch["direction"] == "in":
        if state == "PAUSED":
            bitrix24(
                "timeman.open", USER_ID=int(user)
            )  # resumes the day; TIME is only allowed for closed days
            return "break ended"
        if state != "CLOSED":
            raise NotBooked(f"the work day has been {state.lower()} since {day['TIME_START']}")
        today = datetime.now(datetime.fromisoformat(moment).tzinfo).date().isoformat()
        if punch["local_date"] != today:
            raise NotBooked(f"the punch is from {punch['local_date']}, and Bitrix24 accepts only today's")
        bitrix24("timeman.open", **timed)
        return "day opened"
    if state not in ("OPENED", "PAUSED", "EXPIRED"):
        raise NotBooked("the work day is not open")
    if kind in ("break_out", "meal_out"):
        bitrix24("timeman.pause", USER_ID=int(user))
        return "break begun"
    bitrix24("timeman.close", **timed)
    return "day closed"


def same_moment(one: str | None, other: str) -> bool:
    return bool(one) and datetime.fromisoformat(str(one)) == datetime.fromisoformat(other)


def bitrix24(method: str, **fields: Any) -> Any:
    """Call a method of the REST API through the inbound webhook, whose URL is a secret."""
    try:
        answer = requests.post(f"{WEBHOOK_URL}/{method}", json=fields, timeout=30, allow_redirects=False)
    except requests.RequestException as error:
        raise TryLater(type(error).__name__) from None  # its message would contain the URL
    if answer.ok:
        return answer.json()["result"]
    try:
        refused = answer.json()
    except ValueError:
        refused = {}
    if answer.status_code == 400 and "error" in refused:
        raise NotBooked(f"{refused['error']}: {refused.get('error_description', '')}")
    raise TryLater(f"Bitrix24 answered {answer.status_code} {refused.get('error', '')}".rstrip())


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
