"""The commands of docs/integrations/any-tool.md work, with stand-ins that refuse what the tools don't document."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs

import pytest
import requests

from tests.docs.conftest import Running, block
from tests.harness import ROOT, Received, Receiver, wait_for

PAGE = "docs/integrations/any-tool.md"
TEXT = (ROOT / PAGE).read_text()
RELAY = "https://relay.example.com"
NO_STEPS = {"Tools with a page of their own", "If nothing arrives"}
TOOLS = (
    "Pabbly Connect", "Albato", "IFTTT", "Home Assistant", "Windmill", "Kestra", "Huginn", "Airtable",
    "Google Apps Script",
)  # fmt: skip

Answer = tuple[int, dict[str, str], bytes]


def _flat(got: Received) -> Answer:
    values = json.loads(got.body).values()
    return (200 if not any(isinstance(value, dict | list) for value in values) else 400, {}, b"")


def _ifttt(got: Received) -> Answer:
    """It takes three values, and drops anything else."""
    fits = set(json.loads(got.body)) == {"value1", "value2", "value3"}
    return (200 if fits else 400), {}, b"Congratulations!"


def _windmill(got: Received) -> Answer:
    """It takes a token, and the arguments of `main`."""
    if got.headers.get("authorization") != "Bearer TOKEN":
        return 401, {}, b"Unauthorized"
    fits = set(json.loads(got.body)) == {"user_id", "local_time"}
    return (201 if fits else 400), {}, b"0190a6f2-0000-0000-0000-000000000000"


def _ntfy(got: Received) -> Answer:
    fits = got.headers["content-type"].startswith("text/plain") and got.headers["title"] == "Attendance"
    return (200 if fits and got.body.startswith(b"Test: No contact from") else 400), {}, b"{}"


def _php(got: Received) -> Answer:
    fields = parse_qs(got.body.decode("ascii"), keep_blank_values=True, strict_parsing=True)
    return (
        (
            200
            if set(fields) == {"emp", "time", "type", "key"} and fields["key"] == ["A-RANDOM-WORD"]
            else 400
        ),
        {},
        b"",
    )


@pytest.mark.parametrize(
    ("name", "tool"),
    [("any", _flat), ("ifttt", _ifttt), ("windmill", _windmill), ("ntfy", _ntfy), ("form", _php)],
)
def test_a_test_event_is_accepted(
    running: Running, receiver: Receiver, name: str, tool: Callable[[Received], Answer]
) -> None:
    receiver.answer = tool
    script = block(PAGE, "run", name)
    target = re.search(r'"target_url": "(https://[^"]+)"', script)
    assert target is not None
    replaced = {RELAY: running.url, target[1]: receiver.url}
    made = json.loads(running.shell(f"KEY={running.key}\n{script}", **replaced))
    key = {"X-API-Key": running.key}
    path = f"{running.url}/v1/subscriptions/{made['id']}"
    requests.post(f"{path}/test", headers=key, json={}, timeout=5).raise_for_status()

    def attempts() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = requests.get(f"{path}/deliveries", headers=key, timeout=5).json()[
            "data"
        ]
        return [row for row in found if row["trigger"] == "test" and row["attempt_count"]]

    wait_for(lambda: bool(attempts()))
    (row,) = attempts()
    assert row["status"] == "delivered", (row, [got.body for got in receiver.received])
    requests.delete(path, headers=key, timeout=5).raise_for_status()


def test_every_tool_has_five_steps() -> None:
    sections = dict(re.findall(r"^## (.*?)\n(.*?)(?=^## |\Z)", TEXT, re.MULTILINE | re.DOTALL))
    assert set(TOOLS) <= set(sections)
    for title, content in sections.items():
        if title not in NO_STEPS:
            assert re.findall(r"^(\d)\. ", content, re.MULTILINE) == list("12345"), title
            assert "Format `" in content or "format `" in content or "--" in content or "run:" in content, (
                title
            )
            assert "Verification: " in content, title


def test_every_block_is_run() -> None:
    assert set(re.findall(r"<!-- run: (\w+) -->", TEXT)) == {"any", "ifttt", "windmill", "ntfy", "form"}
