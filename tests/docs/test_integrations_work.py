"""The code blocks of docs/integrations work with a relay that `cams-relay up` started."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import requests

from tests.docs.conftest import Running, block
from tests.harness import ROOT, Receiver, wait_for
from tests.integrations import signing
from tests.integrations.programs import running as program

INDEX = "docs/integrations/README.md"
RELAY = "https://relay.example.com"


def test_the_key_has_the_scopes_that_tools_need(running: Running) -> None:
    key = running.shell(block(INDEX, "run", "key")).split()[-1]
    me = requests.get(f"{running.url}/v1/me", headers={"X-API-Key": key}, timeout=5).json()
    assert me["scopes"] == ["actions:read", "actions:write", "events:read", "subscriptions:write"]


def test_a_subscription_can_be_created_and_read_by_hand(running: Running, receiver: Receiver) -> None:
    key = f"KEY={running.key}\n"
    replaced = {RELAY: running.url, "https://tool.example.com/…": receiver.url}
    made = json.loads(running.shell(key + block(INDEX, "run", "subscribe-by-hand"), **replaced))
    script = f"{key}ID={made['id']}\n{block(INDEX, 'run', 'look')}"
    deliveries, test = running.shell(script, **{RELAY: running.url}).strip().split("}{")
    assert '"data":' in deliveries and "event_id" in test
    wait_for(lambda: any(got.json["test"] for got in list(receiver.received)))


def test_the_google_sheets_subscription_is_accepted(running: Running) -> None:
    script = f"KEY={running.key}\n" + block("docs/integrations/google-sheets.md", "run", "subscribe-sheet")
    made = json.loads(running.shell(script, **{RELAY: running.url}))
    assert (made["batch_max"], made["max_in_flight"]) == (100, 1)


def test_the_chat_subscriptions_are_accepted(running: Running, receiver: Receiver) -> None:
    script = f"KEY={running.key}\n" + block("docs/integrations/chat.md", "run", "subscribe-chat")
    replaced = {RELAY: running.url, "https://hooks.slack.com/services/…": receiver.url}
    assert json.loads(running.shell(script, **replaced))["format"] == "slack"


def test_the_preview_shows_the_message(running: Running) -> None:
    found = json.loads(running.shell(f"KEY={running.key}\n" + block("docs/webhooks.md", "run", "preview")))
    assert json.loads(found["body"])["content"] == "Test: **Front Door** is silent"


def test_the_receiver_gets_the_events_of_its_subscription(running: Running, tmp_path: Path) -> None:
    secret = signing.new_secret()
    receiver = ROOT / "examples" / "receivers" / "receiver.py"
    with program(tmp_path, sys.executable, receiver, "{port}", WEBHOOK_SECRET=secret) as made:
        script = f"KEY={running.key}\nWEBHOOK_SECRET={secret}\n"
        script += block("docs/integrations/receivers.md", "run", "subscribe-receiver")
        running.shell(script, **{"http://127.0.0.1:9000": made.url})
        wait_for(lambda: made.printed())
        assert json.loads(made.printed()[0])["type"] == "attendance.punch"


def test_the_secret_in_the_pages_is_accepted(running: Running, receiver: Receiver) -> None:
    secret = running.shell('echo "whsec_$(openssl rand -base64 24)"').strip()
    for page in ("node-red", "receivers"):
        assert (
            'echo "whsec_$(openssl rand -base64 24)"'
            in (ROOT / "docs" / "integrations" / f"{page}.md").read_text()
        )
    answer = requests.post(
        f"{running.url}/v1/subscriptions",
        json={"target_url": receiver.url, "events": ["attendance.punch"], "secret": secret},
        headers={"X-API-Key": running.key},
        timeout=5,
    )
    assert answer.status_code == 201, answer.text
