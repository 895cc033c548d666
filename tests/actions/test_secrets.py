"""PINs, templates and tokens are in no log, event, list or error, and leave the store when a command ends."""

from __future__ import annotations

import base64
from typing import Any

from simulator.faults import Fault
from tests.actions.tools import KEY, Maker
from tests.harness import Receiver
from tests.relay.tools import stored_values

PIN = "5550197342"
CARD = "8812673009"
TEMPLATE = base64.b64encode(b"a fingerprint of nobody " * 9).decode()


def test_secrets_are_only_sent_to_the_gateway(quick: Maker, receiver: Receiver) -> None:
    one = quick(security_key=KEY)
    one.relay.subscribe(receiver, one.registered)
    secret: dict[str, Any] = {"password": PIN, "fingerprint_data": TEMPLATE, "card_number": CARD}
    headers: Any = {"Idempotency-Key": f"secret-{one.id}"}
    one.device.switch(online=False)
    answers = [one.act("add-user", user_id="1", headers=headers, **secret)]
    assert answers[0].status_code == 202
    held = everything(one.relay)
    one.device.switch(online=True)
    one.ended(answers[0].json()["command_id"])
    answers.append(one.act("add-user", user_id="1", **secret))
    answers.append(one.act("add-user", user_id="2", **{**secret, "password": PIN + "x"}))
    answers.append(one.act("add-user", user_id="2", headers=headers, **secret))
    one.fault(Fault(http_status=500, body=f"no such thing: {PIN} {one.registered.token}"))
    answers.append(one.act("add-user", user_id="3", **secret))
    assert [answer.status_code for answer in answers] == [202, 409, 422, 409, 502]
    answers.append(one.relay.call("GET", "/v1/commands", params={"device_id": one.id}))
    answers.append(one.relay.call("GET", f"/v1/commands/{answers[0].json()['command_id']}"))
    receiver.wait(3)
    shown = "".join(answer.text for answer in answers)
    shown += "".join(got.body.decode() for got in receiver.received)
    shown += str(one.relay.events(device_id=one.id)) + one.relay.logs()
    for text in (PIN, CARD, TEMPLATE, one.registered.token, KEY):
        assert text not in shown
        assert text not in held
        assert text not in everything(one.relay)


def everything(relay: Any) -> str:
    return b"\n".join(stored_values(relay).values()).decode("latin-1")


def test_a_commands_payload_is_removed_when_it_ends(quick: Maker) -> None:
    one = quick()
    one.device.switch(online=False)
    command_id = one.act("add-user", user_id="1", password=PIN).json()["command_id"]
    name = f"{{s0}}:command:{command_id}"
    assert b"payload" in stored_values(one.relay)[name]
    one.device.switch(online=True)
    one.ended(command_id)
    assert b"payload" not in stored_values(one.relay)[name]
    cancelled = one.act("add-user", user_id="2", password=PIN)
    assert cancelled.status_code == 200
    assert not [key for key in stored_values(one.relay) if one.id in key and "queue" in key]
