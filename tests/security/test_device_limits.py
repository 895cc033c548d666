"""API keys that are limited to devices: no request reads or changes anything of another device. Contract §5."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from flask import Flask

from app.api import create_app
from app.api.auth import PUBLIC
from app.settings.table import load
from app.store.access.scopes import FOR_ALL_DEVICES, SCOPES
from app.web.application import create_app as create_web
from tests.console.tools import Client
from tests.harness import API_KEY, Receiver, Relay, wait_for
from tests.relay.tools import post, problem

GRANTED = [scope for scope in SCOPES if scope not in FOR_ALL_DEVICES]
SECRET_USER = "90817263"  # on the other device only
SECRET_NAME = "Zenobia"
WHICH = {"X-Which": "limited"}


class Site:
    """A relay with two devices, and a key that is limited to one of them."""

    def __init__(self, relay: Relay, receiver: Receiver) -> None:
        self.relay = relay
        self.mine, self.other = (
            relay.device(gateway_url="http://127.0.0.1:9/a"),
            relay.device(gateway_url="http://127.0.0.1:9/b", label="Vault of Zenobia"),
        )
        self.key = self.limited(self.mine.id)
        for device, user, name in ((self.mine, "7", "Asha"), (self.other, SECRET_USER, SECRET_NAME)):
            card = [{"Type": "Card", "UserID": user, "Data": "0004829371"}]
            device.send_done(
                device.envelope(UserUpdated={"UserID": user, "FirstName": name, "Template": card})
            )
            device.send_done(device.punch(user))
        self.events = {one.id: relay.events(device_id=one.id) for one in (self.mine, self.other)}
        filters = {"device_ids": [self.other.id]}
        self.hooks = [
            relay.subscribe(receiver, filters=filters),
            relay.subscribe(receiver, filters={"device_ids": [self.mine.id, self.other.id]}),
            relay.subscribe(receiver, filters={}),
        ]
        self.command = relay.call(
            "POST",
            "/v1/actions/load-device-information",
            json={"device_id": self.other.id},
            headers={"Prefer": "respond-async"},
        ).json()["command_id"]

    def limited(self, *device_ids: str, scopes: list[str] | None = None) -> str:
        body = {"name": "limited", "scopes": scopes or GRANTED, "device_ids": list(device_ids)}
        key: str = post(self.relay, "/v1/api-keys", body)["key"]
        return key

    def call(self, method: str, path: str, **more: Any) -> requests.Response:
        return self.relay.call(method, path, key=self.key, **more)


@pytest.fixture
def site(tmp_path: Path, receiver: Receiver) -> Iterator[Site]:
    relay = Relay(tmp_path).start()
    yield Site(relay, receiver)
    relay.stop()


def apps(folder: Path) -> Iterator[Flask]:
    settings = load({"RELAY_DATA_DIR": str(folder), "RELAY_API_KEY": API_KEY})
    yield create_app(settings)
    yield create_web(settings)


def rules(folder: Path) -> list[tuple[str, str]]:
    """Return each method and path that requires a key."""
    found = set()
    for app in apps(folder):
        for rule in app.url_map.iter_rules():
            if PUBLIC not in getattr(app.view_functions[rule.endpoint], "scopes", (PUBLIC,)):
                found |= {(method, rule.rule) for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}}
    return sorted(found)


def filled(rule: str, values: dict[str, str]) -> str:
    path = re.sub(r"<(?:\w+:)?(\w+)>", lambda found: values.get(found[1], "x"), rule)
    return path.replace("/actions/x", "/actions/delete-user")


def bodies(site: Site) -> list[dict[str, Any]]:
    other, user = site.other.id, SECRET_USER
    return [
        {},
        {"device_id": other},
        {"device_id": other, "user_id": user},
        {"device_id": other, "user_id": user, "first_name": "x"},
        {"device_id": other, "confirm": True},
        {"label": "changed", "auth_token": "x" * 32},
        {"filters": {"device_ids": [other]}},
        {"filters": {"device_ids": []}},
        {"target_url": "http://127.0.0.1:9/x", "event_types": ["*"], "filters": {"device_ids": [other]}},
        {"since": "2020-01-01T00:00:00Z"},
        {"event_ids": [site.events[other][0]["id"]]},
        {"name": "wider", "scopes": ["admin"]},
        {"employees": [{"user_id": user, "employee_id": "E1"}]},
    ]


def test_no_request_reads_or_changes_anything_of_another_device(site: Site, tmp_path: Path) -> None:
    relay, other = site.relay, site.other.id
    delivery = wait_for(lambda: relay.get(f"/v1/subscriptions/{site.hooks[0]['id']}/deliveries")["data"])[0][
        "id"
    ]
    path = f"/v1/subscriptions/{site.hooks[0]['id']}/replay"
    replay = relay.call("POST", path, json={"since": "2020-01-01"}).json()["id"]
    values = {
        "device_id": other,
        "user_id": SECRET_USER,
        "event_id": site.events[other][0]["id"],
        "delivery_id": delivery,
        "replay_id": replay,
        "command_id": site.command,
        "credential_type": "card",
        "index": "0",
        "key_id": relay.get("/v1/api-keys")["data"][0]["id"],
    }
    queries = ["", f"?device_id={other}", f"?device_id={site.mine.id},{other}", f"?user_id={SECRET_USER}"]
    queries += ["?type=*", "?date=2026-11-30", "?month=2026-11", "?now=true", "?status=pending"]
    before = seen_by_admin(site)
    calls = 0
    for method, rule in rules(tmp_path):
        if rule.endswith("/stream"):
            continue  # below
        for hook in site.hooks:
            path = filled(rule, {**values, "subscription_id": hook["id"]})
            sent: list[dict[str, Any]] = (
                [{"params": None}]
                if method in ("GET", "DELETE")
                else [{"json": body} for body in bodies(site)]
            )
            for query in queries if method in ("GET", "DELETE") else [""]:
                for more in sent:
                    answer = site.call(method, path + query, **more)
                    calls += 1
                    assert answer.status_code < 500, f"{method} {path}{query} {answer.text}"
                    check_no_leak(site, f"{method} {path}{query} {more}", answer)
            if "subscription_id" not in rule:
                break
    assert calls > 500
    assert seen_by_admin(site) == before


def check_no_leak(site: Site, what: str, answer: requests.Response) -> None:
    """Fail if the answer contains something of the other device, apart from what the request itself contained."""
    if answer.ok:
        assert site.other.id not in answer.text, what
        assert SECRET_USER not in answer.text or '"data":[]' in answer.text, f"{what} {answer.text}"
    assert SECRET_NAME not in answer.text, what
    assert "0004829371" not in answer.text or site.mine.id in answer.text, what


def seen_by_admin(site: Site) -> Any:
    """Return what must not change: the other device's data, subscriptions, command and keys."""
    relay, other = site.relay, site.other.id
    device = relay.get(f"/v1/devices/{other}")
    hooks = [relay.get(f"/v1/subscriptions/{hook['id']}") for hook in site.hooks]
    parts = ("target_url", "filters", "event_types", "status", "description")
    replays = [
        [
            (one["id"], one["status"] == "cancelled")
            for one in relay.get(f"/v1/subscriptions/{hook['id']}/replays")["data"]
        ]
        for hook in site.hooks
    ]
    return (
        {name: device[name] for name in ("label", "timezone", "mode", "gateway_url", "auth_token_hint")},
        [{part: hook[part] for part in parts} for hook in hooks],
        replays,
        [one["id"] for one in relay.get(f"/v1/commands?device_id={other}")["data"]],
        relay.get(f"/v1/commands/{site.command}")["status"] == "cancelled",
        relay.get(f"/v1/users?device_id={other}")["data"],
        relay.get("/v1/employees")["data"],
        [(key["id"], key["name"], key["scopes"]) for key in relay.get("/v1/api-keys")["data"]],
        [one["id"] for one in relay.get("/v1/devices")["data"]],
    )


