"""The list of employees: who a user ID is, whatever the devices call them. Sealed at rest.

Processes remember whom they know under the version of a device's people; so whoever changes the list counts that up for
every device, and the path of a callback asks for nothing more than it did without.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice

import orjson

from app.employees import Employee
from app.store.connection import Connection
from app.store.devices import Devices
from app.store.keys import EMPLOYEES

_CHUNK = 1_000


@dataclass(frozen=True, slots=True)
class Changes:
    """How many of a list were new, different, the same, and taken away."""

    added: int
    changed: int
    unchanged: int
    removed: int


class Employees:
    """What is kept of employees."""

    def __init__(self, connection: Connection, devices: Devices) -> None:
        self._connection = connection
        self._devices = devices

    def of(self, user_ids: Iterable[str]) -> dict[str, Employee]:
        """The employees among user IDs."""
        wanted = list(user_ids)
        if not wanted:
            return {}
        stored = self._connection.redis.hmget(EMPLOYEES, wanted)
        return {
            user_id: self._open(user_id, sealed)
            for user_id, sealed in zip(wanted, stored, strict=True)
            if sealed is not None
        }

    def page(self, after: str, limit: int) -> tuple[list[Employee], bool]:
        """Employees by user ID, those after `after`; and whether there are more."""
        ids = sorted(name.decode() for name in self._connection.redis.hkeys(EMPLOYEES))
        following = list(islice((user_id for user_id in ids if user_id > after), limit + 1))
        found = self.of(following[:limit])
        return [found[user_id] for user_id in following[:limit] if user_id in found], len(following) > limit

    def take(self, employees: Sequence[Employee], *, replace: bool = False) -> Changes:
        """Adds and changes employees; with `replace`, those who are not among them are removed."""
        client = self._connection.redis
        before = {
            name.decode(): self._open(name.decode(), sealed)
            for name, sealed in client.hgetall(EMPLOYEES).items()
        }
        new = [one for one in employees if before.get(one.user_id) != one]
        gone = before.keys() - {one.user_id for one in employees} if replace else set()
        for start in range(0, len(new), _CHUNK):
            chunk = new[start : start + _CHUNK]
            client.hset(EMPLOYEES, mapping={one.user_id: self._seal(one) for one in chunk})
        if gone:
            client.hdel(EMPLOYEES, *gone)
        if new or gone:
            self._devices.forget_people()
        added = sum(one.user_id not in before for one in new)
        return Changes(added, len(new) - added, len(employees) - len(new), len(gone))

    def remove(self, user_id: str) -> bool:
        """Removes one; False if there is none."""
        if not self._connection.redis.hdel(EMPLOYEES, user_id):
            return False
        self._devices.forget_people()
        return True

    def _seal(self, one: Employee) -> bytes:
        return self._connection.vault.seal("employee", orjson.dumps(list(one[1:])), one.user_id)

    def _open(self, user_id: str, sealed: bytes) -> Employee:
        return Employee(user_id, *orjson.loads(self._connection.vault.open("employee", sealed, user_id)))
