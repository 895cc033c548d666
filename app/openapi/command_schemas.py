"""JSON Schemas (2020-12), with examples, of errors and of the responses of actions and commands."""

from __future__ import annotations

from app.openapi.event_schemas import punch_row
from app.openapi.vocabulary import AT, Json, integer, many, one, text, words
from app.store.commands.records import STATUSES

_DEVICE_ID = text("The device's Service Tag ID (stgid).", "ZHM1100001")
_COMMAND_ID = text("The command's ID.", "cmd_004h3gw8x2m1k6p9r5t7v3y2b1")

# Errors: RFC 9457

_PROBLEM: dict[str, Json] = {
    "type": text(
        "URL of the page that explains the code.",
        "https://relay.example.com/docs/errors#invalid",
    ),
    "code": text("The kind of error, for programs. It doesn't change.", "invalid"),
    "title": text("The HTTP status in words.", "Unprocessable Entity"),
    "status": integer("The HTTP status.", 422),
    "detail": text("What is wrong and what to do about it.", 'user_id: is required, e.g. "100"'),
    "request_id": text("The request's ID, which is also in the relay's log.", "req_5d2c9f1b7a3e4c60d8f2b1a4"),
    "errors": many(
        "One entry for each invalid field, parameter or header. Omitted if there are none.",
        {
            **one(
                {
                    "pointer": text("JSON Pointer to a field in the body.", "/user_id"),
                    "parameter": text("Name of a query parameter.", "limit"),
                    "header": text("Name of a header.", "Idempotency-Key"),
                    "message": text("What is wrong with the value.", 'is required, e.g. "100"'),
                },
                optional=("pointer", "parameter", "header"),
                title="FieldError",
            ),
            "examples": [{"pointer": "/user_id", "message": 'is required, e.g. "100"'}],
        },
    ),
}
PROBLEM = one(_PROBLEM, optional=("request_id", "errors"), description="An error (RFC 9457).")
_ACTION_PROBLEM_MORE: dict[str, Json] = {
    "command_id": text(
        "The command's ID; null if no command was created.", "cmd_004h3gw8x2m1k6p9r5t7v3y2b1", null=True
    ),
    "action": text("The action.", "delete-user"),
    "device_id": text("The device's Service Tag ID.", "ZHM1100001"),
    "user_id": text("The user concerned.", "100", null=True),
    "operation_id": text("The OperationID sent to the gateway.", "8x2m1k6p9r5t7v3y2b14h3gw", null=True),
    "command_status": text("Final status of the command: failed, unknown or cancelled.", "failed"),
    "status_code": integer("The gateway's StatusCode.", 9, null=True),
    "status_name": text("Meaning of the code.", "User Not Found", null=True),
    "gateway_status": text("The gateway's own message.", "USER_NOT_FOUND", null=True),
}
ACTION_PROBLEM = one(
    {
        **_PROBLEM,
        "type": text(
            "URL of the page that explains the code.", "https://relay.example.com/docs/errors#user_not_found"
        ),
        "code": text(
            "The kind of error, for programs: the name of the gateway's StatusCode if it has one.",
            "user_not_found",
        ),
        "title": text("The HTTP status in words.", "Not Found"),
        "status": integer("The HTTP status.", 404),
        "detail": text(
            "What went wrong and what to do about it.",
            "There is no user with this ID on the device. Add the user first.",
        ),
        **_ACTION_PROBLEM_MORE,
    },
    optional=("request_id", "errors", *_ACTION_PROBLEM_MORE),
    description="An error (RFC 9457), with the gateway's response if there was one.",
)

# Commands

_BRIEF: dict[str, Json] = {
    "id": _COMMAND_ID,
    "command_id": _COMMAND_ID,
    "action": text("The action.", "load-log"),
    "device_id": _DEVICE_ID,
    "user_id": text("The user concerned, or null.", "100", null=True),
    "operation_id": text("The OperationID sent to the gateway.", "8x2m1k6p9r5t7v3y2b14h3gw"),
    "status": words(
        "Status of the command.", "completed", *(name for name in STATUSES if name != "completed")
    ),
    "status_code": integer("The gateway's StatusCode; null until it has responded.", 0, null=True),
    "status_name": text("Meaning of the code.", "Success", null=True),
    "message": text("One sentence that explains the result.", "Carried out.", null=True),
    "gateway_status": text("The gateway's own message.", "done", null=True),
}

