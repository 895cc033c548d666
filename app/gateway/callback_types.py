"""The content of callbacks as typed facts, between the gateway's JSON and the relay's events.

They aren't frozen, because creating a frozen one takes three times as long, and punches are the hot path. Nothing
changes them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, TypeAlias


@dataclass(slots=True)
class Punch:
    """Someone punched (#11, and a row of LoadLog, #12).

    `punch_type`, `input_type`: snake_case. `direction`: by punch_type, None for one that isn't documented.
    `temperature`: °C. `raw`: the gateway's own JSON for this punch alone, its secrets still in it. `changed_at`: its
    OperationTime, when the device wrote down these values; undocumented, and None as a rule.
    """

    operation: str
    user_id: str
    at: datetime
    punch_type: str | None
    direction: Literal["in", "out"] | None
    input_type: str | None
    temperature: float | None
    face_mask: bool | None
    raw: dict[str, object] = field(repr=False)
    changed_at: datetime | None = None


@dataclass(slots=True)
class AttendancePhoto:
    """A device took a photo at a punch (#10). `at` is None if it can't be read."""

    operation: str
    user_id: str | None
    at: datetime | None
    data: bytes = field(repr=False)
    mime: str


@dataclass(slots=True)
class UserUpdated:
    """A user was added or changed on a device (#3 to #9, if it names a user of its own).

    `operation`: by the first template's type; None if that type isn't documented.
    `credential_types`: of this user's templates that came along, each once, in order.
    """

    operation: str | None
    user_id: str
    first_name: str | None
    last_name: str | None
    user_type: str | None
    at: datetime | None
    credential_types: tuple[str, ...]


@dataclass(slots=True)
class CredentialUpdated:
    """One item of a Template array (#4 to #9).

    `operation`: by its own type; None if that isn't documented. `index`: 0 if it has none. `data`: a
    card's number, a PIN, or Base64 as the gateway sent it. `size_bytes`: of what the Base64 holds, else what
    Size says, None if neither can be read; of a card's number or a PIN its length.
    """

    operation: str | None
    user_id: str
    type: str
    index: int
    data: str = field(repr=False)
    size_bytes: int | None
    at: datetime | None


@dataclass(slots=True)
class UserDeleted:
    """A user was deleted on a device (#1)."""

    operation: str
    user_id: str
    at: datetime | None


@dataclass(slots=True)
class TimeChanged:
    """A device's clock was set by hand (#2): `at`, by the old clock or the gateway's, to `changed_to`."""

    operation: str
    changed_to: datetime
    at: datetime | None


Fact: TypeAlias = Punch | AttendancePhoto | UserUpdated | CredentialUpdated | UserDeleted | TimeChanged


@dataclass(slots=True)
class Callback:
    """A callback as read.

    `operation`: of its first fact; None if it isn't one we know. `time`: the envelope's. `problems`: a
    sentence for each thing not understood, with no token, PIN, template or photo in it; empty when all was.
    `unused`: names of fields that hold something and that no reader reads, such as "PunchLog.shift", in order.
    """

    operation: str | None
    operation_id: str | None
    auth_token: str | None = field(repr=False)
    time: datetime | None
    label: str | None
    serial: str | None
    facts: list[Fact]
    problems: list[str]
    unused: list[str] = field(default_factory=list)
