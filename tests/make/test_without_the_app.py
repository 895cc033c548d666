"""The commands in docs/integrations/make.md deliver events to Make's own webhook, and its request is valid."""

from __future__ import annotations

import json
import subprocess

from app.schemas.actions import ACTIONS
from tests.docs.conftest import block
from tests.harness import API_KEY, Receiver
from tests.stage import Stage

PAGE = "docs/integrations/make.md"


def run(stage: Stage, name: str, **replaced: str) -> str:
    script = block(PAGE, "run", name)
    for old, new in {"http://127.0.0.1:8000": stage.relay.url, **replaced}.items():
        assert old in script
        script = script.replace(old, new)
    command = ["bash", "-euc", f"KEY={API_KEY}\n{script}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_custom_webhook_gets_a_sample_with_its_key(stage: Stage, receiver: Receiver) -> None:
    target = "https://hook.eu2.make.com/your-webhook"
    made = json.loads(run(stage, "subscribe", **{target: receiver.url}))
    run(stage, "sample", **{"sub_…": made["id"]})
    (got,) = receiver.wait(1)
    assert got.headers["x-make-apikey"] == "the-long-text-of-your-own"
    assert (got.json["type"], got.json["test"]) == ("attendance.punch", True)
    stage.relay.call("DELETE", f"/v1/subscriptions/{made['id']}")


def test_the_request_is_an_action() -> None:
    body = json.loads(block(PAGE, "body", "add-user"))
    assert not ACTIONS["add-user"].schema().validate(body)
