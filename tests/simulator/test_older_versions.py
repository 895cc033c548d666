"""A device can be switched to version 2.0 or 1.0 of the Web API, to some of the callbacks, and to lenient commands."""

import json
from datetime import datetime
from typing import Any
from urllib.parse import parse_qs

import pytest
from sim_tools import KEY, NOW, TOKEN, Caller, RecordingRelay, add_user, command, eventually, un_aes

from simulator.device import Device

AT = "2020-09-17T07:48:22+05:30"
SECONDS = 1_600_309_102
FORM = "application/x-www-form-urlencoded"


def fields_of(body: bytes) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(body.decode(), keep_blank_values=True).items()}


def requests_of(relay: RecordingRelay, count: int) -> list[Any]:
    """Return the ApiRequestInfo of the first callbacks, in version 2.0."""
    eventually(lambda: len(relay.received) >= count)
    documents = [json.loads(fields_of(received.body)["request_data"]) for received in relay.received]
    assert {document["ServiceTagId"] for document in documents} == {"D1"}
    return [document["ApiRequestInfo"] for document in documents]


def test_version_2_sends_a_punch_as_a_form(make_device: Any, relay: RecordingRelay) -> None:
    device: Device = make_device(api_version="2.0")
    device.punch("7", "CheckOut", "Card", at=datetime.fromisoformat(AT))
    (info,) = requests_of(relay, 1)
    assert relay.received[0].content_type == FORM
    assert info.pop("OperationReferenceId")
    assert info == {
        "AuthToken": TOKEN,
        "Operation": "RealTimePunchLog",
        "UserId": "7",
        "OperationTime": SECONDS,
        "OperationData": {"AttendanceType": "CheckOut", "InputType": "Card"},
    }


def test_version_2_sends_a_batch_row_by_row(make_device: Any, relay: RecordingRelay, caller: Caller) -> None:
    make_device(api_version="2.0")
    caller.control("POST", "/D1/batch", {"count": 3}, expect=201)
    infos = requests_of(relay, 3)
    assert len({(info["UserId"], info["OperationTime"]) for info in infos}) == 3


def test_version_2_sends_users_photos_deletions_and_time(
    make_device: Any, relay: RecordingRelay, caller: Caller
) -> None:
    device: Device = make_device(api_version="2.0")
    card = {"type": "card", "data": "0004829371"}
    body = {"user_id": "7", "first_name": "Asha", "last_name": "Rao", "user_type": "admin"}
    caller.control("POST", "/D1/user", {**body, "credentials": [card]}, expect=201)
    device.take_photo("7", b"\xff\xd8\xff")
    device.remove_user("7")
    device.set_clock(datetime.fromisoformat(AT))
    user, photo, deleted, changed = requests_of(relay, 4)
    assert user["Operation"] == "ManuallyUserUpdated"
    assert user["OperationData"] == {
        "FirstName": "Asha",
        "LastName": "Rao",
        "Priority": 16,
        "Signature": [{"Template": "0004829371", "Type": "Card", "AdditionalData1": ""}],
    }
    assert (photo["Operation"], photo["OperationData"]) == ("RealTimePunchLog", {"AttendancePhoto": "/9j/"})
    assert (deleted["Operation"], deleted["UserId"]) == ("ManuallyUserDeleted", "7")
    assert (changed["Operation"], changed["OperationData"]) == (
        "ManuallyDateModified",
        {"ModifiedTo": SECONDS},
    )


def test_version_2_numbers_its_fingerprints(make_device: Any, relay: RecordingRelay, caller: Caller) -> None:
    make_device(api_version="2.0")
    fingers = [{"type": "fingerprint", "index": index} for index in (2, 3)]
    caller.control("POST", "/D1/user", {"user_id": "7", "credentials": fingers, "grouped": True}, expect=201)
    (info,) = requests_of(relay, 1)
    assert [item["AdditionalData1"] for item in info["OperationData"]["Signature"]] == ["2", "3"]


def test_version_2_encrypts_the_document_in_its_form(make_device: Any, relay: RecordingRelay) -> None:
    device: Device = make_device(api_version="2.0", security_key=KEY)
    device.punch("7")
    eventually(lambda: relay.received)
    document = json.loads(un_aes(fields_of(relay.received[0].body)["request_data"].encode()))
    assert document["ApiRequestInfo"]["UserId"] == "7"


