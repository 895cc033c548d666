"""Tests can make the next responses wrong, lost or late."""

import json
import time
from typing import Any

import pytest
import requests
from sim_tools import KEY, Caller, add_user, aes, command, un_aes

from simulator.device import Device

ADD = json.dumps(command(add_user("1"))).encode()


def order(caller: Caller, *faults: dict[str, Any]) -> None:
    caller.control("PATCH", "/D1", {"faults": list(faults)}, expect=200)


def test_a_forced_status_code_changes_nothing_and_applies_once(device: Device, caller: Caller) -> None:
    order(caller, {"status_code": 999}, {"status_code": 33, "status": "NOT_ENABLED"})
    assert caller.send(add_user("1")) == {
        "Status": "API_RESPONSE_UNKNOWN_ERROR",
        "OperationID": "op1",
        "StatusCode": 999,
    }
    assert caller.send(add_user("1"))["Status"] == "NOT_ENABLED"
    assert not device.users
    assert caller.code(add_user("1")) == 0


def test_http_status_and_body_can_be_forced(device: Device, caller: Caller) -> None:
    order(
        caller, {"http_status": 500}, {"body": "<html>garbage"}, {"http_status": 502, "body": "bad gateway"}
    )
    answers = [caller.post("D1", ADD) for _ in range(3)]
    assert [(answer.status_code, answer.text) for answer in answers] == [
        (500, ""),
        (200, "<html>garbage"),
        (502, "bad gateway"),
    ]


def test_a_connection_can_be_dropped(device: Device, caller: Caller) -> None:
    order(caller, {"drop": True})
    with pytest.raises(requests.ConnectionError):
        caller.post("D1", ADD)
    assert caller.code(add_user("1")) == 0


def test_the_response_of_a_completed_command_can_be_lost(device: Device, caller: Caller) -> None:
    order(caller, {"drop": True, "carry_out": True})
    with pytest.raises(requests.ConnectionError):
        caller.post("D1", ADD)
    assert set(device.users) == {"1"}
    assert caller.code(add_user("1")) == 0


def test_a_late_response_is_correct(device: Device, caller: Caller) -> None:
    order(caller, {"delay": 0.3})
    begin = time.monotonic()
    assert caller.code(add_user("1")) == 0
    assert time.monotonic() - begin >= 0.3


def test_a_fault_can_be_repeated_and_removed(device: Device, caller: Caller) -> None:
    order(caller, {"status_code": 999, "times": 5})
    assert [caller.code(add_user("1")) for _ in range(2)] == [999, 999]
    assert caller.control("GET", "/D1")["faults_left"] == 3
    order(caller)
    assert caller.code(add_user("1")) == 0


def test_a_forced_status_code_is_encrypted_if_the_device_has_a_key(make_device: Any, caller: Caller) -> None:
    make_device(security_key=KEY)
    order(caller, {"status_code": 999})
    answer = caller.post("D1", aes(ADD))
    assert json.loads(un_aes(answer.content))["StatusCode"] == 999


@pytest.mark.parametrize("fault", ["x", {"nonsense": 1}, {"status_code": "8"}, {"drop": 1, "times": 0}])
def test_an_invalid_fault_is_refused(fault: object, device: Device, caller: Caller) -> None:
    caller.control("PATCH", "/D1", {"faults": [fault]}, expect=400)
