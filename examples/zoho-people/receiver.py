"""Records punches as attendance in Zoho People: `WEBHOOK_SECRET=… ZOHO_DOMAIN=zoho.in … python3 receiver.py [PORT]`.

Requires `pip install requests standardwebhooks`. See docs/integrations/zoho-people.md.
The subscription should send batches."""

import json
import os
import re
import sqlite3
import sys
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import requests
from standardwebhooks import Webhook

WEBHOOK = Webhook(os.environ["WEBHOOK_SECRET"])
DOMAIN = os.environ.get(
    "ZOHO_DOMAIN", "zoho.com"
)  # depends on your data centre: zoho.eu, zoho.in, zoho.com.au, …
ACCOUNTS = os.environ.get("ZOHO_ACCOUNTS_URL", f"https://accounts.{DOMAIN}")
PEOPLE = os.environ.get("ZOHO_PEOPLE_URL", f"https://people.{DOMAIN}")
SEEN = sqlite3.connect(os.environ.get("SEEN_FILE", "seen.db"))
SEEN.execute("CREATE TABLE IF NOT EXISTS seen (event TEXT PRIMARY KEY)")
cached: dict[str, Any] = {}
locked_until = [0.0]


class TryLater(Exception):
    """Zoho may accept the punches later. The response is 503, so the relay retries the delivery."""


def handle(body: bytes, headers: dict[str, str]) -> int:
    """Return the response status: 2xx only after Zoho has answered the call for the whole batch."""
    try:
        events = WEBHOOK.verify(body, headers)
    except Exception:  # forged, or malformed in a way that prevents verification
        return 401
    punches = [
        event
        for event in (events if isinstance(events, list) else [events])
        if event["type"] == "attendance.punch" and not event["test"] and not is_seen(event)
    ]
    try:
        outcome = book([punch for punch in punches if punch["direction"]])
    except (TryLater, requests.RequestException) as error:
        print(json.dumps({"outcome": f"later: {str(error) or type(error).__name__}"}), flush=True)
        return 503
    with SEEN:
        SEEN.executemany("INSERT OR IGNORE INTO seen VALUES (?)", [(punch["id"],) for punch in punches])
    for punch in punches:
        said = outcome if punch["direction"] else f"not booked: {punch['punch_type']} is neither in nor out"
        print(json.dumps({"event": punch["id"], "user": punch["user_id"], "outcome": said}), flush=True)
    return 204


def is_seen(event: dict[str, Any]) -> bool:
    return SEEN.execute("SELECT 1 FROM seen WHERE event = ?", (event["id"],)).fetchone() is not None


def book(punches: list[dict[str, Any]]) -> str:
    """Import punches with one call to the Attendance Bulk Import API, which allows ten calls per minute."""
    if not punches:
        return "nothing to book"
    if time.monotonic() < locked_until[0]:
        raise TryLater("Zoho's limit was reached less than five minutes ago")
    rows = [
        {
            "empId": punch.get("employee_id") or punch["user_id"],
            "checkIn"
            if punch["direction"] == "in"
            else "checkOut": f"{punch['local_date']} {punch['local_time']}",
        }
        for punch in punches
    ]
    answer = call(rows, fresh=False)
    if answer.status_code == 401:
        answer = call(rows, fresh=True)
    if answer.status_code == 429 or "threshold" in answer.text.lower():
        locked_until[0] = time.monotonic() + 300
        raise TryLater("Zoho's limit is reached")
    if answer.status_code == 400:
        return f"not booked: Zoho refused it: {answer.text[:300]}"
    if answer.status_code != 200:
        raise TryLater(f"Zoho answered {answer.status_code}")
    return f"not booked: {answer.text[:300]}" if "error" in answer.text.lower() else "booked"


def call(rows: list[dict[str, str]], *, fresh: bool) -> requests.Response:
    return requests.post(
        f"{PEOPLE}/people/api/attendance/bulkImport",
        headers={"Authorization": f"Zoho-oauthtoken {access_token(fresh)}"},
        data={"data": json.dumps(rows), "dateFormat": "yyyy-MM-dd HH:mm:ss"},
        timeout=30,
        allow_redirects=False,
    )


def access_token(fresh: bool) -> str:
    """Return an access token. A token is valid for an hour, and Zoho issues at most ten in ten minutes."""
    if fresh or "token" not in cached or time.monotonic() > cached["until"]:
        answer = requests.post(
            f"{ACCOUNTS}/oauth/v2/token",
            data={
                "grant_type": "refresh_token",
                "client_id": os.environ["ZOHO_CLIENT_ID"],
                "client_secret": os.environ["ZOHO_CLIENT_SECRET"],
                "refresh_token": os.environ["ZOHO_REFRESH_TOKEN"],
            },
            timeout=30,
        )
        document = answer.json() if answer.ok else {}
        if "access_token" not in document:
            raise TryLater(f"Zoho gave no access token: {document.get('error', answer.status_code)}")
        cached.update(
            token=document["access_token"], until=time.monotonic() + document.get("expires_in", 3600) - 60
        )
    return str(cached["token"])


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
