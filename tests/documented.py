"""Facts from the gateway's documentation for the tests. None of them is taken from the program."""

from __future__ import annotations

import base64
from typing import Any

STATUS_NAMES = {
    0: "Success",
    1: "Invalid Request Data",
    2: "Invalid Service Tag ID",
    3: "Invalid Request",
    4: "Invalid Encryption",
    5: "Device Offline",
    6: "Operation Timeout",
    7: "Invalid Auth Token",
    8: "User Already Exists",
    9: "User Not Found",
    10: "Template Error",
    11: "Device Memory Full",
    13: "Invalid Security Key",
    15: "Feature Not Supported",
    999: "Unknown Error",
}
FLAT = {
    "Card": "card_number",
    "Password": "password",
    "Fingerprint": "fingerprint_data",
    "Face": "face_data",
    "Palm": "palm_data",
    "UserPhoto": "user_photo_data",
}


def flat_credentials(body: dict[str, Any], data: bytes) -> dict[str, Any]:
    """Return the flat fields for the Template items of a documented body. Truncated data become `data` in both."""
    flat: dict[str, Any] = {}
    for item in body.get("Template", []):
        if item["Data"].endswith("..."):
            item["Data"] = base64.b64encode(data).decode()
        if "Size" in item:
            item["Size"] = str(len(data))
        if "Index" in item:
            flat[f"{item['Type'].lower()}_index"] = int(item["Index"])
        flat[FLAT[item["Type"]]] = item["Data"]
    return flat
