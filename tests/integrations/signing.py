"""Deliveries as the relay would send them, for those that it never sends: forged, late, twice."""

from __future__ import annotations

import base64
import secrets
from datetime import UTC, datetime

import requests
from standardwebhooks import Webhook


def new_secret() -> str:
    return "whsec_" + base64.b64encode(secrets.token_bytes(24)).decode()


def headers(
    body: str, *signing: str, webhook_id: str = "evt_made_up", seconds_ago: float = 0
) -> dict[str, str]:
    """The headers of a delivery that is signed with these secrets."""
    sent = datetime.fromtimestamp(datetime.now(UTC).timestamp() - seconds_ago, UTC)
    return {
        "content-type": "application/json",
        "webhook-id": webhook_id,
        "webhook-timestamp": str(int(sent.timestamp())),
        "webhook-signature": " ".join(Webhook(secret).sign(webhook_id, sent, body) for secret in signing),
    }


def post(url: str, body: str, with_headers: dict[str, str]) -> int:
    """Posts it; the status of the answer."""
    return requests.post(url, data=body.encode(), headers=with_headers, timeout=10).status_code
