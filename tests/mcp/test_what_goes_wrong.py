"""Errors are tool errors with the relay's messages. Long commands report progress, and held ones how to continue."""

from __future__ import annotations

from typing import Any

import pytest
from mcp import Client

from tests.harness import Device
from tests.mcp.clients import Assistants, content_of, refused, run


def _call(assistants: Assistants, name: str, arguments: dict[str, Any]) -> Any:
    async def ask() -> Any:
        async with assistants.over_http(assistants.key()) as client:
            return await client.call_tool(name, arguments)

    return run(ask)


def test_errors_contain_the_relays_message(assistants: Assistants, device: Device) -> None:
    here = {"device_id": device.id}
    window = {"start_time": "yesterday", "end_time": "2026-11-24T00:00:00"}
    cases: list[tuple[str, dict[str, Any], str]] = [
        (
            "delete_user",
            {**here, "user_id": "999"},
            "There is no user with this ID on the device. Add the user first.",
        ),
        (
            "delete_user",
            {"device_id": "NONE", "user_id": "1"},
            "device_id: 'NONE' is not a registered device",
        ),
        ("load_log", {**here, **window}, "start_time: "),
        ("load_log", here, "start_time: is required, e.g. '2026-11-01T00:00:00'"),
        ("add_user", {**here, "user_id": 7}, "user_id: must be a string, e.g. '100'"),
        (
            "add_user",
            {**here, "user_id": "7", "user_type": "boss"},
            "user_type: must be user or admin, e.g. 'user'",
        ),
        (
            "get_command",
            {"command_id": "cmd_00none"},
            "There is no command with this ID, or it has been removed.",
        ),
        ("get_command", {"command_id": "cmd_0/../../me"}, "command_id: has the wrong format, e.g. "),
        ("punches_of_person", {"user_id": "2", "since": "soon"}, "since: is not an ISO 8601 time"),
        (
            "failed_deliveries",
            {"subscription_id": "sub_none"},
            "subscription_id: there is no such subscription",
        ),
        ("find_person", {"name_or_id": ""}, "name_or_id: is too short"),
    ]

    async def ask() -> list[str]:
        async with assistants.over_http(assistants.key()) as client:
            return [refused(await client.call_tool(name, arguments)) for name, arguments, _ in cases]

    for (name, _, sentence), refusal in zip(cases, run(ask), strict=True):
        assert refusal.startswith(sentence), (name, refusal)


def test_null_is_treated_as_a_missing_argument(assistants: Assistants) -> None:
    assert (
        content_of(_call(assistants, "find_person", {"name_or_id": "nobody", "device_id": None}))[
            "found_count"
        ]
        == 0
    )
    refusal = refused(_call(assistants, "find_person", {"name_or_id": None}))
    assert refusal == "name_or_id: is required, e.g. 'Asha'"


@pytest.mark.parametrize("confirm", [None, False, "true", 1])
def test_destructive_commands_require_confirm(assistants: Assistants, device: Device, confirm: Any) -> None:
    arguments = {"device_id": device.id} | ({} if confirm is None else {"confirm": confirm})
    refusal = refused(_call(assistants, "delete_all_user", arguments))
    assert refusal.startswith("confirm: ")
    assert assistants.stage.received(device) == []


def test_a_slow_command_reports_progress(assistants: Assistants, device: Device) -> None:
    assistants.stage.machine(device).spec.delay_seconds = 2.8
    heard: list[tuple[float, str | None]] = []

    async def hear(progress: float, _total: float | None, message: str | None) -> None:
        heard.append((progress, message))

    async def ask() -> Any:
        async with assistants.over_stdio(assistants.key()) as client:
            arguments = {"device_id": device.id, "user_id": "60"}
            return await client.call_tool("add_user", arguments, progress_callback=hear)

    assert content_of(run(ask))["status"] == "completed"
    assert heard and heard[0][0] >= 2 and device.id in str(heard[0][1])


def test_a_held_command_says_how_to_get_the_result(assistants: Assistants, device: Device) -> None:
    machine = assistants.stage.machine(device)
    machine.switch(online=False)

    async def ask() -> tuple[Any, Any]:
        async with assistants.over_http(assistants.key()) as client:
            held = content_of(await client.call_tool("enable_user", {"device_id": device.id, "user_id": "8"}))
            machine.switch(online=True)
            return held, content_of(await client.call_tool("get_command", {"command_id": held["command_id"]}))

    held, ended = run(ask)
    assert held["status"] == "waiting" and "get_command" in held["what_to_do"]
    assert ended["command_id"] == held["command_id"] and ended["status"] in ("completed", "failed")
    assert "what_to_do" not in ended


def test_missing_objects_are_reported(assistants: Assistants) -> None:
    async def ask(client: Client) -> list[str]:
        refusal = []
        for call in (
            lambda: client.call_tool("add_user_with_face", {}),
            lambda: client.read_resource("cams-relay://secrets"),
            lambda: client.get_prompt("none", {}),
            lambda: client.get_prompt("enrol_new_employee", {"device_id": "X"}),
        ):
            with pytest.raises(Exception) as raised:
                await call()
            refusal.append(str(raised.value))
        return refusal

    async def connected() -> list[str]:
        async with assistants.over_http(assistants.key()) as client:
            return await ask(client)

    tool, resource, prompt, argument = run(connected)
    assert "There is no tool 'add_user_with_face'." in tool
    assert "There is no resource" in resource and "There is no prompt 'none'." in prompt
    assert "user_id: is required" in argument
