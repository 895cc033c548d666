"""Every tool, called by the SDK's client over both transports, with a relay and the simulator."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import anyio
import pytest
from mcp import Client

from app.gateway.operations import COMMANDS
from app.mcp.api_client import Relay as ApiClient
from app.mcp.reads import TOOLS as READ_TOOLS
from app.schemas.actions import ACTIONS
from tests.harness import API_KEY, Device, Receiver, Relay, wait_for
from tests.mcp.clients import ALL, Assistants, content_of, refused, run

READS = {
    *("who_is_in", "punches_of_person", "find_person", "list_devices", "list_subscriptions"),
    *("failed_deliveries", "get_command", "attendance_of_day", "attendance_of_month"),
}
DESTRUCTIVE = {"delete_all_user", "delete_log_all", "delete_attendance_photo"}
WITHOUT_A_TOOL = {
    operation.action.replace("-", "_")
    for operation in COMMANDS
    if operation.action and set(operation.credentials)
}
COMMAND_TOOLS = {name.replace("-", "_") for name in ACTIONS} - WITHOUT_A_TOOL


def noon_zone() -> str:
    """A time zone in which it is about noon, so that no test runs into midnight."""
    offset = 12 - datetime.now(UTC).hour
    return f"Etc/GMT{-offset:+d}" if offset else "Etc/GMT"


def _client(assistants: Assistants, transport: str, key: str) -> AbstractAsyncContextManager[Client]:
    return assistants.over_http(key) if transport == "http" else assistants.over_stdio(key)


@pytest.mark.parametrize("transport", ["stdio", "http"])
def test_every_tool_does_what_it_says(assistants: Assistants, device: Device, transport: str) -> None:
    stage = assistants.stage
    command = {"device_id": device.id}
    person = {**command, "user_id": "500"}
    window = {"start_time": "2026-11-01T00:00:00Z", "end_time": "2026-11-02T00:00:00Z"}
    # The order matters, as each call uses the results of those before it.
    calls: list[tuple[str, dict[str, Any], str | None]] = [
        ("add_user", {**person, "first_name": "Asha", "last_name": "Rao"}, "AddUserWithoutTemplate"),
        ("add_user_without_template", {**command, "user_id": "501"}, "AddUserWithoutTemplate"),
        ("enroll_fingerprint", person, "EnrollFingerPrint"),
        (
            "update_access_time",
            {**person, "start": "2026-11-24T00:00:00", "end": "2026-12-24T00:00:00"},
            "UpdateAccessTime",
        ),
        ("disable_user", person, "DisableUser"),
        ("enable_user", person, "EnableUser"),
        ("load_device_information", command, "LoadDeviceInformation"),
        ("load_log", {**command, **window}, "LoadLog"),
        ("resend_attendance", {**command, **window}, "ResendAttendance"),
        ("resend_all_user", command, "ResendAllUser"),
        ("delete_user", person, "DeleteUser"),
        ("delete_attendance_photo", {**command, "confirm": True}, "DeleteAttendancePhoto"),
        ("delete_log_all", {**command, "confirm": True}, "DeleteLogAll"),
        ("delete_all_user", {**command, "confirm": True}, "DeleteAllUser"),
        ("who_is_in", {}, None),
        ("punches_of_person", {"user_id": "2"}, None),
        ("find_person", {"name_or_id": "2"}, None),
        ("attendance_of_day", {"date": "2026-11-24"}, None),
        ("attendance_of_month", {"user_id": "2", "month": "2026-11"}, None),
        ("list_devices", {}, None),
        ("list_subscriptions", {}, None),
        ("failed_deliveries", {}, None),
    ]
    answers: dict[str, Any] = {}

    async def call_all() -> set[str]:
        async with _client(assistants, transport, assistants.key()) as client:
            listed = {tool.name for tool in (await client.list_tools()).tools}
            for name, arguments, _ in calls:
                answers[name] = content_of(await client.call_tool(name, arguments))
            wanted = {"command_id": answers["add_user"]["command_id"]}
            answers["get_command"] = content_of(await client.call_tool("get_command", wanted))
            return listed

    listed = run(call_all)
    assert listed == answers.keys() == COMMAND_TOOLS | READS
    assert [name for name, _ in stage.received(device)] == [sent for _, _, sent in calls if sent]
    for name in COMMAND_TOOLS:
        answer = answers[name]
        assert (answer["status"], answer["device_id"]) == ("completed", device.id), name
    assert answers["load_device_information"]["maximum_faces_supported"] == 5000
    assert answers["load_log"]["row_count"] == 0
    assert answers["get_command"] == {**answers["add_user"], "message": answers["get_command"]["message"]}


def test_who_is_in_distinguishes_those_who_came_from_those_who_left(assistants: Assistants) -> None:
    zone = noon_zone()
    device = assistants.stage.relay.device(timezone=zone, label="Gate")
    now = datetime.now(ZoneInfo(zone)).replace(microsecond=0)
    came, left = {"Type": "CheckIn"}, {"Type": "CheckOut"}
    morning, noon = now.replace(hour=8), now.replace(hour=9)
    device.send_done(device.punch("2", noon, **left))
    device.send_done(device.punch("2", morning, **came))  # arrives late, but is earlier than the stored punch
    device.send_done(device.punch("3", morning, **came))
    device.send_done(device.punch("4", morning.replace(day=1 if morning.day > 1 else 2, year=2025), **came))

    async def ask() -> Any:
        async with assistants.over_http(assistants.key("events:read")) as client:
            everybody = content_of(await client.call_tool("who_is_in", {"device_id": device.id}))
            one = content_of(
                await client.call_tool("punches_of_person", {"user_id": "2", "device_id": device.id})
            )
            return everybody, one

    everybody, one = run(ask)
    assert [person["user_id"] for person in everybody["in"]] == ["3"]
    assert [person["user_id"] for person in everybody["left"]] == ["2"]
    assert (everybody["in_count"], everybody["left_count"]) == (1, 1)
    assert everybody["in"][0]["device_label"] == "Gate"
    assert {punch["direction"] for punch in one["punches"]} == {"in", "out"} and one["punch_count"] == 2


def test_two_people_with_one_user_id_are_separate(assistants: Assistants) -> None:
    relay, zone = assistants.stage.relay, noon_zone()
    first, second, third = (relay.device(timezone=zone) for _ in range(3))
    user = "two, people"  # the comma is part of the ID
    people = [
        {"user_id": user, "employee_id": f"E-{name}", "name": name, "device_id": device.id}
        for device, name in ((first, "John"), (second, "Mary"))
    ]
    relay.call("POST", "/v1/employees", json={"employees": people}).raise_for_status()
    now = datetime.now(ZoneInfo(zone)).replace(microsecond=0)
    first.send_done(first.punch(user, now.replace(hour=8), Type="CheckIn"))
    second.send_done(second.punch(user, now.replace(hour=8), Type="CheckIn"))
    second.send_done(second.punch(user, now.replace(hour=9), Type="CheckOut"))
    # The user changes jobs within one second, and the out punch arrives last.
    third.send_done(third.punch("next job", now.replace(hour=9), Type="CheckIn"))
    third.send_done(third.punch("next job", now.replace(hour=9), Type="CheckOut"))
    month = {"user_id": user, "month": f"{now:%Y-%m}"}

    async def ask() -> Any:
        async with assistants.over_http(assistants.key("events:read")) as client:
            everybody = content_of(await client.call_tool("who_is_in", {}))
            several = await client.call_tool("attendance_of_month", month)
            mary = content_of(
                await client.call_tool("attendance_of_month", {**month, "employee_id": "E-Mary"})
            )
            punches = content_of(await client.call_tool("punches_of_person", {"user_id": user}))
            return everybody, several, mary, punches

    everybody, several, mary, punches = run(ask)
    sides = {side: {one["user_name"] for one in everybody[side]} for side in ("in", "left")}
    assert "John" in sides["in"] and "Mary" in sides["left"] and "Mary" not in sides["in"]
    assert "next job" in {one["user_id"] for one in everybody["in"]}
    assert several.is_error and "E-John, E-Mary" in several.content[0].text
    assert (mary["user_name"], mary["worked_hours"]) == ("Mary", 1.0)
    assert punches["user_name"] is None
    assert sorted(punch["employee_id"] for punch in punches["punches"]) == ["E-John", "E-Mary", "E-Mary"]


def test_who_is_in_depends_on_the_start_of_the_day(tmp_path: Path) -> None:
    zone = noon_zone()
    relay = Relay(tmp_path, RELAY_DAY_STARTS="10:00").start("store", "web")
    try:
        device = relay.device(timezone=zone)
        now = datetime.now(ZoneInfo(zone)).replace(microsecond=0)
        device.send_done(device.punch("2", now.replace(hour=9), Type="CheckIn"))
        device.send_done(device.punch("3", now.replace(hour=11), Type="CheckIn"))
        (tool,) = [tool for tool in READ_TOOLS if tool.name == "who_is_in"]
        answer: Any = anyio.run(tool.run, ApiClient(relay.url, API_KEY), {}, None)
    finally:
        relay.stop()
    assert [person["user_id"] for person in answer["in"]] == ["3"]


def test_days_and_months_of_attendance_are_returned(assistants: Assistants, device: Device) -> None:
    day = datetime.now(UTC).replace(microsecond=0) - timedelta(days=2)
    for hour, kind in ((9, "CheckIn"), (17, "CheckOut")):
        device.send_done(device.punch("2", day.replace(hour=hour, minute=0, second=0), Type=kind))
    device.send_done(device.punch("3", day.replace(hour=10), Type="CheckIn"))
    here = {"device_id": device.id, "timezone": "UTC"}

    async def ask() -> Any:
        async with assistants.over_http(assistants.key("events:read")) as client:
            whole = await client.call_tool("attendance_of_day", {"date": day.date().isoformat(), **here})
            month = {"user_id": "2", "month": f"{day:%Y-%m}", **here}
            return content_of(whole), content_of(await client.call_tool("attendance_of_month", month))

    whole, month = run(ask)
    assert (whole["present_count"], whole["missing_punch_count"]) == (2, 1)
    assert [person["user_id"] for person in whole["people"]] == ["2", "3"]
    assert whole["people"][0]["worked_hours"] == 8.0 and whole["people"][1]["last_out"] is None
    assert (month["days_present"], month["worked_hours"]) == (1, 8.0)
    assert month["days"][0]["date"] == day.date().isoformat()


def test_people_and_devices_are_found(assistants: Assistants, device: Device) -> None:
    update = {"UserID": "77", "FirstName": "Ängela", "LastName": "Rao", "UserType": "User", "Template": []}
    device.send_done(device.envelope(UserUpdated=update))
    silent = assistants.stage.relay.device(label="Never heard")

    async def ask() -> Any:
        async with assistants.over_http(assistants.key("events:read")) as client:
            arguments = {"name_or_id": "rao äng", "device_id": device.id}
            return content_of(await client.call_tool("find_person", arguments)), content_of(
                await client.call_tool("list_devices", {})
            )

    found, devices = run(ask)
    assert [(person["user_id"], person["full_name"]) for person in found["people"]] == [("77", "Ängela Rao")]
    states = {row["device_id"]: row for row in devices["devices"]}
    assert states[device.id]["state"] == "heard within the hour" and states[device.id]["takes_commands"]
    assert states[device.id]["silent_since"] is None and states[device.id]["minutes_since_last_seen"] <= 1
    assert states[silent.id]["state"] == "never heard" and not states[silent.id]["takes_commands"]
    assert (
        silent.id in devices["not_heard_within_the_hour"]
        and device.id not in devices["not_heard_within_the_hour"]
    )


def test_failed_deliveries_show_only_the_host_of_the_url(
    assistants: Assistants, device: Device, receiver: Receiver
) -> None:
    receiver.answer = lambda _: (500, {}, b"no")
    relay = assistants.stage.relay
    made = relay.subscribe(
        receiver,
        device,
        target_url=f"{receiver.url}/a-secret-path?token=a-secret-token",
        events=["attendance.punch"],
    )
    device.send_done(device.punch())
    path = f"/v1/subscriptions/{made['id']}"
    wait_for(lambda: relay.get(path)["dead"], 30)

    async def ask() -> Any:
        async with assistants.over_http(assistants.key("subscriptions:write")) as client:
            one = await client.call_tool("failed_deliveries", {"subscription_id": made["id"]})
            return content_of(one), content_of(await client.call_tool("list_subscriptions", {}))

    failed, listed = run(ask)
    assert failed["given_up"] == 1
    assert {row["target_host"] for row in failed["latest"]} == {"127.0.0.1"}
    assert failed["latest"][0]["response_status"] == 500 and failed["latest"][0]["status"] == "dead"
    row = next(row for row in listed["subscriptions"] if row["id"] == made["id"])
    assert row["dead"] == 1 and row["target_host"] == "127.0.0.1"
    assert "secret" not in str(failed) + str(listed)
    relay.call("DELETE", path)


# The list of tools


@pytest.mark.parametrize(
    ("scopes", "seen"),
    [
        (("metrics:read",), set()),
        (
            ("events:read",),
            {"who_is_in", "punches_of_person", "find_person", "list_devices"}
            | {"attendance_of_day", "attendance_of_month"},
        ),
        (("subscriptions:write",), {"list_subscriptions", "failed_deliveries"}),
        (("actions:read",), {"list_devices", "load_log", "load_device_information", "get_command"}),
        (("actions:destructive",), DESTRUCTIVE | {"get_command"}),
        (
            ("actions:write",),
            COMMAND_TOOLS - DESTRUCTIVE - {"load_log", "load_device_information"} | {"get_command"},
        ),
        (("admin",), COMMAND_TOOLS | READS),
        (ALL, COMMAND_TOOLS | READS),
    ],
)
def test_a_key_sees_the_tools_of_its_scopes(
    assistants: Assistants, scopes: tuple[str, ...], seen: set[str]
) -> None:
    async def ask() -> set[str]:
        async with assistants.over_http(assistants.key(*scopes)) as client:
            return {tool.name for tool in (await client.list_tools()).tools}

    assert run(ask) == seen


def test_annotations_describe_the_effects_of_a_tool(assistants: Assistants) -> None:
    async def ask() -> Any:
        async with assistants.over_http(assistants.key()) as client:
            return (await client.list_tools()).tools

    tools = {tool.name: tool for tool in run(ask)}
    hints = {name: tool.annotations for name, tool in tools.items()}
    assert {name for name, hint in hints.items() if hint.read_only_hint} == READS | {
        "load_log",
        "load_device_information",
    }
    destructive = {name for name, hint in hints.items() if hint.destructive_hint}
    assert destructive >= DESTRUCTIVE | {"delete_user", "disable_user", "update_access_time"}
    assert not destructive & {"add_user", "enroll_fingerprint", "enable_user", "resend_all_user", *READS}
    assert {name for name, hint in hints.items() if not hint.idempotent_hint} >= DESTRUCTIVE | {
        "enroll_fingerprint"
    }
    assert not any(hint.open_world_hint for hint in hints.values())
    for name, tool in tools.items():
        schema = tool.input_schema
        assert tool.title and tool.description and schema["additionalProperties"] is False, name
        for field, part in schema["properties"].items():
            assert part["description"] and part["type"] in ("string", "boolean", "integer"), (name, field)
        assert ("confirm" in schema.get("required", ())) is (name in DESTRUCTIVE), name
    assert tools["add_user"].input_schema["properties"]["user_type"]["enum"] == ["user", "admin"]


def test_a_tool_is_refused_if_the_key_lacks_its_scope(assistants: Assistants, device: Device) -> None:
    async def ask() -> str:
        async with assistants.over_http(assistants.key("events:read", "actions:write")) as client:
            return refused(
                await client.call_tool("delete_all_user", {"device_id": device.id, "confirm": True})
            )

    assert run(ask) == "This API key doesn't have the scope actions:destructive."
    assert assistants.stage.received(device) == []
