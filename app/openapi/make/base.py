"""The base of all requests: URL, API key, error messages from the relay, and fields hidden in logs."""

from __future__ import annotations

from app.openapi.vocabulary import Json

KEY = "request.headers.authorization"

_MESSAGE = (
    "[{{statusCode}}] "
    "{{ifempty(body.detail, ifempty(body.title, 'This is not an answer of cams-relay. Check the connection.'))}}"
    "{{if(body.gateway_status, ' The gateway said: ' + body.gateway_status + '.', '')}}"
    "{{if(body.command_id, ' Command: ' + body.command_id, '')}}"
)
# Only one of the conflicts is about something that exists already.
_CONFLICT = (
    "{{if(body.code == 'user_already_exists', 'DuplicateDataError', "
    "if(body.code == 'request_in_progress', 'RateLimitError', 'DataError'))}}"
)
_KINDS = {
    400: "DataError",
    401: "InvalidAccessTokenError",
    403: "InvalidConfigurationError",
    404: "DataError",
    409: _CONFLICT,
    413: "DataError",
    422: "DataError",
    429: "RateLimitError",
    502: "ConnectionError",
    503: "ConnectionError",
}
# Kinds of fields with biometric data or with PINs that open doors, and the field with the number of a card that does.
_SECRET = ("pin", "file")
_CARD = "card_number"


def base(catalog: Json) -> Json:
    secret = {
        field["name"]
        for action in catalog["actions"]
        for field in action["fields"]
        if field["kind"] in _SECRET or field["name"] == _CARD
    }
    return {
        "baseUrl": "{{connection.url}}",
        "headers": {"authorization": "Bearer {{connection.apiKey}}"},
        "response": {"error": errors()},
        "log": {"sanitize": [KEY, *(f"request.body.{name}" for name in sorted(secret))]},
    }


def errors(may_repeat: bool = True) -> Json:
    """Return Make's error type for each status. Unless `may_repeat`, a ConnectionError becomes a RuntimeError.

    Make runs a module again after a ConnectionError, which could do harm.
    """

    def kind(status: int) -> str:
        made = _KINDS[status]
        return made if may_repeat or made != "ConnectionError" else "RuntimeError"

    return {
        "message": _MESSAGE,
        "type": "RuntimeError",
        **{str(status): {"message": _MESSAGE, "type": kind(status)} for status in _KINDS},
    }
