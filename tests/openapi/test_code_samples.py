"""The code samples of the description work: those in curl and Python are run against a relay with the simulator."""

from __future__ import annotations

import os
import re
import secrets
import subprocess
import sys
from pathlib import Path

import pytest

from app import openapi
from simulator.records import User
from simulator.spec import DeviceSpec
from tests.browser import chromium
from tests.harness import API_KEY, Receiver
from tests.openapi.reading import Json, operations
from tests.relay.tools import corrected_punch
from tests.stage import Stage

_LANGUAGES = ["curl", "Python", "JavaScript"]
# They need a link that the relay has signed, or come from a gateway or an earlier answer, or don't end.
_NOT_RUN = {"getPhoto", "getUnrecognisedBody", "streamEvents", "getDocsFile"}
_WRITES = [
    "createSubscription",
    "updateSubscription",
    "testSubscription",
    "replayEvents",
    "disableSubscription",
    "enableSubscription",
    "updateDevice",
    "createApiKey",
    "updateApiKey",
    "addUser",
    "deleteUser",
    "loadLog",
    "loadDeviceInformation",
    "deleteAllUser",
    "deleteLogAll",
]
_DEVICE, _TOKEN, _TARGET = (
    "ZHM1100001",
    "made-up-token-of-the-code-sample",
    "https://hooks.example.com/punches",
)


def _samples(document: Json) -> dict[str, Json]:
    return {operation["operationId"]: operation for _, _, operation in operations(document)}


WHOLE = _samples(openapi.document())
_READS = [
    operation["operationId"]
    for _, method, operation in operations(openapi.document())
    if method == "get" and operation["operationId"] not in _NOT_RUN
]


def test_every_operation_has_samples_in_three_languages() -> None:
    for name, operation in WHOLE.items():
        samples = operation["x-codeSamples"]
        assert [sample["label"] for sample in samples] == _LANGUAGES, name
        for sample in samples:
            assert "RELAY_URL" in sample["source"]
            assert ("RELAY_API_KEY" in sample["source"]) == bool(operation.get("security", True))


def test_importers_get_no_samples() -> None:
    documents = [openapi.document("3.1", "actions"), openapi.document("3.0"), openapi.document("2.0")]
    assert not any("x-codeSamples" in str(document) for document in documents)


def test_the_page_shows_the_samples(stage: Stage) -> None:
    with chromium() as browser:
        page = browser.new_page()
        page.goto(f"{stage.relay.url}/docs#/devices/listDevices")
        page.wait_for_selector("details.code-sample")
        assert page.locator("details.code-sample summary").all_inner_texts() == _LANGUAGES
        page.locator("details.code-sample summary").first.click()
        assert '"$RELAY_URL/v1/devices"' in page.locator("details.code-sample pre").first.inner_text()


@pytest.fixture(scope="module")
def known(stage: Stage) -> dict[str, str]:
    """Real values for those in the examples. The device has the ID of the examples."""
    relay, gateway = stage.relay, stage.simulator.gateway
    relay.call("DELETE", f"/v1/devices/{_DEVICE}")  # other tests of the session may have registered it
    gateway.add_device(DeviceSpec(_DEVICE, auth_token=_TOKEN, delay_seconds=0))
    device = relay.device(device_id=_DEVICE, auth_token=_TOKEN, gateway_url=stage.simulator.command_url())
    device.send_done(device.sample(4))
    for user in ("2", "8", "100"):
        device.send_done(device.punch(user))
    event = relay.events(device_id=_DEVICE)[0]["id"]
    command = relay.call("POST", "/v1/actions/load-device-information", json={"device_id": _DEVICE}).json()
    assert relay.call("PUT", "/v1/employees/2", json={"employee_id": "EMP-0042"}).ok
    correction = corrected_punch(relay, _DEVICE, "2")["id"]
    return {"event": event, "command": command["command_id"], "correction": correction}


@pytest.fixture
def values(stage: Stage, known: dict[str, str], receiver: Receiver) -> dict[str, str]:
    """A pattern for each kind of ID in the examples, and an object that exists. Writes get objects of their own."""
    relay = stage.relay
    hook = relay.call("POST", "/v1/subscriptions", json={"target_url": receiver.url, "events": ["*"]}).json()
    key = relay.call("POST", "/v1/api-keys", json={"name": "samples", "scopes": ["events:read"]}).json()
    test = relay.call("POST", f"/v1/subscriptions/{hook['id']}/test").json()
    replay = relay.call(
        "POST", f"/v1/subscriptions/{hook['id']}/replay", json={"event_ids": [known["event"]]}
    )
    return {
        r"evt_01kay\w+": known["event"],
        r"cmd_\w+": known["command"],
        r"cor_\w+": known["correction"],
        r"sub_\w+": hook["id"],
        r"key_\w+": key["id"],
        r"dlv_\w+": test["delivery_id"],
        r"rpl_\w+": replay.json()["id"],
        re.escape(_TARGET): f"{receiver.url}/{secrets.token_hex(4)}",
        r"/v1/users/100\b": "/v1/users/8",
    }


@pytest.mark.parametrize("language", ["curl", "Python"])
@pytest.mark.parametrize("name", [*_READS, *_WRITES])
def test_a_sample_works(
    name: str, language: str, stage: Stage, values: dict[str, str], tmp_path: Path
) -> None:
    (source,) = [one["source"] for one in WHOLE[name]["x-codeSamples"] if one["label"] == language]
    if name == "addUser":
        source = re.sub(r'("user_id": )"100"', rf'\1"{secrets.randbelow(10**9)}"', source)
    if name == "deleteUser":
        stage.simulator.gateway.device(_DEVICE).store_user(User("100", "Manu", "Mona", "User"), [])
    for pattern, value in values.items():
        source = re.sub(pattern, value, source)
    command = ["bash", "-c", source] if language == "curl" else [sys.executable, "-c", source]
    ran = subprocess.run(
        command,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=60,
        env={"PATH": os.environ["PATH"], "RELAY_URL": stage.relay.url, "RELAY_API_KEY": API_KEY},
    )
    assert ran.returncode == 0, f"{source}\n{ran.stdout[-2000:]}\n{ran.stderr[-2000:]}"
    assert ran.stdout or list(tmp_path.iterdir()), source
