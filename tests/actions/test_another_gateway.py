"""A key with only `devices:write` can't redirect a device's secrets to another gateway. Contract §8."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
import requests

from app.settings.table import load
from app.store import Store
from simulator.faults import Fault
from tests.actions.tools import KEY, Machine, Maker, key_with, problem
from tests.harness import Receiver, wait_for

PIN = "5550197342"
CARD = "8812673009"
OTHER_KEY = KEY[::-1]


@pytest.fixture
def elsewhere() -> Iterator[Receiver]:
    """A gateway that belongs to somebody else, and answers that each command is done."""
    with closing(Receiver()) as made:
        made.answer = lambda _: (
            200,
            {"content-type": "application/json"},
            b'{"Status":"done","StatusCode":0}',
        )
        yield made


def patch(one: Machine, key: str, **fields: Any) -> requests.Response:
    return one.relay.call("PATCH", f"/v1/devices/{one.id}", key, json=fields)


def shown(one: Machine) -> dict[str, Any]:
    found: dict[str, Any] = one.relay.get(f"/v1/devices/{one.id}")
    return found


def held_up(one: Machine) -> str:
    """A command with a PIN that waits in the queue behind another one, and its ID."""
    one.fault(Fault(delay=2.0))
    one.queued("load-device-information")
    return one.queued("add-user", user_id="1", password=PIN, card_number=CARD)


def audit_of(one: Machine, action: str) -> list[dict[str, Any]]:
    rows = one.relay.get("/v1/audit", params={"limit": 200})["data"]
    return [row for row in rows if row["device_id"] == one.id and row["action"] == action]


def other_origins(one: Machine) -> list[str]:
    port = one.sim.command_url().split(":")[2].partition("/")[0]
    return [
        "http://127.0.0.1:9/api",
        f"https://127.0.0.1:{port}/api",
        f"http://localhost:{port}/api",
        f"http://[::1]:{port}/api",
        f"http://127.0.0.2:{port}/api",
        "https://robot.camsunit.com/external/api3.0/biometric",
    ]


def test_another_origin_without_the_auth_token_is_403_and_changes_nothing(
    make: Maker, elsewhere: Receiver
) -> None:
    one = make()
    key = key_with(one.relay, "devices:write")
    before = shown(one)
    for url in (elsewhere.url, *other_origins(one)):
        for proof in (
            {},
            {"auth_token": secrets.token_hex(16)},
            {"auth_token": one.registered.token.upper() + ""},
        ):
            if proof.get("auth_token") == one.registered.token:
                continue
            found = problem(patch(one, key, gateway_url=url, label="Mine", **proof), 403, "auth_token")
            assert "auth_token" in found["detail"] and one.registered.token not in str(found)
    assert shown(one) == before
    one.done("add-user", user_id="1", password=PIN)
    assert elsewhere.received == []
    assert not audit_of(one, "device.gateway_changed")


def test_the_first_gateway_of_a_device_needs_the_auth_token_as_well(make: Maker, elsewhere: Receiver) -> None:
    one = make(gateway_url=None)
    key = key_with(one.relay, "devices:write")
    problem(patch(one, key, gateway_url=elsewhere.url), 403, "auth_token")
    assert shown(one)["gateway_url"] is None
    assert patch(one, key, gateway_url=elsewhere.url, auth_token=one.registered.token).status_code == 200


def test_changing_only_the_path_or_spelling_of_the_origin_needs_no_token(make: Maker) -> None:
    one = make(gateway_url="https://robot.camsunit.com/external/api3.0/biometric")
    key = key_with(one.relay, "devices:write")
    for url in (
        "https://robot.camsunit.com:443/external",
        "https://ROBOT.camsunit.com./external",
        "HTTPS://robot.camsunit.com/other?stgid=X",
    ):
        answer = patch(one, key, gateway_url=url)
        assert answer.status_code == 200, answer.text
        assert answer.json()["gateway_url"].startswith("https://robot.camsunit.com/")


def test_with_the_auth_token_queued_commands_go_to_the_new_gateway_and_both_hosts_are_audited(
    make: Maker, elsewhere: Receiver
) -> None:
    one = make()
    key = key_with(one.relay, "devices:write")
    command = held_up(one)
    problem(patch(one, key, gateway_url=elsewhere.url), 403)
    assert patch(one, key, gateway_url=elsewhere.url, auth_token=one.registered.token).status_code == 200
    assert one.ended(command)["status"] == "completed"
    assert PIN in elsewhere.received[-1].body.decode()
    (row,) = audit_of(one, "device.gateway_changed")
    old, new = one.sim.command_url(), elsewhere.url
    assert row["detail"] == f"from {old[: old.index('/', 8)]} to {new[: new.index('/', 8)]}"
    assert row["actor"].startswith("key_")


@pytest.mark.parametrize(
    "change", [{"security_key": None}, {"security_key": OTHER_KEY}], ids=["removed", "another"]
)
def test_changing_or_removing_the_security_key_needs_the_auth_token(
    make: Maker, change: dict[str, Any]
) -> None:
    one = make(security_key=KEY)
    key = key_with(one.relay, "devices:write")
    problem(patch(one, key, **change), 403, "auth_token")
    problem(patch(one, key, **change, auth_token=secrets.token_hex(16)), 403, "auth_token")
    assert patch(one, key, security_key=KEY).status_code == 200, "the same one is no change"
    one.done("load-device-information")  # still encrypted with it
    assert patch(one, key, **change, auth_token=one.registered.token).status_code == 200
    assert audit_of(one, "device.secrets_changed")[0]["detail"] == "security_key"


def test_replacing_the_auth_token_does_not_allow_another_gateway(make: Maker, elsewhere: Receiver) -> None:
    """The first step replaces the token by a known one. The second uses that token as the proof."""
    one = make(security_key=KEY)
    key, known = key_with(one.relay, "devices:write"), secrets.token_hex(16)
    command = held_up(one)
    assert patch(one, key, auth_token=known).status_code == 200
    assert "admin" in problem(patch(one, key, gateway_url=elsewhere.url, auth_token=known), 403)["detail"]
    problem(patch(one, key, security_key=None, auth_token=known), 403, "auth_token")
    one.ended(command)
    one.act("add-user", user_id="2", password=PIN)
    assert elsewhere.received == []
    admin = key_with(one.relay, "admin")
    assert patch(one, admin, gateway_url=elsewhere.url, auth_token=known).status_code == 200


def test_commands_of_a_removed_device_are_not_sent_after_it_is_registered_again(
    make: Maker, elsewhere: Receiver
) -> None:
    one = make()
    key, known = key_with(one.relay, "devices:write"), secrets.token_hex(16)
    headers = {"Idempotency-Key": f"key-{one.id}"}
    given = one.act("add-user", user_id="7", password=PIN, headers={**headers, "Prefer": "wait=20"})
    command = held_up(one)
    assert one.relay.call("DELETE", f"/v1/devices/{one.id}", key).status_code == 204
    body = {"device_id": one.id, "auth_token": known, "gateway_url": elsewhere.url}
    problem(one.relay.call("POST", "/v1/devices", key, json=body), 403, "auth_token")
    assert one.relay.call("POST", "/v1/devices", json=body).status_code == 201
    ended = one.ended(command)
    assert (ended["status"], ended["user_id"]) == ("failed", "1") and "replaced" in ended["message"]
    again = one.act("add-user", user_id="7", password=PIN, headers={**headers, "Prefer": "wait=20"})
    assert again.json()["command_id"] == given.json()["command_id"], "repeated, not sent to the new device"
    assert elsewhere.received == []


def test_a_command_queued_by_an_earlier_version_goes_to_the_device_it_was_queued_for(
    make: Maker, elsewhere: Receiver
) -> None:
    one = make()
    store = Store(load(one.relay.environment))
    device = store.devices.get(one.id)
    assert device is not None
    record = {"created_at": "2999-01-01T00:00:00.000Z"}
    command = store.commands.get(one.queued("load-device-information"))
    assert command is not None and store.commands.may_go_to(command, device)
    command.record.pop("bound")
    assert store.commands.may_go_to(command, device)
    device.record |= record
    assert not store.commands.may_go_to(command, device)


def test_registering_a_device_records_its_gateway_in_the_audit_log(make: Maker) -> None:
    one = make()
    (row,) = audit_of(one, "device.gateway_set")
    assert one.sim.command_url().startswith(row["detail"].removeprefix("to ") + "/")


def test_secrets_are_not_in_responses_or_logs(make: Maker, elsewhere: Receiver) -> None:
    one = make(security_key=KEY)
    key = key_with(one.relay, "devices:write")
    texts = [patch(one, key, gateway_url=elsewhere.url).text, patch(one, key, security_key=OTHER_KEY).text]
    texts.append(patch(one, key, security_key=OTHER_KEY, auth_token=one.registered.token).text)
    texts.append(str(one.relay.get("/v1/audit", params={"limit": 200})))
    wait_for(lambda: one.id in one.relay.logs())
    for text in (one.registered.token, KEY, OTHER_KEY):
        assert text not in "".join(texts) + one.relay.logs()


def test_registering_a_removed_device_again_does_not_allow_another_gateway(
    make: Maker, elsewhere: Receiver
) -> None:
    """With the former gateway, without one, and with a token replaced before: then step by step."""
    one = make()
    key, known, path = key_with(one.relay, "devices:write"), secrets.token_hex(16), f"/v1/devices/{one.id}"
    body: dict[str, Any] = {"device_id": one.id, "auth_token": known}
    assert patch(one, key, auth_token=known).status_code == 200
    for gateway in (one.sim.command_url(), None):
        assert one.relay.call("DELETE", path, key).status_code == 204
        problem(one.relay.call("POST", "/v1/devices", key, json={**body, "gateway_url": elsewhere.url}), 403)
        assert (
            one.relay.call("POST", "/v1/devices", key, json={**body, "gateway_url": gateway}).status_code
            == 201
        )
        problem(patch(one, key, gateway_url=elsewhere.url, auth_token=known), 403, "auth_token")
    assert (
        patch(one, key_with(one.relay, "admin"), gateway_url=elsewhere.url, auth_token=known).status_code
        == 200
    )


def test_with_the_auth_token_a_removed_device_can_be_registered_with_another_gateway(
    make: Maker, elsewhere: Receiver
) -> None:
    one = make()
    key = key_with(one.relay, "devices:write")
    body = {"device_id": one.id, "auth_token": one.registered.token, "gateway_url": elsewhere.url}
    assert one.relay.call("DELETE", f"/v1/devices/{one.id}", key).status_code == 204
    assert one.relay.call("POST", "/v1/devices", key, json=body).status_code == 201
    assert (
        patch(one, key, gateway_url=one.sim.command_url(), auth_token=one.registered.token).status_code == 200
    )
