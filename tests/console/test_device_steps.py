"""A device's page shows which step from the device to the webhook fails."""

from __future__ import annotations

import html
import re
import secrets

from tests.console.tools import Client
from tests.harness import API_KEY, Device, Receiver, Relay, wait_for
from tests.relay.tools import KEY

_STEP = re.compile(r'<dt>([^<]+)</dt><dd><span class="badge (\w+)">\w+</span> ([^<]*)</dd>')


def steps(client: Client, device: Device) -> dict[str, tuple[str, str]]:
    """Return the state and the sentence of each step."""
    page = client.get(f"/console/devices/{device.id}")
    assert page.status_code == 200
    section = page.text.partition('id="steps"')[2].partition("</section>")[0]
    return {name: (state, html.unescape(states)) for name, state, states in _STEP.findall(section)}


def test_each_completed_step_and_the_failing_step_are_shown(relay: Relay, receiver: Receiver) -> None:
    client = Client(relay)
    client.sign_in(API_KEY)
    device = relay.device(security_key=KEY)
    found = steps(client, device)
    assert list(found) == [
        "Registered",
        "Callback URL reachable",
        "Callback received",
        "Callback read",
        "Delivered",
    ]
    assert found["Registered"][0] == "ok"
    assert (
        found["Callback URL reachable"][0] == "failed" and "127.0.0.1" in found["Callback URL reachable"][1]
    )
    assert found["Callback received"][0] == "open" and found["Callback read"][0] == "open"
    assert device.send(device.punch()).status_code == 401  # not encrypted
    wait_for(lambda: steps(client, device)["Callback received"][0] == "failed", 20, every=0.5)
    found = steps(client, device)
    assert "isn't encrypted" in found["Callback received"][1]
    assert found["Callback URL reachable"] == ("ok", "A callback has arrived.")

    plain = relay.device()
    relay.subscribe(receiver, plain, events=["attendance.punch"])
    assert steps(client, plain)["Delivered"][0] == "open"
    plain.send_done(plain.punch(secrets.token_hex(4)))
    receiver.wait(1)
    wait_for(lambda: steps(client, plain)["Delivered"][0] == "ok", 20, every=0.5)
    assert {name: state for name, (state, _) in steps(client, plain).items()} == dict.fromkeys(found, "ok")


def test_a_failing_target_is_shown(relay: Relay, receiver: Receiver) -> None:
    client = Client(relay)
    client.sign_in(API_KEY)
    receiver.answer = lambda _: (500, {}, b"")
    device = relay.device()
    made = relay.subscribe(receiver, device)
    device.send_done(device.punch())
    wait_for(lambda: relay.get(f"/v1/subscriptions/{made['id']}")["failing_since"], 20)
    state, states = steps(client, device)["Delivered"]
    assert state == "failed" and states.startswith("Failing or disabled: 1 of ")
    relay.call("DELETE", f"/v1/subscriptions/{made['id']}")
