"""Errors, and what actions and commands answer with, as JSON Schema 2020-12 with examples."""

from __future__ import annotations

from app.openapi.bodies import punch_row
from app.openapi.parts import Json, integer, many, one, text, words
from app.store.commands import STATUSES

_AT = "2026-11-24T03:31:46.120Z"
_DEVICE_ID = text("The device's Service Tag ID (stgid).", "ZHM1100001")
_COMMAND_ID = text("The command's id.", "cmd_004h3gw8x2m1k6p9r5t7v3y2b1")

# Errors: RFC 9457

_PROBLEM: dict[str, Json] = {
    "type": text("A URI of the kind of problem; about:blank where the status says it all.", "about:blank"),
    "title": text("The HTTP status in words.", "Unprocessable Entity"),
    "status": integer("The HTTP status.", 422),
    "detail": text("What is wrong and what to do about it.", "user_id: is required, e.g. '100'"),
    "errors": many(
        "One entry for each field or parameter at fault; missing where none is.",
        one(
            {
                "field": text("The field's name.", "user_id"),
                "message": text("What is wrong with it.", "is required, e.g. '100'"),
            }
        ),
    ),
}
PROBLEM = one(_PROBLEM, optional=("errors",), description="An error (RFC 9457).")
_ACTION_PROBLEM_MORE: dict[str, Json] = {
    "command_id": text(
        "The command's id; null where none was made.", "cmd_004h3gw8x2m1k6p9r5t7v3y2b1", null=True
    ),
    "action": text("Which action it was.", "delete-user"),
    "device_id": text("The device's Service Tag ID.", "ZHM1100001"),
    "user_id": text("The user it was about.", "100", null=True),
    "operation_id": text("The OperationID sent to the gateway.", "8x2m1k6p9r5t7v3y2b14h3gw", null=True),
    "command_status": text("How the command ended: failed, unknown or cancelled.", "failed"),
    "status_code": integer("The gateway's StatusCode.", 9, null=True),
    "status_name": text("What that code means.", "User Not Found", null=True),
    "gateway_status": text("The gateway's own text.", "USER_NOT_FOUND", null=True),
}
ACTION_PROBLEM = one(
    {
        **_PROBLEM,
        "title": text("The HTTP status in words.", "Not Found"),
        "status": integer("The HTTP status.", 404),
        "detail": text(
            "What went wrong and what to do about it.",
            "No user with this ID is on the device: add the user first.",
        ),
        **_ACTION_PROBLEM_MORE,
    },
    optional=("errors", *_ACTION_PROBLEM_MORE),
    description="An error (RFC 9457), with the gateway's answer where it gave one.",
)

# Commands

_BRIEF: dict[str, Json] = {
    "command_id": _COMMAND_ID,
    "action": text("Which action it is.", "load-log"),
    "device_id": _DEVICE_ID,
    "user_id": text("The user it is about; null where it is about none.", "100", null=True),
    "operation_id": text("The OperationID sent to the gateway.", "8x2m1k6p9r5t7v3y2b14h3gw"),
    "status": words("How far it is.", "completed", *(name for name in STATUSES if name != "completed")),
    "status_code": integer("The gateway's StatusCode; null until it answered.", 0, null=True),
    "status_name": text("What that code means.", "Success", null=True),
    "message": text("What that means for you, in a sentence.", "Carried out.", null=True),
    "gateway_status": text("The gateway's own text.", "done", null=True),
}

_LOAD_LOG: dict[str, Json] = {
    "row_count": integer("How many punches are in `logs`.", 1),
    "reported_row_count": integer("How many rows the gateway said there are.", 1, null=True),
    "published_count": integer("With publish: how many of them were new.", None, null=True),
    "logs": many("The punches, flat.", punch_row()),
}
_DEVICE_INFORMATION: dict[str, Json] = {
    "device_model": text("The model.", "Hawking Plus (f38+)"),
    "manufacturer": text("Who made it.", "Dheeram Innovations"),
    "mac_address": text("Its network address.", "00-01-A9-16-27-AB"),
    "start_date": text("Start of the licence: ISO 8601 where day and month are unmistakable.", "03/04/2024"),
    "end_date": text("End of the licence: ISO 8601 where day and month are unmistakable.", "03/04/2025"),
    "last_connected_time": text("When it was last connected.", "2025-11-13T18:03:48+05:30"),
    "registered_users": integer("Users on it.", 12),
    "registered_faces": integer("Faces on it.", 9),
    "registered_fingerprints": integer("Fingerprints on it.", 24),
    "maximum_faces_supported": integer("How many faces fit.", 5000),
    "maximum_fingerprints_supported": integer("How many fingerprints fit.", 10000),
    "maximum_attendance_logs_supported": integer("How many punches fit.", 500000),
}
COMPLETED = one(_BRIEF, description="An action that was carried out.")
# The device tells what it tells: none of its fields is certain to be there.
_WITH_RESULT = {
    "load-log": ("LoadLogCompleted", one({**_BRIEF, **_LOAD_LOG})),
    "load-device-information": (
        "LoadDeviceInformationCompleted",
        one(
            {
                **_BRIEF,
                "action": text("Which action it is.", "load-device-information"),
                **_DEVICE_INFORMATION,
            },
            optional=tuple(_DEVICE_INFORMATION),
        ),
    ),
}
UNDER_WAY = one(
    {
        **_BRIEF,
        "status": words("How far it is.", "sending", "queued", "waiting"),
        "status_code": integer("The gateway's StatusCode so far.", None, null=True),
        "status_name": text("What that code means.", None, null=True),
        "message": text("What it waits for.", None, null=True),
        "gateway_status": text("The gateway's own text so far.", None, null=True),
        "status_url": text(
            "Ask there with GET until `status` is final.", "/v1/commands/cmd_004h3gw8x2m1k6p9r5t7v3y2b1"
        ),
    },
    description="An action that is under way.",
)


def completed(action: str) -> str:
    """The name of the schema an action answers with 200: the command, and its result beside."""
    return _WITH_RESULT[action][0] if action in _WITH_RESULT else "ActionCompleted"


_COMMAND_ROW: dict[str, Json] = {
    **_BRIEF,
    "requested_by": text("The name of the API key that asked for it.", "n8n"),
    "created_at": text("When it was asked for.", _AT),
    "sent_at": text("When it was last sent to the gateway.", _AT, null=True),
    "ended_at": text("When it ended.", _AT, null=True),
    "expires_at": text("When the relay gives up on it.", "2026-11-25T03:31:46.120Z"),
    "next_poll_at": text("When the gateway is asked again.", None, null=True),
}
COMMAND = one(_COMMAND_ROW, description="A command, without its data.")
COMMAND_WITH_RESULT = one(
    {**_COMMAND_ROW, **_LOAD_LOG, **_DEVICE_INFORMATION},
    optional=(*_LOAD_LOG, *_DEVICE_INFORMATION),
    description="A command; once it is completed, with the result of its action beside.",
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
