"""The simulated devices: their events, as callbacks that their gateway keeps until they are acknowledged."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

USERS = ("1", "2")
PUNCH_TYPES = ("CheckIn", "CheckOut", "BreakOut", "BreakIn")
BEHIND = 100_000  # seconds by which the devices' clocks are behind: the relay doesn't believe a clock that is ahead
INSTANTS = 2  # number of times of day for punches; so few that corrections occur
OPPOSITES = 1  # the instant at which an in and an out are two punches, because no row has an OperationTime
CARDS = ("Card", "Fingerprint", "Password")

# A key identifies a value: (punch, device, user, instant, direction or None for any), (profile, device, user), or
# (credential, device, user, type, index). A value of None means that it was deleted.
Key = tuple[Any, ...]


@dataclass(frozen=True)
class Document:
    """A callback and its content."""

    operation_id: str
    device_id: str
    happened: int  # simulated seconds by the device's own clock; unique
    body: bytes = field(repr=False)
    values: dict[Key, str] = field(hash=False)
    deletes: str | None = None  # the deleted user

    def is_outdated_by(self, others: list[Document]) -> bool:
        """Return whether all its values were changed later; for a deletion, whether its user was changed at all."""
        newer = [other for other in others if other.happened > self.happened]
        if self.deletes is not None:
            return any(other.concerns(self.device_id, self.deletes) for other in newer)
        return all(any(other.says(key) for other in newer) for key in self.values)

    def concerns(self, device_id: str, user: str) -> bool:
        """Return whether it changes a user, not just a punch."""
        changed = any(key[0] != "punch" and key[1:3] == (device_id, user) for key in self.values)
        return changed or (self.device_id, self.deletes) == (device_id, user)

    def says(self, key: Key) -> bool:
        """Return whether it changes the key's value."""
        is_deleted = key[0] != "punch" and key[1:3] == (self.device_id, self.deletes)
        return is_deleted or key in self.values


@dataclass
class Machine:
    """A device, and the queue of its callbacks at the gateway."""

    device_id: str
    token: str
    registered: bool = False
    queue: list[Document] = field(default_factory=list)
    count: int = 0
    punched: set[Key] = field(default_factory=set)

    def record(self) -> tuple[dict[str, Any], dict[str, str | None]]:
        """Return the arguments with which the device is registered."""
        public = {
            "device_id": self.device_id,
            "label": self.device_id,
            "serial_number": self.device_id,
            "gateway_url": None,
            "mode": "native",
            "timezone": "UTC",
            "silent_after_minutes": None,
            "working_hours": None,
        }
        return public, {"auth_token": self.token, "security_key": None, "previous_security_key": None}

    # Events at the device

    def punch(self, at: float, happened: int, user: str, instant: int, punch_type: str) -> None:
        """Add a punch, or correct one: the same user and instant with another type and temperature."""
        temperature = f"{36 + happened / 100:.2f}"  # identifies the revision
        log = {"Type": punch_type, "InputType": "Fingerprint", "UserId": user, "Temperature": temperature}
        log["LogTime"] = _time(at, -3600 * (1 + instant))
        direction = "in" if punch_type.endswith("In") else "out"
        key = ("punch", self.device_id, user, instant, direction if instant == OPPOSITES else None)
        if instant != OPPOSITES and key in self.punched:
            log["OperationTime"] = _time(at, happened)
        self.punched.add(key)
        self._queue(at, happened, {"PunchLog": log}, {key: f"{temperature} {_word(punch_type)}"})

    def update(self, at: float, happened: int, user: str, kind: str) -> None:
        """Change a user's profile and a credential."""
        name = f"Name{happened}"
        data = _data(kind, happened)
        template = {"Type": kind, "UserID": user, "Index": "0", "Data": data, "Size": str(len(data))}
        section = {
            "UserID": user,
            "FirstName": name,
            "OperationTime": _time(at, happened),
            "Template": [template],
        }
        values = {
            ("profile", self.device_id, user): name,
            ("credential", self.device_id, user, kind.lower(), 0): data,
        }
        self._queue(at, happened, {"UserUpdated": section}, values)

    def delete(self, at: float, happened: int, user: str) -> None:
        section = {"UserID": user, "OperationTime": _time(at, happened)}
        self._queue(at, happened, {"UserDeleted": section}, {}, user)

    def _queue(
        self,
        beginning: float,
        happened: int,
        section: dict[str, Any],
        values: dict[Key, str],
        deletes: str | None = None,
    ) -> None:
        self.count += 1
        operation_id = f"{self.device_id.lower()}op{happened}"
        envelope = {"OperationID": operation_id, "AuthToken": self.token, "Time": _time(beginning, happened)}
        body = orjson.dumps({"RealTime": {**envelope, **section}})
        self.queue.append(Document(operation_id, self.device_id, happened, body, values, deletes))

    def secrets(self) -> list[str]:
        """Return the secrets that must not appear in any output."""
        return [self.token]


def _word(punch_type: str) -> str:
    """Return the punch type as events spell it."""
    return f"{punch_type[:5].lower()}_{punch_type[5:].lower()}"


def _time(beginning: float, offset: int) -> str:
    moment = datetime.fromtimestamp(beginning, UTC) + timedelta(seconds=offset)
    return moment.strftime("%Y-%m-%d %H:%M:%S GMT %z")


def _data(kind: str, happened: int) -> str:
    if kind == "Password":
        return f"71{happened:05d}9393"
    if kind == "Card":
        return f"88{happened:05d}7788"
    return base64.b64encode(f"finger of {happened:06d}, made up".encode()).decode()
