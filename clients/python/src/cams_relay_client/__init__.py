"""Client for cams-relay: attendance events, commands and webhook signatures."""

from .client import Relay
from .errors import (
    CommandError,
    CommandNotEnded,
    Conflict,
    Forbidden,
    Invalid,
    NotFound,
    OutcomeUnknown,
    RelayError,
    TooManyRequests,
    Unauthorised,
)
from .webhooks import InvalidSignature, verify

__all__ = [
    "CommandError",
    "CommandNotEnded",
    "Conflict",
    "Forbidden",
    "Invalid",
    "InvalidSignature",
    "NotFound",
    "OutcomeUnknown",
    "Relay",
    "RelayError",
    "TooManyRequests",
    "Unauthorised",
    "verify",
]
