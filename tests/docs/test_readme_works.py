"""README's code blocks work with a relay that `cams-relay up` started."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
import requests
from standardwebhooks import WebhookVerificationError

from app.events.types import FIELDS
from tests.docs.conftest import Running, block
from tests.harness import ROOT, Receiver, free_port, wait_for

EXAMPLE_TARGET = "http://127.0.0.1:9000/"


@pytest.fixture
def subscribed(running: Running, receiver: Receiver) -> dict[str, Any]:
    answer = running.shell(block("README.md", "run", "subscribe"), **{EXAMPLE_TARGET: receiver.url})
    found: dict[str, Any] = json.loads(answer)
    return found


def test_the_subscribe_block_delivers_the_next_punch(subscribed: dict[str, Any], receiver: Receiver) -> None:
    event = receiver.wait(1)[0].json
    assert event["type"] == "attendance.punch"
    shown = json.loads(block("README.md", "event", "attendance.punch"))
    assert list(event) == list(shown) == list(FIELDS["attendance.punch"])


def test_the_signature_snippet_accepts_the_relays_deliveries_and_refuses_others(
    subscribed: dict[str, Any], receiver: Receiver
) -> None:
    snippet = block("README.md", "python", "verify").replace("whsec_…", subscribed["secret"])
    got = receiver.wait(1)[0]
    known: dict[str, Any] = {"body": got.body, "headers": got.headers}
    exec(snippet, known)
    assert known["event"] == got.json
    with pytest.raises(WebhookVerificationError):
        exec(snippet, {"body": got.body + b" ", "headers": got.headers})


def test_the_signature_can_be_verified_by_hand_as_documented(
    subscribed: dict[str, Any], receiver: Receiver
) -> None:
    snippet = block("docs/webhooks.md", "python", "verify-by-hand")
    got = receiver.wait(1)[0]
    known: dict[str, Any] = {"body": got.body, "headers": got.headers, "secret": subscribed["secret"]}
    exec(snippet, known)
    assert known["fits"] and known["fresh"]
    known = {**known, "body": got.body + b" "}
    exec(snippet, known)
    assert not known["fits"]


def test_the_simulate_blocks_create_events(running: Running) -> None:
    running.shell(block("README.md", "run", "simulate"))

    def published() -> bool:
        found = requests.get(
            f"{running.url}/v1/events",
            params={"type": "user.updated", "user_id": "7"},
            headers={"X-API-Key": running.key},
            timeout=5,
        )
        return any(event["first_name"] == "Asha" for event in found.json()["data"])

    wait_for(published)


@pytest.mark.parametrize("page", ["README.md", "docs/actions.md"])
def test_the_action_block_adds_a_user(running: Running, page: str) -> None:
    """The user is deleted first, because a block on another page adds the same one."""
    before = f"KEY={running.key}\n"
    delete = {"device_id": "VIRTUAL01", "user_id": "100"}
    requests.post(
        f"{running.url}/v1/actions/delete-user", json=delete, headers={"X-API-Key": running.key}, timeout=30
    )
    answer = json.loads(running.shell(before + block(page, "run", "add-user")))
    shown = json.loads(block("docs/actions.md", "answer", "add-user"))
    changing = dict.fromkeys(("id", "command_id", "operation_id"), "…")
    assert answer | changing == shown | changing


def test_the_attendance_block_shows_today_and_saves_a_file(running: Running) -> None:
    running.shell(block("README.md", "run", "simulate"))
    script = f"KEY={running.key}\n" + block("docs/attendance.md", "run", "attendance")

    def shown() -> str:
        return running.shell(f"export TZ=Asia/Kolkata\n{script}")  # the simulated device's time zone

    wait_for(lambda: '"user_id":"2"' in shown())
    assert list(running.folder.glob("attendance-*.xlsx"))


def test_the_connector_block_shows_what_it_would_send(running: Running) -> None:
    script = block("docs/connector.md", "run", "try").replace(
        "cams-relay connector", f"{sys.executable} -m app connector"
    )
    done = subprocess.run(
        ["bash", "-uc", script],
        cwd=running.folder,
        env=running.environment,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == 3  # a row is rejected
    assert done.stdout.strip() == block("docs/connector.md", "answer", "try")


def test_the_device_blocks_register_a_device(running: Running) -> None:
    key = f"KEY={running.key}\n"
    made = json.loads(running.shell(key + block("README.md", "run", "register")))
    assert made["callback_url"] == f"{running.url}/callback/ZHM1100001"
    changed = json.loads(running.shell(key + block("README.md", "run", "security-key")))
    assert changed["has_security_key"] is True


def test_the_receiver_prints_deliveries() -> None:
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, ROOT / "docs" / "receiver.py", str(port)], stdout=subprocess.PIPE, text=True
    )
    try:

        def taken() -> bool:
            try:
                return requests.post(f"http://127.0.0.1:{port}/", json={"id": "evt_1"}, timeout=2).ok
            except requests.ConnectionError:
                return False

        wait_for(taken)
        assert process.stdout is not None
        assert process.stdout.readline() == "{\n"
        assert process.stdout.readline() == '  "id": "evt_1"\n'
    finally:
        process.kill()
        process.wait()
