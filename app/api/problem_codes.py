"""All problem codes: the relay's own, and those for StatusCodes of the gateway."""

from __future__ import annotations

from app.base.problem_document import CODES
from app.gateway import status_codes


def problem_codes() -> list[tuple[str, str]]:
    """Return each code and what to do about it."""
    return [*CODES.items(), *status_codes.problem_codes()]
