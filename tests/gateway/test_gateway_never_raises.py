"""Any JSON from a device is read without an exception, and no problem contains a secret."""

from __future__ import annotations

import string
from typing import Any

import orjson
from gateway_samples import TOKEN, sample
from hypothesis import given, settings
from hypothesis import strategies as st

from app.gateway.callbacks import (
    AttendancePhoto,
    Callback,
    CredentialUpdated,
    Punch,
    content_digest,
    old_version,
    read,
    redact,
    redact_unknown,
)
from app.gateway.commands import parse_answer
from app.gateway.operations import CALLBACKS

SECRET = "S3CRETs3cret" * 3
KNOWN = [
    *(
        "RealTime",
        "PunchLog",
        "Log",
        "UserUpdated",
        "UserDeleted",
        "DateModified",
        "Template",
        "DeviceInformation",
    ),
    *(
        "UserID",
        "UserId",
        "LogTime",
        "Type",
        "AttendanceType",
        "InputType",
        "Temperature",
        "FaceMask",
        "LogPhoto",
    ),
    *(
        "OperationID",
        "AuthToken",
        "Time",
        "LabelName",
        "SerialNumber",
        "OperationTime",
        "ModifiedTo",
        "FirstName",
    ),
    *("LastName", "UserType", "Index", "Size", "Data", "ReturnRowCount", "OffSet", "Status", "StatusCode"),
]
WORDS = [
    "",
    "2",
    "CheckIn",
    "Card",
    "Password",
    "2020-09-17 07:48:22 GMT +0530",
    "36.8",
    "done",
    TOKEN,
    SECRET,
]

keys = st.sampled_from(KNOWN) | st.sampled_from(KNOWN).map(str.lower) | st.text(max_size=6)
leaves = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.just(10**400)
    | st.floats()
    | st.sampled_from(WORDS)
    | st.text(st.characters(exclude_categories=()), max_size=12)
)
values = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=6),
    max_leaves=15,
)
sections = st.dictionaries(st.sampled_from(KNOWN), values, max_size=8)
documents = (
    sections | st.dictionaries(keys, values, max_size=6) | sections.map(lambda inner: {"RealTime": inner})
)


def well_formed(callback: Callback) -> None:
    for fact in callback.facts:
        user_id = getattr(fact, "user_id", "1")
        assert isinstance(user_id, str) or isinstance(fact, AttendancePhoto)
        if user_id is not None:
            assert 1 <= len(user_id) <= 128
            user_id.encode()
        if isinstance(fact, Punch):
            assert fact.at.tzinfo is not None
            assert read(fact.raw).facts
        if isinstance(fact, CredentialUpdated):
            assert 0 <= fact.index <= 99
            fact.data.encode()
    if callback.auth_token is not None:
        callback.auth_token.encode()
    assert all(problem.endswith(".") for problem in callback.problems)
    assert callback.facts or callback.problems or callback.operation


@settings(max_examples=500)
@given(documents)
def test_reading_never_raises_and_its_results_are_well_formed(document: dict[str, Any]) -> None:
    well_formed(read(document))


@settings(max_examples=300)
@given(st.sampled_from(CALLBACKS), st.data())
def test_a_documented_callback_with_any_value_changed_is_read(operation: Any, data: st.DataObject) -> None:
    document = sample(operation.name)
    part: Any = document
    while True:
        key = data.draw(st.sampled_from(list(part) if isinstance(part, dict) else range(len(part))))
        if not part[key] or not isinstance(part[key], dict | list) or data.draw(st.booleans()):
            break
        part = part[key]
    part[key] = data.draw(values)
    well_formed(read(document))


@settings(max_examples=300)
@given(documents, st.sampled_from(KNOWN), st.sampled_from(KNOWN))
def test_no_secret_is_in_a_problem(document: dict[str, Any], one: str, other: str) -> None:
    inner = document.get("RealTime")
    level = inner if isinstance(inner, dict) else document
    level |= {
        "AuthToken": SECRET,
        one: SECRET,
        "UserUpdated": {other: SECRET, "Template": {"Data": SECRET, other: 1}},
    }
    level["PunchLog"] = [{one: SECRET, other: SECRET}]
    callback = read(document)
    assert SECRET not in " ".join(callback.problems)
    for name in KNOWN:
        callback = read({"RealTime": {name: SECRET, "AuthToken": SECRET}})
        assert SECRET not in " ".join(callback.problems)


@given(st.text(string.digits, min_size=4, max_size=8))
def test_no_pin_is_in_a_problem(pin: str) -> None:
    items = [
        {"Type": "Password", "Index": pin, "Data": pin, "UserID": []},
        {"Type": pin, "Data": [pin]},
        pin,
        {pin: 1},
    ]
    updated = {"UserID": True, "OperationTime": pin, "FirstName": [pin], "Template": items}
    problems = " ".join(read({"RealTime": {"UserUpdated": updated, pin: {}}}).problems)
    assert problems
    assert pin not in problems


@settings(max_examples=300)
@given(documents)
def test_redaction_and_digest_never_raise(document: dict[str, Any]) -> None:
    orjson.dumps(redact(document))
    orjson.dumps(redact_unknown(document))
    assert len(content_digest(document)) == 16


@settings(max_examples=300)
@given(documents | values)
def test_any_response_is_read(document: Any) -> None:
    answer = parse_answer(document)
    orjson.dumps(answer.result)
    assert not any(isinstance(value, dict | list) for value in answer.result.values())
    assert answer.status_code is None or isinstance(answer.status_code, int)


@given(st.binary(max_size=100))
def test_the_check_for_older_versions_never_raises(body: bytes) -> None:
    assert old_version(body) is None or b"=" in body or b"name" in body


def test_a_document_of_any_depth_and_size_is_read() -> None:
    deep: Any = "x"
    for _ in range(50_000):
        deep = [deep]
    assert read({"RealTime": {"PunchLog": deep, "Time": deep, "Other": deep}}).facts == []
    assert read({"RealTime": {"UserUpdated": {"Template": deep, "UserID": deep}}}).facts == []
    assert read({str(number): number for number in range(100_000)}).facts == []
