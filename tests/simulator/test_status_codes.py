"""Every status code is returned when it should be, and a refused command changes nothing."""

import json
import threading
import time
from typing import Any

import pytest
from sim_tools import KEY, NOW, Caller, add_user, aes, command, eventually, fingerprint, load_log, un_aes

from simulator.device import Device

INFO = {"Load": {"DeviceInformation": "All"}}


def test_0_is_a_success(device: Device, caller: Caller) -> None:
    assert caller.send(add_user("1")) == {"Status": "done", "OperationID": "op1", "StatusCode": 0}


@pytest.mark.parametrize("body", [b"", b"{", b"hello", b"[]", b'"text"', b"\xff\xfe"])
def test_1_for_a_body_that_is_not_a_json_object(body: bytes, device: Device, caller: Caller) -> None:
    assert caller.post("D1", body).json() == {
        "Status": "API_RESPONSE_INVALID_REQUEST_DATA",
        "OperationID": "",
        "StatusCode": 1,
    }


def changed(content: dict[str, Any], *path: str | int, value: object) -> dict[str, Any]:
    """Return a copy with one value replaced."""
    copy: dict[str, Any] = json.loads(json.dumps(content))
    place: Any = copy
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = value
    return copy


WITH_FINGER = add_user("1", [fingerprint(0)])


@pytest.mark.parametrize(
    "content",
    [
        changed(add_user("1"), "Add", "User", "UserID", value=1),
        changed(add_user("1"), "Add", "User", "UserID", value=""),
        changed(add_user("1"), "Add", "User", "UserType", value="Boss"),
        changed(WITH_FINGER, "Add", "Template", 0, "Index", value="10"),
        changed(WITH_FINGER, "Add", "Template", 0, "Index", value=0),
        changed(WITH_FINGER, "Add", "Template", 0, "Size", value="big"),
        changed(WITH_FINGER, "Add", "Template", 0, "UserID", value="2"),
        add_user("1", [fingerprint(0), fingerprint(0)]),
        add_user("1", [{"Type": "Password", "Data": "abcd"}]),
        add_user("1", [{"Type": "Card", "Data": ""}]),
        changed(load_log(), "Load", "PunchLog", "Filter", "StartTime", value="2020-09-17T00:00:00+05:30"),
        changed(load_log(), "Load", "PunchLog", "Filter", "StartTime", value="2020-09-17 23:59:59 GMT -1100"),
        load_log("no offset of ours"),
        {"Update": {"User": {"UserID": "1", "Access": "maybe"}}},
        {"Update": {"AccessTime": {"UserID": "1", "Start": NOW, "End": NOW}}},
        {
            "Update": {
                "AccessTime": {"UserID": "1", "Start": "2022-07-12 00:00:00", "End": "2022-07-11 00:00:00"}
            }
        },
    ],
)
def test_1_for_invalid_values(content: dict[str, Any], device: Device, caller: Caller) -> None:
    assert caller.code(content) == 1
    assert not device.users


def test_1_for_a_time_in_another_format(device: Device, caller: Caller) -> None:
    body = command(INFO) | {"Time": "2020-09-17T11:09:09Z"}
    assert caller.post("D1", json.dumps(body).encode()).json()["StatusCode"] == 1


@pytest.mark.parametrize("query", ["D2", "", "D1&stgid=D1", "D1?stgid=D1"])
def test_2_for_an_unknown_stgid(query: str, device: Device, caller: Caller) -> None:
    answer = caller.post(query, json.dumps(command(INFO)).encode()).json()
    assert (answer["StatusCode"], answer["OperationID"]) == (2, "op1")


@pytest.mark.parametrize(
    "content",
    [
        {},
        {**INFO, **add_user("1")},
        {**INFO, "Extra": 1},
        {"Load": "All"},
        {"Load": {}},
        {"Load": {"DeviceInformation": "Some"}},
        {"Load": {"DeviceInformation": "All", "More": 1}},
        {"Load": {"PunchLog": {}}},
        {"Delete": {"User": {}}},
        {"Delete": {"User": {"UserID": "1", "Name": "x"}}},
        {"Add": {"User": {"UserID": "1"}}},
        changed(WITH_FINGER, "Add", "Template", value={}),
        changed(WITH_FINGER, "Add", "Template", 0, "Type", value="Iris"),
        add_user("1", [{"Type": "Card", "Index": "0", "Data": "12"}]),
        changed(load_log(), "Load", "PunchLog", "Filter", "Extra", value="x"),
        {"Enroll": {"User": {"UserID": "3", "Type": "Fingerprint"}}},
    ],
)
def test_3_for_a_body_of_no_operation(content: dict[str, Any], device: Device, caller: Caller) -> None:
    assert caller.code(content) == 3


def test_3_for_a_missing_common_field(device: Device, caller: Caller) -> None:
    body = command(INFO)
    del body["Time"]
    assert caller.post("D1", json.dumps(body).encode()).json()["StatusCode"] == 3


def test_4_for_a_body_that_is_not_a_ciphertext(make_device: Any, caller: Caller) -> None:
    make_device(security_key=KEY)
    assert caller.post("D1", b"not base64!").json()["StatusCode"] == 4


def test_4_for_a_ciphertext_to_a_device_without_a_key(device: Device, caller: Caller) -> None:
    assert caller.post("D1", aes(json.dumps(command(INFO)).encode())).json()["StatusCode"] == 4


def test_7_for_a_wrong_token(device: Device, caller: Caller) -> None:
    body = command(add_user("1"), token="x" * 32)
    answer = caller.post("D1", json.dumps(body).encode()).json()
    assert (answer["StatusCode"], answer["Status"]) == (7, "API_RESPONSE_INVALID_AUTH_TOKEN")
    assert not device.users


