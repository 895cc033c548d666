"""Takes cams-relay's deliveries: `WEBHOOK_SECRET=whsec_… python3 receiver.py [PORT]`. Python 3.9 or later alone."""

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
    sys.exit("Set WEBHOOK_SECRET.")  # an empty key fits what anybody signs with one
seen = set()  # of webhook-ids; in earnest, a unique column beside what you store


def is_genuine(webhook_id: str, timestamp: str, signatures: str, body: bytes) -> bool:
    signed = f"{webhook_id}.{timestamp}.".encode() + body
    expected = b"v1," + base64.b64encode(hmac.digest(KEY, signed, "sha256"))
    fresh = re.fullmatch("[0-9]{1,12}", timestamp) and abs(time.time() - int(timestamp)) < 300
    # One of several: while a secret is changed, both sign.
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
                print(json.dumps(event), flush=True)  # what you do with it
            seen.add(webhook_id)  # afterwards: what failed above comes again
        self.send_response(204 if genuine else 401)
        self.end_headers()


HTTPServer(("127.0.0.1", int(sys.argv[1]) if sys.argv[1:] else 9000), Receiver).serve_forever()
