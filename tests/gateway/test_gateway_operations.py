"""The registry contains the documented operations, and the data that each needs."""

from __future__ import annotations

import itertools
import re

import pytest
from gateway_samples import FOLDER

from app.gateway import operations
from app.gateway.operations import BY_ACTION, BY_NAME, CALLBACKS, COMMANDS, OPERATIONS

TYPES = ("card", "password", "fingerprint", "face", "palm", "user_photo")


def test_the_operations_are_those_of_the_documented_samples() -> None:
    documented = {path.name.split(".")[0] for path in FOLDER.glob("*.request.json")}
    assert {f"{operation.number:02}-{operation.name}" for operation in OPERATIONS} == documented
    assert len(list(FOLDER.iterdir())) == 2 * len(OPERATIONS)


def test_numbers_names_and_actions_are_unique_and_in_order() -> None:
    assert [operation.number for operation in OPERATIONS] == list(range(1, len(OPERATIONS) + 1))
    assert len(BY_NAME) == len(OPERATIONS) == len(CALLBACKS) + len(COMMANDS) >= 38
    assert len(BY_ACTION) == len(COMMANDS)
    assert all(re.fullmatch(r"[a-z]+(-[a-z]+)*", action) for action in BY_ACTION)


def test_descriptions_are_within_the_limits_of_openapi_tools() -> None:
    assert all(20 <= len(operation.description) <= 300 for operation in OPERATIONS)


def test_effects_are_as_documented() -> None:
    by_effect = {
        effect: {operation.action for operation in COMMANDS if operation.effect == effect}
        for effect in ("read", "write", "destructive")
    }
    assert by_effect["read"] == {"load-log", "load-device-information"}
    assert by_effect["destructive"] == {"delete-all-user", "delete-log-all", "delete-attendance-photo"}
    assert all(operation.effect is operation.action is None for operation in CALLBACKS)


def test_destructive_commands_and_enrolments_are_never_repeatable() -> None:
    assert {operation.action for operation in COMMANDS if not operation.repeatable} == {
        "delete-all-user",
        "delete-log-all",
        "delete-attendance-photo",
        "enroll-fingerprint",
    }


def test_status_8_completes_a_repeated_add_and_9_a_repeated_delete() -> None:
    done = {operation.action: operation.done_when_repeated for operation in COMMANDS}
    assert done.pop("delete-user") == 9
    assert all(code == (8 if str(action).startswith("add-user") else None) for action, code in done.items())


@pytest.mark.parametrize(
    ("action", "required", "optional"),
    [
        ("load-log", {"start_time", "end_time"}, set()),
        ("load-device-information", set(), set()),
        ("add-user-with-card", {"user_id", "card_number"}, {"first_name", "last_name", "user_type"}),
        (
            "add-user-with-palm-and-face",
            {"user_id", "palm_data", "face_data"},
            {"first_name", "last_name", "user_type", "palm_index", "face_index"},
        ),
        ("add-user-without-template", {"user_id"}, {"first_name", "last_name", "user_type"}),
        ("delete-all-user", set(), set()),
        ("enroll-fingerprint", {"user_id"}, {"first_name", "last_name"}),
        ("update-access-time", {"user_id", "start", "end"}, set()),
    ],
)
def test_fields_follow_from_the_body(action: str, required: set[str], optional: set[str]) -> None:
    operation = BY_ACTION[action]
    assert set(operation.required) == required
    assert set(operation.optional) == optional
    assert operation.fields == operation.required + operation.optional


def test_operations_are_hashable() -> None:
    assert len(set(OPERATIONS)) == len(OPERATIONS)


def test_add_user_chooses_the_documented_operation_for_each_documented_combination() -> None:
    for operation in COMMANDS:
        if operation.name.startswith("AddUser"):
            assert operations.adding(operation.credentials[::-1]) is operation


def test_add_user_accepts_every_combination_of_credentials() -> None:
    for size in range(len(TYPES) + 1):
        for wanted in itertools.combinations(TYPES, size):
            operation = operations.adding(wanted)
            assert set(operation.credentials) == set(wanted)
            assert set(wanted) <= set(BY_NAME[operation.name].credentials)
            assert {operations.CREDENTIAL_FIELDS[kind] for kind in wanted} <= set(operation.required)


def test_an_unknown_credential_is_refused() -> None:
    with pytest.raises(ValueError, match="no credential type voice"):
        operations.adding(["card", "voice"])
