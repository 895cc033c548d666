"""The present version opens data of each earlier version, created by `scripts/store-fixture`. Nothing is lost.

If this fails, the layout or the encryption has changed. Convert old data, and don't change the archive.
"""

from __future__ import annotations

import json
import tarfile
from contextlib import ExitStack, closing
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from simulator.cipher import encrypt
from tests.delivery.tools import act, change, shown
from tests.faults.load import all_came_once, identity_of
from tests.faults.versions import ENVIRONMENT, FOLDER
from tests.harness import Device, Receiver, Relay, verify, wait_for

ARCHIVES = sorted(FOLDER.glob("*.tar.gz"))


def without_links(value: dict[str, Any]) -> dict[str, Any]:
    """Return a document without signed links, which contain the time of their creation."""
    return {name: part for name, part in value.items() if not name.endswith("_url")}


def test_there_is_data_of_an_earlier_version() -> None:
    assert ARCHIVES


@pytest.mark.parametrize("archive", ARCHIVES, ids=lambda path: path.name.removesuffix(".tar.gz"))
def test_data_of_an_earlier_version_is_read_and_its_work_continues(tmp_path: Path, archive: Path) -> None:
    with tarfile.open(archive) as tar:
        tar.extractall(tmp_path / "data", filter="data")
    expected = json.loads((tmp_path / "data" / "expected.json").read_text())
    relay = Relay(tmp_path, **ENVIRONMENT)
    with ExitStack() as stack:
        stack.callback(relay.stop)
        relay.start("store", "web")
        device = Device(relay, "KEPT1", expected["devices"]["KEPT1"])
        spooled = [identity_of(device, punch) for punch in expected["spooled"]]
        count = len(expected["events"]) + len(spooled)
        wait_for(lambda: len(relay.events()) == count)
        _check_stored_data(relay, expected)
        _check_duplicates_and_devices(relay, device, expected)
        subscriptions = expected["subscriptions"]
        receivers = {name: stack.enter_context(closing(Receiver())) for name in subscriptions}
        for name, subscription in subscriptions.items():
            change(relay, subscription, target_url=receivers[name].url)
        relay.start("worker")
        for name in ("retried", "batched"):
            wait_for(lambda name=name: _left(relay, subscriptions[name]) == 0, 90)
        punches = [identity_of(device, punch) for punch in expected["punches"]]
        version = archive.name.removesuffix(".tar.gz")
        all_came_once(
            [*punches, *spooled], receivers["retried"], f"upgrade from {version}: a retry, a queue, a spool"
        )
        all_came_once([*punches, *spooled], receivers["batched"], f"upgrade from {version}: batches")
        all_came_once(spooled, receivers["delivered"], f"upgrade from {version}: a spool")
        assert len(receivers["delivered"].events()) == len(spooled), (
            "what was delivered is not delivered again"
        )
        order = [event["user_id"] for event in receivers["retried"].events()]
        assert order == [punch.user for punch in (*punches, *spooled)]
        (photo,) = [event for event in expected["events"] if event["type"] == "attendance.photo"]
        act(relay, subscriptions["dead"], "replay", event_ids=[photo["id"]])
        (got,) = receivers["dead"].wait(1)
        assert verify(subscriptions["dead"]["secret"], got)["id"] == photo["id"]


def _left(relay: Relay, subscription: dict[str, Any]) -> int:
    """Return the number of outstanding deliveries."""
    now = shown(relay, subscription)
    return int(now["pending"] + now["retrying"])


def _check_stored_data(relay: Relay, expected: dict[str, Any]) -> None:
    """The API's responses are the same, and old keys and links to encrypted data still work."""
    stored = relay.events()
    for before, now in zip(expected["events"], stored, strict=False):
        assert without_links(now) == without_links(before)
    for event in stored:
        for link in (event.get("photo_url"), event.get("body_url")):
            if link:
                place = urlsplit(link)
                assert relay.call("GET", f"{place.path}?{place.query}", key=None).status_code == 200
    for user, before in expected["users"].items():
        assert _without_additions(relay.get(f"/v1/users/{user}"), before) == before
    assert relay.get("/v1/me", key=expected["key"])["name"] == "kept"
    command = expected["command"]
    assert relay.get(f"/v1/commands/{command['command_id']}")["action"] == command["action"]
    for before in expected["subscriptions"].values():
        now = shown(relay, before)
        for name in (
            "target_url",
            "filters",
            "format",
            "max_in_flight",
            "retrying",
            "dead",
            "delivered",
        ):
            assert now[name] == before[name], name
        assert now["event_types"] == before["events"]
    device = relay.get("/v1/devices/KEPT1")
    created_at = datetime.fromisoformat(expected["device"].pop("created_at"))  # once in seconds
    assert datetime.fromisoformat(device["created_at"]) == created_at
    counters = ("last_seen_at", "callbacks", "events", "duplicates", "callback_url")
    same = {name: part for name, part in expected["device"].items() if name not in counters}
    assert {name: device[name] for name in same} == same


def _without_additions(now: Any, before: Any) -> Any:
    """Return the API's present response without fields that were added after that version."""
    if isinstance(now, dict) and isinstance(before, dict):
        return {name: _without_additions(now[name], part) for name, part in before.items() if name in now}
    if isinstance(now, list) and isinstance(before, list) and len(now) == len(before):
        return [_without_additions(*pair) for pair in zip(now, before, strict=True)]
    return now


def _check_duplicates_and_devices(relay: Relay, device: Device, expected: dict[str, Any]) -> None:
    """Old punches are duplicates. Both devices are recognised by their tokens, and one by its Security Key."""
    count = len(relay.events())
    for punch in expected["punches"]:
        device.send_done(punch)
    assert len(relay.events()) == count
    key = "made-up-security-key-of-32-bytes"
    sealed = Device(relay, "KEPT2", expected["devices"]["KEPT2"], key)
    assert sealed.send(sealed.punch()).status_code == 401, "plain text"
    sealed.send_done(encrypt(json.dumps(sealed.punch()).encode(), key))
    for user, shown_then in expected["users"].items():
        for credential in shown_then["devices"][0]["credentials"]:
            path = f"{credential['credential_type']}/{credential['credential_index']}"
            answer = relay.get(f"/v1/users/{user}/credentials/{path}", params={"device_id": "KEPT1"})
            assert answer["data"], path
