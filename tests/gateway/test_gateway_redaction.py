"""No secret remains after redaction, and the digest distinguishes repeated from new content."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import orjson
import pytest
from gateway_samples import TOKEN, sample

from app.gateway.callbacks import content_digest, redact, redact_unknown
from app.gateway.operations import CALLBACKS


def nested(depth: int, inside: Any = None) -> Any:
    for _ in range(depth):
        inside = {"a": [inside]}
    return inside


@pytest.mark.parametrize("name", [operation.name for operation in CALLBACKS])
def test_only_secrets_are_removed_from_a_documented_callback(name: str) -> None:
    document = sample(name)
    before = copy.deepcopy(document)
    redacted = redact(document)
    assert document == before
    expected = copy.deepcopy(document)
    expected["RealTime"]["AuthToken"] = ""
    for item in expected["RealTime"].get("UserUpdated", {}).get("Template", []):
        item["Data"] = ""
    if "Log" in expected["RealTime"]:
        expected["RealTime"]["Log"]["LogPhoto"] = ""
    assert redacted == expected


@pytest.mark.parametrize(
    "key",
    [
        "AuthToken",
        "authtoken",
        "AUTHTOKEN",
        "auth_token",
        "Auth-Token",
        "SecurityKey",
        "Security Key",
        "Password",
        "password",
        "Pin",
        "PIN",
        "LogPhoto",
        "Data",
        "Card",
        "CardNumber",
        "card_no",
        "FingerPrint",
        "Face",
        "Palm",
    ],
)
@pytest.mark.parametrize("secret", ["s3cret", 424242, ["s3cret"], {"a": "s3cret"}, [{"b": ["s3cret"]}]])
def test_secrets_are_removed_at_any_depth_in_any_spelling(key: str, secret: Any) -> None:
    for document in ({key: secret}, nested(5, {key: secret}), {"RealTime": {"x": [[{key: secret}]]}}):
        written = json.dumps(redact(document))
        assert "s3cret" not in written
        assert "424242" not in written


def test_only_identifying_fields_of_a_template_are_kept() -> None:
    template = {
        "Type": "Face",
        "UserID": "2",
        "Size": 7,
        "Index": "0",
        "Data": "x",
        "Data2": "x",
        "More": ["x"],
    }
    for section in (template, [template]):
        document = {"RealTime": {"UserUpdated": {"Template": section}}}
        (blank,) = [redact(document)["RealTime"]["UserUpdated"]["Template"]]  # type: ignore[index]
        blank = blank[0] if isinstance(blank, list) else blank
        assert blank == {**template, "Data": "", "Data2": "", "More": [""]}
    assert redact({"Template": "base64"}) == {"Template": ""}
    assert redact({"Template": ["base64", 5, None]}) == {"Template": ["", "", None]}


def test_the_input_type_password_is_not_a_secret() -> None:
    document = {
        "RealTime": {"PunchLog": {"InputType": "Password", "Type": "CheckIn", "UserID": 5, "X": None}}
    }
    assert redact(document) == document


@pytest.mark.parametrize(
    "document",
    [nested(3000), {"a": "\ud800"}, {"\udfff": 1}, {"a": 10**5000}, {"a": -(2**63), "b": 2**64}, {}],
    ids=["deep", "surrogate", "surrogate key", "huge", "64 bits", "empty"],
)
def test_unusual_documents_can_be_serialized_after_redaction(document: dict[str, Any]) -> None:
    orjson.dumps(redact(document))
    orjson.dumps(redact_unknown(document))


def test_only_envelope_and_keys_of_an_unknown_document_are_shown() -> None:
    document = {
        "RealTime": {
            "OperationID": "op1",
            "Time": "2020-09-17 04:19:03 GMT +0000",
            "LabelName": "Door",
            "SerialNumber": "ZHM1",
            "AuthToken": TOKEN,
            "DoorOpened": {"Door": 1, "By": "2", "Time": "secret", "Open": True, "List": [1, "x", None]},
        }
    }
    assert redact_unknown(document) == {
        "RealTime": {
            "OperationID": "op1",
            "Time": "2020-09-17 04:19:03 GMT +0000",
            "LabelName": "Door",
            "SerialNumber": "ZHM1",
            "AuthToken": "",
            "DoorOpened": {"Door": None, "By": "", "Time": "", "Open": None, "List": [None, "", None]},
        }
    }


def test_the_size_of_an_unknown_document_is_limited() -> None:
    wide = {str(number): [["x"] * 100] * 100 for number in range(1000)}
    assert len(orjson.dumps(redact_unknown(wide))) < 20_000
    assert len(orjson.dumps(redact_unknown({"k" * 10_000: 1, "OperationID": "x" * 10_000}))) < 500
    assert redact_unknown("secret") == ""
    assert redact_unknown(["secret", 5]) == ["", None]


def test_the_same_content_has_the_same_digest() -> None:
    document = sample("RealTimePunchLog")
    again = copy.deepcopy(document)
    again["RealTime"] = dict(reversed(again["RealTime"].items()))
    again["RealTime"]["AuthToken"] = "another"
    again["RealTime"]["Time"] = "2021-01-01 00:00:00 GMT +0000"
    assert content_digest(document) == content_digest(again)
    assert len(content_digest(document)) == 16
    bare = {"AuthToken": "a", "Time": "b", "PunchLog": {"UserID": "2"}}
    assert content_digest(bare) == content_digest({"PunchLog": {"UserID": "2"}})


def test_samples_with_the_same_operation_id_have_different_digests() -> None:
    card, password = sample("ManuallyUserUpdatedWithCard"), sample("ManuallyUserUpdatedWithPassword")
    assert card["RealTime"]["OperationID"] == password["RealTime"]["OperationID"]
    assert content_digest(card) != content_digest(password)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a": "1"}, {"a": 1}),
        ({"a": 1}, {"a": True}),
        ({"a": None}, {}),
        ({"a": [1, 2]}, {"a": [2, 1]}),
        ({"a": [[], []]}, {"a": [[[]]]}),
        ({"a": {"b": 1}, "c": 2}, {"a": {"b": 1, "c": 2}}),
        ({"a": "b", "c": "d"}, {"a": "bc", "": "d"}),
        ({"a": ""}, {"a": []}),
        ({"a": []}, {"a": {}}),
        ({"PunchLog": {"Time": "1"}}, {"PunchLog": {"Time": "2"}}),
        ({"a": "\ud800"}, {"a": "\ud801"}),
        ({"a": 10**5000}, {"a": 10**5000 + 1}),
    ],
    ids=range(12),
)
def test_different_content_has_a_different_digest(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert content_digest(one) != content_digest(other)


def test_a_digest_does_not_depend_on_depth() -> None:
    assert content_digest(nested(20_000)) == content_digest(nested(20_000))
    assert content_digest(nested(20_000)) != content_digest(nested(20_001))


@pytest.mark.parametrize("read", [content_digest, redact])
@pytest.mark.parametrize(
    "many",
    [{f"k{number}": number for number in range(20_000)}, [{"a": number} for number in range(20_000)]],
    ids=["names", "rows"],
)
def test_a_large_document_is_read_in_turns(
    monkeypatch: pytest.MonkeyPatch, read: Callable[[Any], object], many: Any
) -> None:
    """A callback of 5 MB with 300,000 names blocked everything else in the process for 9 s."""
    turns: list[None] = []
    monkeypatch.setattr("app.base.yielding.time.sleep", lambda _seconds: turns.append(None))
    read({"RealTime": {"PunchLog": many}})
    assert len(turns) >= 19
    turns.clear()
    read({"RealTime": {"PunchLog": {"UserID": "2"}}})
    assert not turns


@pytest.mark.parametrize("where", ["key", "part of a key", "inner key", "label"])
def test_the_auth_token_is_not_shown_wherever_an_unknown_document_has_it(where: str) -> None:
    token = "made-up-token-0123456789"
    envelope: dict[str, object] = {"AuthToken": token, "Odd": {"x": 1}}
    envelope |= {
        "key": {token: 1},
        "part of a key": {f"of {token}": 1},
        "inner key": {"Odd": {"y": {token: 1}}},
        "label": {"LabelName": token},
    }[where]
    assert token not in str(redact_unknown({"RealTime": envelope}))
