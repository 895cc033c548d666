"""Commands for an offline device are kept and carried out once. Results are remembered by OperationID."""

from typing import Any

import pytest
from sim_tools import Caller, RecordingRelay, add_user, load_log

from simulator.device import Device

DELETE = {"Delete": {"User": {"UserID": "1"}}}


@pytest.mark.parametrize(
    ("away", "back", "code"),
    [({"online": False}, {"online": True}, 5), ({"timeout": True}, {"timeout": False}, 6)],
)
def test_a_command_is_kept_and_carried_out_when_the_device_is_back(
    away: dict[str, bool], back: dict[str, bool], code: int, device: Device, caller: Caller
) -> None:
    caller.control("PATCH", "/D1", away, expect=200)
    assert [caller.code(add_user("1")) for _ in range(3)] == [code] * 3
    assert not device.users
    assert caller.control("GET", "/D1")["held_commands"] == 1
    caller.control("PATCH", "/D1", back, expect=200)
    assert set(device.users) == {"1"}
    # A repeated OperationID gets the result of the first command, not "exists" (8).
    assert caller.code(add_user("1")) == 0
    assert caller.control("GET", "/D1")["held_commands"] == 0


def test_an_offline_device_that_times_out_is_status_code_6(device: Device, caller: Caller) -> None:
    caller.control("PATCH", "/D1", {"online": False, "timeout": True}, expect=200)
    assert caller.code(add_user("1")) == 6
    caller.control("PATCH", "/D1", {"online": True}, expect=200)
    assert not device.users


def test_kept_commands_are_carried_out_in_order(device: Device, caller: Caller) -> None:
    device.switch(online=False)
    assert caller.code(add_user("1"), operation_id="a") == 5
    assert caller.code(DELETE, operation_id="b") == 5
    assert caller.code(DELETE, operation_id="c") == 5
    device.switch(online=True)
    assert not device.users
    assert [caller.code(content, operation_id=name) for content, name in ((DELETE, "b"), (DELETE, "c"))] == [
        0,
        9,
    ]


def test_a_kept_read_returns_its_rows_later(device: Device, caller: Caller) -> None:
    device.switch(online=False)
    assert caller.send(load_log())["StatusCode"] == 5
    device.switch(online=True)
    assert caller.send(load_log())["PunchLog"] == {"ReturnRowCount": "0", "Log": []}


def test_a_kept_enrolment_is_carried_out_when_the_device_is_back(
    device: Device, relay: RecordingRelay, caller: Caller
) -> None:
    device.switch(online=False)
    enroll = {"UserID": "3", "Type": "Fingerprint", "FirstName": "Raj", "LastName": ""}
    assert caller.code({"Enroll": {"User": enroll}}) == 5
    device.switch(online=True)
    (callback,) = relay.wait_for(1)
    assert callback["RealTime"]["UserUpdated"]["Template"][0]["UserID"] == "3"


def test_a_refusal_by_the_device_is_remembered(device: Device, caller: Caller) -> None:
    assert caller.code(DELETE) == 9
    assert caller.code(add_user("1"), operation_id="other") == 0
    assert caller.code(DELETE) == 9
    assert set(device.users) == {"1"}


def test_the_same_operation_id_with_other_content_is_another_command(device: Device, caller: Caller) -> None:
    assert [caller.code(add_user("1")), caller.code(add_user("2")), caller.code(DELETE)] == [0, 0, 0]
    assert set(device.users) == {"2"}


def test_a_gateway_without_memory_carries_out_a_command_again(make_device: Any, caller: Caller) -> None:
    device: Device = make_device(remember_seconds=0)
    device.switch(online=False)
    assert caller.code(add_user("1")) == 5
    device.switch(online=True)
    assert caller.code(add_user("1")) == 8


def test_the_gateway_returns_known_data_while_the_device_is_offline(device: Device, caller: Caller) -> None:
    device.switch(online=False)
    assert caller.code({"Load": "All"}) == 3
    assert caller.control("GET", "/D1")["held_commands"] == 0