_LOAD_LOG: dict[str, Json] = {
    "row_count": integer("Number of punches.", 1),
    "reported_row_count": integer("Number of rows reported by the gateway.", 1, null=True),
    "published_count": integer("Number of new punches that were published as events.", None, null=True),
    "logs": many("The punches.", punch_row()),
}
_DEVICE_INFORMATION: dict[str, Json] = {
    "device_model": text("The model.", "Hawking Plus (f38+)"),
    "manufacturer": text("Manufacturer.", "Dheeram Innovations"),
    "mac_address": text("The MAC address of the device.", "00-01-A9-16-27-AB"),
    "start_date": text("Start of the licence, in ISO 8601 if day and month are unambiguous.", "03/04/2024"),
    "end_date": text("End of the licence, in ISO 8601 if day and month are unambiguous.", "03/04/2025"),
    "last_connected_time": text("Time of the last connection.", "2025-11-13T18:03:48+05:30"),
    "registered_users": integer("Number of users on the device.", 12),
    "registered_faces": integer("Number of faces on the device.", 9),
    "registered_fingerprints": integer("Number of fingerprints on the device.", 24),
    "maximum_faces_supported": integer("Maximum number of faces.", 5000),
    "maximum_fingerprints_supported": integer("Maximum number of fingerprints.", 10000),
    "maximum_attendance_logs_supported": integer("Maximum number of punches.", 500000),
}
COMPLETED = one(_BRIEF, description="An action that was carried out.")
# Devices don't always return all fields, so none is required.
_WITH_RESULT = {
    "load-log": ("LoadLogCompleted", one({**_BRIEF, **_LOAD_LOG})),
    "load-device-information": (
        "LoadDeviceInformationCompleted",
        one(
            {
                **_BRIEF,
                "action": text("The action.", "load-device-information"),
                **_DEVICE_INFORMATION,
            },
            optional=tuple(_DEVICE_INFORMATION),
        ),
    ),
}
UNDER_WAY = one(
    {
        **_BRIEF,
        "status": words("Status of the command.", "sending", "queued", "waiting"),
        "status_code": integer("The gateway's latest StatusCode.", None, null=True),
        "status_name": text("Meaning of the code.", None, null=True),
        "message": text("What the command is waiting for.", None, null=True),
        "gateway_status": text("The gateway's latest message.", None, null=True),
        "status_url": text(
            "Poll this URL with GET until `status` is final.", "/v1/commands/cmd_004h3gw8x2m1k6p9r5t7v3y2b1"
        ),
    },
    description="An action whose command hasn't ended yet.",
)


def completed(action: str) -> str:
    """Return the name of the schema of an action's 200 response, which merges the command and its result."""
    return _WITH_RESULT[action][0] if action in _WITH_RESULT else "ActionCompleted"


_COMMAND_ROW: dict[str, Json] = {
    **_BRIEF,
    "code": text(
        "If the command failed, was cancelled or has an unknown outcome: the code of the action's error.",
        None,
        null=True,
    ),
    "requested_by": text("Name of the API key that sent the command.", "n8n"),
    "created_at": text("When the command was created.", AT),
    "sent_at": text("When the command was last sent to the gateway.", AT, null=True),
    "ended_at": text("When the command ended.", AT, null=True),
    "expires_at": text("When the relay gives up on the command.", "2026-11-25T03:31:46.120Z"),
    "next_poll_at": text("When the relay polls the gateway again.", None, null=True),
}
COMMAND = one(_COMMAND_ROW, description="A command, without its data.")
COMMAND_WITH_RESULT = one(
    {**_COMMAND_ROW, **_LOAD_LOG, **_DEVICE_INFORMATION},
    optional=(*_LOAD_LOG, *_DEVICE_INFORMATION),
    description="A command. Once it is completed, it includes the result of its action.",
)

COMPONENTS: dict[str, Json] = {
    "Problem": PROBLEM,
    "ActionProblem": ACTION_PROBLEM,
    "ActionCompleted": COMPLETED,
    **dict(_WITH_RESULT.values()),
    "ActionUnderWay": UNDER_WAY,
    "Command": COMMAND,
    "CommandWithResult": COMMAND_WITH_RESULT,
}