def test_8_for_an_existing_user(device: Device, caller: Caller) -> None:
    assert [caller.code(add_user("1"), operation_id=name) for name in ("a", "b")] == [0, 8]


@pytest.mark.parametrize(
    "content",
    [
        {"Delete": {"User": {"UserID": "1"}}},
        {"Update": {"User": {"UserID": "1", "Access": "disable"}}},
        {
            "Update": {
                "AccessTime": {"UserID": "1", "Start": "2022-07-11 00:00:00", "End": "2022-07-12 00:00:00"}
            }
        },
    ],
)
def test_9_for_an_unknown_user(content: dict[str, Any], device: Device, caller: Caller) -> None:
    assert caller.code(content) == 9


@pytest.mark.parametrize("data", ["", "not base64!", "/9j/4AAQSkZJRgAB..."])
def test_10_for_a_template_that_is_not_base64(data: str, device: Device, caller: Caller) -> None:
    assert caller.code(changed(WITH_FINGER, "Add", "Template", 0, "Data", value=data)) == 10
    assert not device.users


def test_10_for_a_template_with_a_wrong_size_if_the_device_checks_it(
    make_device: Any, caller: Caller
) -> None:
    make_device(strict_sizes=True)
    assert caller.code(changed(WITH_FINGER, "Add", "Template", 0, "Size", value="7")) == 10
    assert caller.code(WITH_FINGER) == 0


def test_11_without_room_for_users(make_device: Any, caller: Caller) -> None:
    make_device(max_users=1)
    assert [caller.code(add_user(user_id)) for user_id in ("1", "2")] == [0, 11]


def test_11_without_room_for_templates(make_device: Any, caller: Caller) -> None:
    device: Device = make_device(max_templates=2)
    assert caller.code(add_user("1", [fingerprint(0), fingerprint(1)])) == 0
    assert caller.code(add_user("2", [fingerprint(0)])) == 11
    assert set(device.users) == {"1"}
    enroll = {"User": {"UserID": "3", "Type": "Fingerprint", "FirstName": "", "LastName": ""}}
    assert caller.code({"Enroll": enroll}) == 11


def test_13_for_a_wrong_key(make_device: Any, caller: Caller) -> None:
    make_device(security_key=KEY)
    body = aes(json.dumps(command(INFO)).encode(), "x" * 32)
    answer = caller.post("D1", body).json()
    assert (answer["StatusCode"], answer["Status"]) == (13, "API_RESPONSE_INVALID_SECURITY_KEY")


@pytest.mark.parametrize("mode", ["hybrid_db", "hybrid_file"])
def test_15_in_a_mode_without_commands(mode: str, make_device: Any, caller: Caller) -> None:
    make_device(mode=mode)
    assert caller.code(INFO) == 15


@pytest.mark.parametrize(
    "content",
    [
        {"Open": {"Door": "1"}},
        {"Delete": {"Holiday": "All"}},
        {"Enroll": {"User": {"UserID": "3", "Type": "Face", "FirstName": "", "LastName": ""}}},
    ],
)
def test_15_for_an_unknown_command(content: dict[str, Any], device: Device, caller: Caller) -> None:
    assert caller.code(content) == 15


def test_15_for_an_operation_that_the_model_does_not_support(make_device: Any, caller: Caller) -> None:
    make_device(mode="hybrid_sdk", unsupported=["DeleteLogAll"])
    assert caller.code({"Delete": {"Log": "All"}}) == 15
    assert caller.code(INFO) == 0


def test_19_for_plain_text_to_a_device_with_a_key(make_device: Any, caller: Caller) -> None:
    make_device(security_key=KEY)
    assert caller.send(INFO)["StatusCode"] == 19


def test_37_while_another_call_for_the_device_runs(make_device: Any, caller: Caller) -> None:
    make_device(delay_seconds=1)
    make_device("D2", delay_seconds=0)
    first: list[int] = []
    thread = threading.Thread(target=lambda: first.append(caller.code(INFO)))
    thread.start()
    eventually(lambda: caller.control("GET", "/D1/commands"))
    assert caller.code(INFO, operation_id="op2") == 37
    assert caller.code(INFO, "D2") == 0
    thread.join()
    assert first == [0]


def test_devices_respond_in_parallel_after_their_delay(make_device: Any, caller: Caller) -> None:
    codes: list[int] = []
    names = [f"D{number}" for number in range(1, 21)]
    for name in names:
        make_device(name, delay_seconds=0.5)
    threads = [threading.Thread(target=lambda n=name: codes.append(caller.code(INFO, n))) for name in names]
    begin = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert codes == [0] * 20
    assert 0.5 <= time.monotonic() - begin < 3


@pytest.mark.parametrize("quoted", [False, True])
def test_with_a_key_requests_and_responses_are_encrypted(
    quoted: bool, make_device: Any, caller: Caller
) -> None:
    make_device(security_key=KEY)
    body = aes(json.dumps(command(add_user("1"))).encode())
    answer = caller.post("D1", b'"' + body + b'"' if quoted else body)
    assert json.loads(un_aes(answer.content)) == {"Status": "done", "OperationID": "op1", "StatusCode": 0}
    (received,) = caller.control("GET", "/D1/commands")
    assert received["encrypted"] and received["body"] == command(add_user("1"))


def test_refusals_of_readable_requests_are_encrypted(make_device: Any, caller: Caller) -> None:
    make_device(security_key=KEY)
    body = command(INFO, token="x" * 32)
    answer = caller.post("D1", aes(json.dumps(body).encode()))
    assert json.loads(un_aes(answer.content))["StatusCode"] == 7
