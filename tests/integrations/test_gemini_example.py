"""examples/gemini/assistant.py, with a real relay and a stand-in that responds like the Gemini API.

The model's decisions aren't tested: the stand-in returns fixed function calls. The tests check that the request is as
documented, that a call becomes the right request to the relay, and that its response becomes a functionResponse.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from app.cli import main as cli
from tests.harness import ROOT, Device, Received, Receiver
from tests.mcp.clients import ALL
from tests.openapi.gemini import wrong_for_gemini
from tests.stage import Stage

SCRIPT = ROOT / "examples" / "gemini" / "assistant.py"
SIGNATURE = "bWFkZSB1cA=="


def _model_answer(*parts: dict[str, Any]) -> dict[str, Any]:
    content = {"role": "model", "parts": list(parts)}
    return {
        "candidates": [{"content": content, "finishReason": "STOP", "index": 0}],
        "modelVersion": "stand-in",
    }


def _call(name: str, **args: Any) -> dict[str, Any]:
    return {"functionCall": {"id": f"call-{name}", "name": name, "args": args}, "thoughtSignature": SIGNATURE}


class Gemini:
    """Answers `generateContent` with the given responses in turn."""

    def __init__(self, receiver: Receiver, *answers: dict[str, Any]) -> None:
        self.url = receiver.url.removesuffix("/hook")
        self.receiver, self.answers = receiver, iter(answers)
        receiver.answer = self._answer

    def _answer(self, got: Received) -> tuple[int, dict[str, str], bytes]:
        assert got.headers["x-goog-api-key"] == "made-up"
        return 200, {"content-type": "application/json"}, json.dumps(next(self.answers)).encode()

    def replies(self) -> list[dict[str, Any]]:
        """The functionResponses that it received, in order."""
        last = self.receiver.received[-1].json["contents"]
        parts = [part for content in last for part in content["parts"]]
        return [part["functionResponse"] for part in parts if "functionResponse" in part]


@pytest.fixture(scope="module")
def functions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("gemini") / "functions.json"
    path.write_text(CliRunner().invoke(cli, ["openapi", "--format", "gemini"]).output)
    return path


def _ask(stage: Stage, gemini: Gemini, functions: Path, typed: str = "") -> str:
    body = {"name": "gemini", "scopes": list(ALL)}
    key = stage.relay.call("POST", "/v1/api-keys", json=body).json()["key"]
    done = subprocess.run(
        [sys.executable, SCRIPT, functions, "What is there?"],
        env={
            "RELAY_URL": stage.relay.url,
            "RELAY_API_KEY": key,
            "GEMINI_API_KEY": "made-up",
            "GEMINI_API_URL": gemini.url,
        },
        input=typed,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_function_calls_become_requests_of_the_relay(
    stage: Stage, device: Device, receiver: Receiver, functions: Path
) -> None:
    person = {"device_id": device.id, "user_id": "300"}
    gemini = Gemini(
        receiver,
        _model_answer(_call("listDevices", limit=5), _call("loadDeviceInformation", device_id=device.id)),
        _model_answer(_call("addUser", **person, first_name="Asha")),
        _model_answer(_call("deleteUser", **{**person, "user_id": "999"}), _call("disableUser", **person)),
        _model_answer(_call("getCommand", command_id="cmd_00none")),
        _model_answer({"text": "All"}, {"text": " done."}),
    )
    assert _ask(stage, gemini, functions, "y\ny\nn\n") == "All done."
    listed, information, added, unknown, declined, command = gemini.replies()
    assert (listed["id"], listed["name"]) == ("call-listDevices", "listDevices")
    assert isinstance(listed["response"]["result"]["data"], list)
    assert information["response"]["result"]["status"] == "completed"
    assert added["response"]["result"]["user_id"] == "300"
    assert unknown["response"]["error"] == "There is no user with this ID on the device. Add the user first."
    assert declined["response"] == {"error": "The user declined."}
    assert command["response"]["error"] == "There is no command with this ID, or it has been removed."
    sent = [name for name, _ in stage.received(device)]
    assert sent == ["LoadDeviceInformation", "AddUserWithoutTemplate", "DeleteUser"]


def test_requests_to_gemini_are_as_documented(
    stage: Stage, device: Device, receiver: Receiver, functions: Path
) -> None:
    hostile = {"fingerprint_data": "AAAA", "device_id": device.id, "user_id": "301"}
    gemini = Gemini(
        receiver,
        _model_answer(
            _call("addUser", **hostile), _call("addUserWithFace", device_id=device.id), _call("../x")
        ),
        _model_answer({"text": "No."}),
    )
    assert _ask(stage, gemini, functions, "y\ny\ny\n") == "No."
    first, second = (got.json for got in receiver.received)
    assert set(first) == {"systemInstruction", "contents", "tools"}
    (tool,) = first["tools"]
    assert wrong_for_gemini(tool) == []
    names = {name for item in tool["functionDeclarations"] for name in item["parameters"]["properties"]}
    assert not any(name.endswith(("_data", "_index")) for name in names)
    assert not names & {"card_number", "password"}
    assert len(tool["functionDeclarations"]) == 30 - 14
    assert [content["role"] for content in second["contents"]] == ["user", "model", "user"]
    assert second["contents"][1]["parts"][0]["thoughtSignature"] == SIGNATURE
    assert all("error" in reply["response"] for reply in gemini.replies())
    assert stage.received(device) == []
