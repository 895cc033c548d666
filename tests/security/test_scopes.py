"""The permissions of each scope for each URL are documented and complete. docs/security.md is generated from them."""

from __future__ import annotations

import json
import secrets
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from app.api.auth import PUBLIC
from app.api.scope_table import HOLDERS, URLS
from app.settings.table import load
from app.store import Store
from app.store.access.scopes import SCOPES
from app.web.application import create_app
from tests.console.tools import Client
from tests.harness import API_KEY, ROOT, Device, Receiver, Relay, wait_for
from tests.relay.tools import events, key_with, only, problem


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Flask:
    """The whole application with the console, only for its table of routes."""
    folder: Path = tmp_path_factory.mktemp("scopes")
    return create_app(load({"RELAY_DATA_DIR": str(folder), "RELAY_API_KEY": API_KEY}))


def test_every_route_is_in_the_table_and_every_entry_has_a_route(app: Flask) -> None:
    routes = {
        f"{method} {rule.rule}"
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    assert routes == set(URLS), "add what its caller learns and causes to app/api/scope_table.py"
    assert all(answers.learns for answers in URLS.values())


def test_every_route_that_changes_something_says_what(app: Flask) -> None:
    reading = {"GET"}
    silent = [url for url, answers in URLS.items() if url.split()[0] not in reading and not answers.causes]
    assert silent == []


def test_every_scope_is_in_the_table(app: Flask) -> None:
    assert set(HOLDERS) == {*SCOPES, "no key"}
    assert all(all(answers) for answers in HOLDERS.values())
    page = (ROOT / "docs" / "security.md").read_text()
    for scope in SCOPES:
        assert f"| `{scope}` |" in page
    for rule in app.url_map.iter_rules():
        scopes = app.view_functions[rule.endpoint].scopes  # type: ignore[attr-defined]
        assert PUBLIC in scopes or "any key" in scopes or set(scopes) <= set(HOLDERS), rule.rule


# Boundaries between scopes


@pytest.mark.parametrize("scope", [scope for scope in SCOPES if scope != "admin"])
def test_only_admin_can_create_keys_and_read_the_audit_log(relay: Relay, scope: str) -> None:
    key = key_with(relay, *(set(SCOPES) - {"admin"}))
    body = {"name": "more", "scopes": [scope]}
    problem(relay.call("POST", "/v1/api-keys", key, json=body), 403)
    problem(relay.call("GET", "/v1/audit", key), 403)
    problem(relay.call("GET", "/v1/api-keys", key), 403)


def test_a_replay_by_ids_only_sends_events_that_match_the_subscription(relay: Relay, device: Device) -> None:
    other, narrow, dead = relay.device(), Receiver(), Receiver()
    dead.answer = lambda _: (500, {}, b"")
    subscription = relay.subscribe(narrow, device, events=["attendance.punch"])
    device.send_done(device.punch())
    device.send_done(device.sample(4))
    other.send_done(other.punch())
    narrow.wait(1)
    path = f"/v1/subscriptions/{subscription['id']}/replay"
    key = key_with(relay, "subscriptions:write")
    foreign = [events(other)[0], *(event for event in events(device) if event["type"] != "attendance.punch")]
    assert len(foreign) > 2
    for event in foreign:
        found = problem(relay.call("POST", path, key, json={"event_ids": [event["id"]]}), 422, "event_ids")
        assert "subscription's event types and filters" in found["detail"]
    mine = only(device, "attendance.punch")["id"]
    problem(relay.call("POST", path, key, json={"event_ids": [mine, foreign[0]["id"]]}), 422, "event_ids")
    assert relay.call("POST", path, key, json={"event_ids": [mine]}).status_code == 202
    assert [event["id"] for got in narrow.wait(2) for event in got.events] == [mine, mine]
    failing = relay.subscribe(dead, device, events=["attendance.punch"])
    device.send_done(device.punch())
    wait_for(lambda: relay.get(f"/v1/subscriptions/{failing['id']}")["dead"] == 1, 30)
    letter = events(device, type="attendance.punch")[-1]["id"]
    changed = {"events": ["user.deleted"]}
    assert relay.call("PATCH", f"/v1/subscriptions/{failing['id']}", key, json=changed).status_code == 200
    again = f"/v1/subscriptions/{failing['id']}/replay"
    assert relay.call("POST", again, key, json={"event_ids": [letter]}).status_code == 202, (
        "one of its own dead letters"
    )
    narrow.close()
    dead.close()


def test_changing_which_card_numbers_are_sent_needs_templates_read(
    relay: Relay, device: Device, receiver: Receiver
) -> None:
    made = relay.subscribe(receiver, device, events=["credential.updated"], include_card_numbers=True)
    path, key = f"/v1/subscriptions/{made['id']}", key_with(relay, "subscriptions:write")
    wider: dict[str, Any]
    for wider, field in (
        ({"filters": {"device_ids": []}}, "filters"),
        ({"filters": {"user_ids": ["2"]}}, "filters"),
        ({"event_types": ["*"]}, "event_types"),
    ):
        problem(relay.call("PATCH", path, key, json=wider), 403, field)
    same = {"events": ["credential.updated"], "filters": {"device_ids": [device.id]}, "batch_max": 2}
    assert relay.call("PATCH", path, key, json=same).status_code == 200
    both = key_with(relay, "subscriptions:write", "templates:read")
    assert relay.call("PATCH", path, both, json={"events": ["*"]}).status_code == 200
    without = {"events": ["user.*"], "include_card_numbers": False}
    assert relay.call("PATCH", path, key, json=without).status_code == 200


def test_a_devices_report_about_itself_is_shown_to_readers_of_commands(relay: Relay, device: Device) -> None:
    word = secrets.token_hex(8)
    record = {"result": json.dumps({"model": word}), "status": "completed"}
    _completed(relay, device, record)
    for scopes, shown in ((["events:read"], False), (["devices:write"], False), (["actions:read"], True)):
        client = Client(relay)
        client.sign_in(key_with(relay, *scopes))
        page = client.get(f"/console/devices/{device.id}")
        assert page.status_code == 200 and (word in page.text) is shown, scopes


def _completed(relay: Relay, device: Device, fields: dict[str, str]) -> None:
    """Add a load-device-information that has ended with this result."""
    store = Store(load(relay.environment))
    known = store.devices.get(device.id)
    assert known is not None
    command = store.commands.create(known, "load-device-information", {}, "of a test")
    wait_for(lambda: (found := store.commands.get(command)) and found.ended, 20)
    store.connection.redis.hset(f"{known.shard.tag}:command:{command}", mapping=fields)


NARROW = {
    "people:read": ("/v1/users", "/v1/employees", "/v1/attendance?date=2026-11-24"),
    "subscriptions:read": ("/v1/subscriptions", "/console/subscriptions"),
    "devices:read": ("/v1/devices", "/v1/refused", "/console/devices", "/console/refused"),
}


@pytest.mark.parametrize("scope", NARROW)
def test_a_read_scope_only_reads_its_part(
    relay: Relay, device: Device, receiver: Receiver, scope: str
) -> None:
    made = relay.subscribe(receiver, device)
    key, client = key_with(relay, scope), Client(relay)
    client.sign_in(key)
    for part, paths in NARROW.items():
        for path in paths:
            call = client.get(path) if path.startswith("/console") else relay.call("GET", path, key)
            assert call.status_code == (200 if part == scope else 403), path
    assert "events:read" in problem(relay.call("GET", "/v1/events", key), 403)["detail"]
    problem(relay.call("DELETE", f"/v1/subscriptions/{made['id']}", key), 403)
    problem(relay.call("PATCH", f"/v1/devices/{device.id}", key, json={"label": "Other"}), 403)
    problem(relay.call("POST", "/v1/employees", key, json=[]), 403)


def test_a_reader_of_subscriptions_sees_no_buttons_that_change_them(
    relay: Relay, device: Device, receiver: Receiver
) -> None:
    path = f"/console/subscriptions/{relay.subscribe(receiver, device)['id']}"
    for scope, changes in (("subscriptions:read", False), ("subscriptions:write", True)):
        client = Client(relay)
        client.sign_in(key_with(relay, scope))
        page = client.get(path)
        assert page.status_code == 200 and ("data-api=" in page.text) is changes, scope