def test_its_own_device_works(site: Site) -> None:
    mine = site.mine.id
    assert site.call("GET", "/v1/me").json()["device_ids"] == [mine]
    assert [one["id"] for one in site.call("GET", "/v1/devices").json()["data"]] == [mine]
    assert site.call("GET", "/v1/events").json()["data"] == site.events[mine][::-1]
    assert site.call("GET", f"/v1/events/{site.events[mine][0]['id']}").ok
    assert [one["user_id"] for one in site.call("GET", "/v1/users").json()["data"]] == ["7"]
    assert site.call("GET", "/v1/users/7/credentials/card/0").json()["data"] == "0004829371"
    assert site.call("PATCH", f"/v1/devices/{mine}", json={"label": "Mine"}).json()["label"] == "Mine"
    day = site.events[mine][-1]["occurred_at"][:10]
    assert [one["user_id"] for one in site.call("GET", f"/v1/attendance?date={day}").json()["data"]] == ["7"]
    sent = site.call(
        "POST",
        "/v1/actions/load-device-information",
        json={"device_id": mine},
        headers={"Prefer": "respond-async"},
    ).json()
    assert site.call("GET", f"/v1/commands/{sent['command_id']}").ok
    assert [one["id"] for one in site.call("GET", "/v1/commands").json()["data"]] == [sent["command_id"]]
    samples = site.call("GET", "/v1/events/samples").json()
    assert [one["user_id"] for one in samples] == ["7"]