@pytest.mark.parametrize(("kind", "answer"), [("CheckIn", "i"), ("BreakIn", "i"), ("MealOut", "o")])
def test_version_1_sends_only_punches_and_expects_ok(
    make_device: Any, relay: RecordingRelay, caller: Caller, kind: str, answer: str
) -> None:
    relay.answers.extend([(200, b'{"status":"done"}'), (200, b"ok")])
    device: Device = make_device(api_version="1.0")
    caller.control("POST", "/D1/user", {"user_id": "7", "credentials": ["card"]}, expect=201)
    device.punch("7", kind, at=datetime.fromisoformat(AT))
    assert device.outbox.wait_empty(5)
    first, second = relay.received
    assert first.body == second.body and first.content_type == FORM
    assert fields_of(first.body) == {
        "stgid": "D1",
        "userid": "7",
        "att_time": str(SECONDS),
        "att_type": answer,
    }


def test_version_1_cannot_be_encrypted(make_device: Any, caller: Caller) -> None:
    with pytest.raises(ValueError, match=r"1\.0"):
        make_device(api_version="1.0", security_key=KEY)
    make_device(api_version="1.0")
    caller.control("PATCH", "/D1", {"security_key": KEY}, expect=400)
    assert caller.control("GET", "/D1")["api_version"] == "1.0"


def test_commands_to_an_older_device_are_refused_as_the_gateway_does(
    make_device: Any, caller: Caller
) -> None:
    make_device(api_version="2.0")
    assert caller.code(add_user("1")) == 29
    caller.control("PATCH", "/D1", {"api_version": "3.0"}, expect=200)
    assert caller.code(add_user("1")) == 0


def test_only_the_chosen_callbacks_are_sent(make_device: Any, relay: RecordingRelay, caller: Caller) -> None:
    device: Device = make_device(callbacks=["users", "deletions"])
    caller.control("POST", "/D1/user", {"user_id": "7", "first_name": "Asha"}, expect=201)
    caller.control("POST", "/D1/punch", {"user_id": "7", "photo": True}, expect=201)
    caller.control("POST", "/D1/time", {}, expect=201)
    device.remove_user("7")
    assert device.outbox.wait_empty(5)
    assert [next(iter(body["RealTime"])) for body in relay.wait_for(2)] == ["UserUpdated", "UserDeleted"]
    assert len(relay.received) == 2 and len(device.logs) == 1
    caller.control("PATCH", "/D1", {"callbacks": ["punches"]}, expect=200)
    device.punch("8")
    assert "PunchLog" in relay.wait_for(3)[2]["RealTime"]


@pytest.mark.parametrize(
    ("setting", "named"),
    [({"callbacks": ["punches", "faces"]}, "faces"), ({"api_version": "4.0"}, "api_version")],
)
def test_unknown_switches_are_refused_with_the_known_ones(
    device: Device, caller: Caller, setting: dict[str, Any], named: str
) -> None:
    assert named in caller.control("PATCH", "/D1", setting, expect=400)["detail"]


@pytest.mark.parametrize("missing", [("Time",), ("OperationID",), ("OperationID", "Time")])
def test_a_lenient_device_takes_commands_without_operation_id_or_time(
    device: Device, caller: Caller, missing: tuple[str, ...]
) -> None:
    body = {name: value for name, value in command(add_user("1")).items() if name not in missing}
    assert caller.post("D1", json.dumps(body).encode()).json()["StatusCode"] == 3
    caller.control("PATCH", "/D1", {"lenient": True}, expect=200)
    assert caller.post("D1", json.dumps(body).encode()).json()["StatusCode"] == 0
    assert "1" in device.users
    # Without an OperationID, a repeated command can't be recognised.
    again = caller.post("D1", json.dumps(body).encode()).json()
    assert again["StatusCode"] == (8 if "OperationID" in missing else 0)


def test_a_lenient_device_still_checks_the_rest(make_device: Any, caller: Caller) -> None:
    make_device(lenient=True)
    assert (
        caller.post("D1", json.dumps({**add_user("1"), "AuthToken": TOKEN, "X": 1}).encode()).json()[
            "StatusCode"
        ]
        == 3
    )
    assert caller.post("D1", json.dumps(add_user("1")).encode()).json()["StatusCode"] == 7
    wrong = {**add_user("1"), "AuthToken": TOKEN, "Time": NOW.replace("GMT", "")}
    assert caller.post("D1", json.dumps(wrong).encode()).json()["StatusCode"] == 1
