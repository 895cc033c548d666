"""Exceptions for the relay's errors (problem+json, RFC 9457)."""

from __future__ import annotations

from typing import Any


class RelayError(Exception):
    """An error that the relay answered with. Check `code`, which is stable. The texts can change."""

    def __init__(self, status: int, problem: dict[str, Any], retry_after: float | None = None) -> None:
        self.status = status
        self.problem = problem
        """The whole answer."""
        self.code: str = problem.get("code") or ""
        self.detail: str = problem.get("detail") or problem.get("title") or f"HTTP {status}"
        self.request_id: str | None = problem.get("request_id")
        self.errors: list[dict[str, Any]] = problem.get("errors") or []
        """The faults in the request, each with `message` and `pointer`, `parameter` or `header`."""
        self.retry_after = retry_after
        """Seconds after which the request can be sent again, or None."""
        super().__init__(f"{status} {self.code}: {self.detail}")


class Unauthorised(RelayError):
    """401: the API key is missing, wrong or has expired."""


class Forbidden(RelayError):
    """403: the API key doesn't have the scope."""


class NotFound(RelayError):
    """404: there is nothing with this ID."""


class Conflict(RelayError):
    """409: it already exists, or its state doesn't allow the request."""


class Invalid(RelayError):
    """422: a field or a parameter is wrong. `errors` names each."""


class TooManyRequests(RelayError):
    """429: a limit was reached, and repeating the request didn't help."""


class CommandError(RelayError):
    """A command failed or was cancelled. `code` says why, such as `user_not_found`."""

    @property
    def command_id(self) -> str:
        """The command's ID."""
        return str(self.problem.get("command_id", ""))


class OutcomeUnknown(CommandError):
    """A command may have been carried out. Check the device before you send it again."""


class CommandNotEnded(TimeoutError):
    """A command hasn't ended yet, for example because its device is offline. It can still be carried out."""

    def __init__(self, command_id: str, status: str) -> None:
        self.command_id = command_id
        super().__init__(f"The command {command_id} hasn't ended yet. Its status is {status}.")


BY_STATUS: dict[int, type[RelayError]] = {
    401: Unauthorised,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    422: Invalid,
    429: TooManyRequests,
}


def error_of(status: int, problem: dict[str, Any], retry_after: float | None = None) -> RelayError:
    """Return the exception for an answer."""
    kind = BY_STATUS.get(status, RelayError)
    if problem.get("command_id"):
        unknown = problem.get("code") == "outcome_unknown" or problem.get("command_status") == "unknown"
        kind = OutcomeUnknown if unknown else CommandError
    return kind(status, problem, retry_after)