def test_a_message_can_be_previewed(site: Site) -> None:
    body = {"format": "text", "template": "{{user_name}} came"}
    previewed = site.call("POST", "/v1/subscriptions/preview", json=body)
    assert previewed.ok and "came" in previewed.json()["body"]


def test_a_subscription_gets_only_the_keys_devices(site: Site, receiver: Receiver) -> None:
    body = {"target_url": receiver.url, "event_types": ["attendance.punch"], "headers": WHICH}
    made = site.call("POST", "/v1/subscriptions", json=body).json()
    assert made["filters"]["device_ids"] == [site.mine.id]
    path = f"/v1/subscriptions/{made['id']}"
    assert [one["id"] for one in site.call("GET", "/v1/subscriptions").json()["data"]] == [made["id"]]
    widened = site.call("PATCH", path, json={"filters": {"device_ids": None}}).json()
    assert widened["filters"]["device_ids"] == [site.mine.id]
    problem(site.call("PATCH", path, json={"filters": {"device_ids": [site.other.id]}}), 403)
    problem(
        site.call("POST", "/v1/subscriptions", json={**body, "filters": {"device_ids": [site.other.id]}}), 403
    )
    site.other.send_done(site.other.punch("8"))
    site.mine.send_done(site.mine.punch("9"))
    got = wait_for(lambda: [one for one in receiver.received if "x-which" in one.headers])
    assert [one.json["user_id"] for one in got] == ["9"]


def test_a_new_subscription_doesnt_take_over_the_queue_of_a_wider_one(site: Site, receiver: Receiver) -> None:
    relay, body = site.relay, {"target_url": receiver.url, "event_types": ["*"], "batch_wait_ms": 400}
    former = post(relay, "/v1/subscriptions", body)
    assert relay.call("POST", f"/v1/subscriptions/{former['id']}/disable").ok
    site.other.send_done(site.other.punch("8"))
    assert relay.call("DELETE", f"/v1/subscriptions/{former['id']}").status_code == 204
    made = site.call("POST", "/v1/subscriptions", json={**body, "headers": WHICH}).json()
    site.mine.send_done(site.mine.punch("9"))
    got = wait_for(lambda: [one for one in receiver.received if "x-which" in one.headers])
    assert [one.json["user_id"] for one in got] == ["9"], made


def test_a_stream_sends_only_events_of_its_devices(site: Site) -> None:
    problem(site.call("GET", f"/v1/events/stream?device_id={site.other.id}"), 403)
    with site.call("GET", "/v1/events/stream?type=attendance.punch", stream=True) as answer:
        punches = (site.other, "8"), (site.mine, "9")
        for device, user in punches:
            threading.Timer(0.5, device.send_done, (device.punch(user),)).start()
        data = next(line for line in answer.iter_lines() if line.startswith(b"data:"))
    assert site.mine.id.encode() in data


def test_a_key_is_limited_for_good(site: Site) -> None:
    relay = site.relay
    for scopes in (["admin"], ["events:read", "metrics:read"]):
        body = {"name": "n", "scopes": scopes, "device_ids": [site.mine.id]}
        problem(relay.call("POST", "/v1/api-keys", json=body), 422, "scopes")
    for ids, place in (([], "device_ids"), (["nowhere"], "device_ids")):
        body = {"name": "n", "scopes": ["events:read"], "device_ids": ids}
        problem(relay.call("POST", "/v1/api-keys", json=body), 422, place)
    made = relay.get("/v1/api-keys")["data"][0]
    assert made["device_ids"] == [site.mine.id]
    problem(relay.call("PATCH", f"/v1/api-keys/{made['id']}", json={"device_ids": None}), 422, "device_ids")
    rotated = post_ok(relay, f"/v1/api-keys/{made['id']}/rotate")
    assert relay.call("GET", "/v1/me", key=rotated["key"]).json()["device_ids"] == [site.mine.id]


def post_ok(relay: Relay, path: str) -> dict[str, Any]:
    answer = relay.call("POST", path, json={})
    assert answer.ok, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_a_limited_key_cant_sign_in_to_the_console(site: Site) -> None:
    client = Client(site.relay)
    assert "limited to some devices" in client.sign_in(site.key).text
    for path in ("/", "/console/devices"):
        page = site.call("GET", path, headers={"Accept": "text/html"})
        assert page.status_code == 403 and site.other.id not in page.text
