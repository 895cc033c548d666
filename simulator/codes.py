"""Status codes of the command answers, and the refusal that carries one.

The documented table of the Cams Web API 3.0 ("Response Status Codes"), and other codes from real gateways.
"""

from enum import IntEnum


class Code(IntEnum):
    """A `StatusCode`. 19 to 38 aren't documented, but users of the API have reported them."""

    SUCCESS = 0
    INVALID_REQUEST_DATA = 1
    INVALID_SERVICE_TAG_ID = 2
    INVALID_REQUEST = 3
    INVALID_ENCRYPTION = 4
    DEVICE_OFFLINE = 5
    OPERATION_TIMEOUT = 6
    INVALID_AUTH_TOKEN = 7
    USER_ALREADY_EXISTS = 8
    USER_NOT_FOUND = 9
    TEMPLATE_ERROR = 10
    DEVICE_MEMORY_FULL = 11
    INVALID_SECURITY_KEY = 13
    FEATURE_NOT_SUPPORTED = 15
    PLAIN_TEXT_NOT_ALLOWED = 19
    NOT_ON_API_3 = 29
    OPERATION_NOT_ENABLED = 33
    ANOTHER_CALL_IN_PROGRESS = 37
    UNKNOWN_ERROR = 999


def status_text(code: int) -> str:
    """Return the `Status` for a code: `done`, or the upper-case form in real errors."""
    if code == Code.SUCCESS:
        return "done"
    try:
        return f"API_RESPONSE_{Code(code).name}"
    except ValueError:
        return f"API_RESPONSE_CODE_{code}"


class Refused(Exception):
    """The gateway or the device refuses. `code` is the StatusCode of the answer."""

    def __init__(self, code: Code, why: str) -> None:
        super().__init__(why)
        self.code = code
        self.why = why


class AccessDenied(Exception):
    """A person is refused at the device (disabled, or outside the access time): no log row, no callback."""
