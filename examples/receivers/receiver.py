"""Receives deliveries from cams-relay: `WEBHOOK_SECRET=whsec_… python3 receiver.py [PORT]`.

Requires only Python 3.9 or later."""

import base64
import hmac
import json
import os
import re
import sys
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

KEY = base64.b64decode(os.environ.get("WEBHOOK_SECRET", "").removeprefix("whsec_"))
if not KEY:
    sys.exit("Set WEBHOOK_SECRET.")  # with an empty key, anyone could sign deliveries
seen = set()  # webhook-ids; in production, use a unique column in the table in which you store events


def is_genuine(webhook_id: str, timestamp: str, signatures: str, body: bytes) -> bool:
    signed = f"{webhook_id}.{timestamp}.".encode() + body
    expected = b"v1," + base64.b64encode(hmac.digest(KEY, signed, "sha256"))
    fresh = re.fullmatch("[0-9]{1,12}", timestamp) and abs(time.time() - int(timestamp)) < 300
    # After a secret was rotated, deliveries have two signatures for a while. One must match.
    return bool(fresh) and any(
        hmac.compare_digest(expected, given.encode()) for given in signatures.split(" ")
    )


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        length = self.headers.get("content-length", "0")
        if not re.fullmatch("[0-9]{1,8}", length):
            self.close_connection = True
            self.send_response(400)
            self.end_headers()
            return
        body = self.rfile.read(int(length))
        sent = [self.headers.get(f"webhook-{name}", "") for name in ("id", "timestamp", "signature")]
        genuine, webhook_id = is_genuine(*sent, body), sent[0]
        if genuine and webhook_id not in seen:
            events = json.loads(body)
            for event in events if isinstance(events, list) else [events]:
                print(json.dumps(event), flush=True)  # process the event here
            seen.add(webhook_id)  # only now, so that a delivery that failed above is retried
        self.send_response(204 if genuine else 401)
        self.end_headers()


HTTPServer(("127.0.0.1", int(sys.argv[1]) if sys.argv[1:] else 9000), Receiver).serve_forever()
