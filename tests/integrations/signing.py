"""Signed deliveries that the relay itself never sends: forged, late or repeated."""

from __future__ import annotations

import base64
import hmac
import secrets
import time

import requests


def new_secret() -> str:
    return "whsec_" + base64.b64encode(secrets.token_bytes(24)).decode()


def headers(
    body: str, *signing: str, webhook_id: str = "evt_made_up", seconds_ago: float = 0
) -> dict[str, str]:
    """Headers of a delivery signed with each of these secrets, which may be empty."""
    timestamp = str(int(time.time() - seconds_ago))
    signed = f"{webhook_id}.{timestamp}.{body}".encode()
    keys = [base64.b64decode(secret.removeprefix("whsec_")) for secret in signing]
    signatures = [base64.b64encode(hmac.digest(key, signed, "sha256")).decode() for key in keys]
    return {
        "content-type": "application/json",
        "webhook-id": webhook_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": " ".join(f"v1,{signature}" for signature in signatures),
    }


def post(url: str, body: str, with_headers: dict[str, str]) -> int:
    """Posts a delivery and returns the response's status."""
    return requests.post(url, data=body.encode(), headers=with_headers, timeout=10).status_code
