"""A scenario with every kind of secret, and a search for these secrets in everything the relay has written."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field

import requests

from tests.harness import Device, Receiver, Relay, wait_for
from tests.relay.tools import events, sealed


@dataclass
class Scenario:
    """A relay, the secrets given to it, and its responses and deliveries."""

    relay: Relay
    hidden: dict[str, str]
    answers: list[str] = field(default_factory=list)
    deliveries: dict[str, list[str]] = field(default_factory=dict)

    def search(self, text: str | bytes, where: str) -> None:
        """Fail if the text contains a secret: in clear, in Base64 (at any offset) or in hex."""
        data = text if isinstance(text, bytes) else text.encode("utf-8", "surrogateescape")
        for name, secret in self.hidden.items():
            for form in forms(secret):
                assert form not in data, f"the {name} is in {where}"


def forms(secret: str) -> list[bytes]:
    """Return the secret in clear, in hex, and in Base64 at each of the three possible offsets."""
    raw = secret.encode()
    found = [raw, raw.hex().encode(), raw.hex().upper().encode()]
    for before in range(3):
        whole = base64.b64encode(bytes(before) + raw)
        # Only the part that doesn't depend on neighbouring bytes.
        found.append(whole[4 if before else 0 : (before + len(raw)) // 3 * 4])
    return found


def live_through(lived: Scenario, receivers: dict[str, Receiver]) -> None:
    relay, hidden = lived.relay, lived.hidden

    def keep(answer: requests.Response) -> requests.Response:
        lived.answers.append(f"{answer.status_code} {answer.headers} {answer.text}")
        return answer

    device = relay.device(auth_token=hidden["former AuthToken"], security_key=hidden["former Security Key"])
    for name, receiver in receivers.items():
        made = relay.subscribe(receiver, device, format=name, headers={"X-Token": hidden["header"]})
        hidden["webhook secret"] = hidden["webhook secret"] or made["secret"]
    body = {"name": "secret", "scopes": ["templates:read"]}
    hidden["new API key"] = relay.call("POST", "/v1/api-keys", json=body).json()["key"]
    relay.call("GET", "/v1/me", key=hidden["new API key"])

    def send(document: object, key: str = "Security Key") -> None:
        keep(device.send(sealed(document, hidden[key])))

    device.token = hidden["former AuthToken"]
    send(device.punch(), "former Security Key")
    device.token = hidden["AuthToken"]
    changes = {"auth_token": hidden["AuthToken"], "security_key": hidden["Security Key"]}
    keep(relay.call("PATCH", f"/v1/devices/{device.id}", json=changes))  # needs the current AuthToken
    for change in (
        {**changes, "auth_token": hidden["former AuthToken"]},
        {"auth_token": hidden["AuthToken"]},
    ):
        keep(relay.call("PATCH", f"/v1/devices/{device.id}", json=change)).raise_for_status()
    keep(relay.call("PATCH", f"/v1/devices/{device.id}", json={"security_key": hidden["wrong Security Key"]}))
    keep(
        relay.call("PATCH", f"/v1/devices/{device.id}", json={"auth_token": hidden["wrong AuthToken"] + "x"})
    )
    templates = [
        {"Type": "Password", "UserID": "2", "Data": hidden["PIN"]},
        {"Type": "Card", "UserID": "2", "Data": hidden["card"]},
        {"Type": "Face", "UserID": "2", "Index": "0", "Size": "200", "Data": hidden["template"]},
        {
            "Type": "Retina",
            "UserID": "2",
            "Index": hidden["PIN"],
            "Data": hidden["template"],
            "x": hidden["PIN"],
        },
        {"Type": "Iris", "UserID": "2", hidden["template"]: hidden["PIN"]},
        hidden["template"],
    ]
    send(device.envelope(UserUpdated={"UserID": "2", "FirstName": "Asha", "Template": templates}))
    photo = {"UserID": "2", "LogPhoto": hidden["photo"], "LogTime": "2026-03-01 09:00:00 GMT +0530"}
    send(device.envelope(Log=photo))
    send(device.envelope(Log={**photo, "LogPhoto": hidden["photo"] + "%"}))
    send(device.envelope(Log={**photo, "LogTime": hidden["PIN"]}))
    send(device.punch(Password=hidden["PIN"], Data=hidden["template"], Temperature="hot"))
    send(device.punch(LogTime=hidden["PIN"], Pin=hidden["PIN"]))
    send(device.envelope(NewThing={"Pin": hidden["PIN"], "Template": [{"Data": hidden["template"]}]}))
    send(device.envelope(**{hidden["template"][:20]: {"a": hidden["PIN"]}, "Kind": hidden["template"]}))
    wrong = device.punch()
    wrong["RealTime"]["AuthToken"] = hidden["wrong AuthToken"]
    send(wrong)
    keep(device.send(wrong))
    keep(device.send(device.punch()))  # plain text
    keep(device.send(hidden["template"].encode()))
    keep(relay.call("GET", "/v1/events", key=hidden["new API key"]))
    keep(relay.call("GET", "/v1/me", key=hidden["wrong AuthToken"]))
    path = "/v1/users/2/credentials/face/0"
    shown = relay.call("GET", path, key=hidden["new API key"], params={"device_id": device.id})
    assert shown.json()["data"] == hidden["template"]
    for path in ("/v1/events", "/v1/events.csv", "/v1/devices", "/v1/users", "/v1/users/2", "/v1/api-keys"):
        keep(relay.call("GET", path))
    for path in ("/v1/subscriptions", "/metrics", "/health", f"/v1/devices/{device.id}"):
        keep(relay.call("GET", path))
    stored = events(Device(relay, device.id, device.token))
    assert len(stored) > 12
    for name, receiver in receivers.items():
        wait_for(lambda receiver=receiver: len(receiver.received) >= len(stored))
        lived.deliveries[name] = [
            json.dumps({**got.headers, "x-token": "the receiver's"}) + got.body.decode()
            for got in list(receiver.received)
        ]
