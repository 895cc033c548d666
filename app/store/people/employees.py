"""The list of employees, which says who a user ID is, whatever the devices' names are. Encrypted at rest.

One user ID may belong to different people at different sites. An entry for a device takes precedence over the one for
all devices.

Processes cache people together with the version of a device's people. A change of the list therefore increases that
version for every device, and receiving a callback needs no additional reads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from heapq import nsmallest

import orjson

from app.attendance.employees import MOST_IN_ALL, Employee, too_many
from app.base.natural_order import NaturalKey, natural_key
from app.base.yielding import in_turns, let_others_run
from app.store.devices.registry import Devices
from app.store.server.connection import Connection
from app.store.server.damage import left_out
from app.store.server.keys import EMPLOYEES

_CHUNK = 500
_SEPARATOR = "\x1f"
_MOST_UNKNOWN = 100
_NAMES_A_TURN = 2_000  # comparing one takes a few microseconds


@dataclass(frozen=True, slots=True)
class Changes:
    """How many entries were new, changed, unchanged and removed, and which devices in the list aren't registered."""

    added: int
    changed: int
    unchanged: int
    removed: int
    unknown_device_ids: list[str]


# A user ID and a device ID
Place = tuple[str, str]


def employee_field(user_id: str, device_id: str | None) -> str:
    """Return an entry's field: the user ID, which has no separator, and the device ID if it is for one device."""
    return user_id if device_id is None else f"{user_id}{_SEPARATOR}{device_id}"


def split_employee_field(field: str) -> tuple[str, str | None]:
    """Return the user ID and device ID in a field."""
    user_id, found, device_id = field.rpartition(_SEPARATOR)
    return (user_id, device_id) if found else (field, None)


class Employees:
    """The stored list of employees."""

    def __init__(self, connection: Connection, devices: Devices) -> None:
        self._connection = connection
        self._devices = devices
        self._swap = connection.script("swap")

    def at(self, places: Iterable[Place]) -> dict[Place, Employee]:
        """Return the people behind user IDs on devices, if they are in the list and it isn't damaged."""
        wanted = set(places)
        general = [employee_field(user_id, None) for user_id in {user_id for user_id, _ in wanted}]
        found: dict[str, Employee] = {}
        with left_out("the list of employees"):
            found = self._of([*general, *(employee_field(*place) for place in wanted)])
        known = {place: found.get(employee_field(*place)) or found.get(place[0]) for place in wanted}
        return {place: one for place, one in known.items() if one is not None}

    def get(self, user_id: str, device_id: str | None = None) -> Employee | None:
        """Return an entry of the list: the one for all devices, or the one for a device."""
        field = employee_field(user_id, device_id)
        return self._of([field]).get(field)

    def entries(self, user_id: str) -> list[Employee]:
        """Return all entries of a user ID."""
        names = (name.decode() for name in in_turns(self._connection.redis.hkeys(EMPLOYEES), _NAMES_A_TURN))
        return list(self._of([name for name in names if split_employee_field(name)[0] == user_id]).values())

    def _of(self, fields: list[str]) -> dict[str, Employee]:
        if not fields:
            return {}
        found = {}
        for field, sealed in zip(fields, self._connection.redis.hmget(EMPLOYEES, fields), strict=True):
            if sealed is not None:
                with left_out("an employee"):
                    found[field] = self._open(field, sealed)
        return found

    def page(self, after: str, limit: int) -> tuple[list[Employee], str | None]:
        """Return employees in the natural order of user IDs, from the one after `after`, and the next cursor."""
        ids = (name.decode() for name in in_turns(self._connection.redis.hkeys(EMPLOYEES), _NAMES_A_TURN))
        least = _sort_key(after)
        keys = nsmallest(limit + 1, ((key, field) for field in ids if (key := _sort_key(field)) > least))
        following = [field for _, field in keys]
        found = self._of(following[:limit])
        shown = [found[field] for field in following[:limit] if field in found]
        return shown, following[limit - 1] if len(following) > limit else None

    def take(
        self, employees: Sequence[Employee], *, replace: bool = False, is_preview: bool = False
    ) -> Changes:
        """Add and change employees. With `replace`, all others are removed. A preview only counts the changes.

        Raises Wrong if the list would have more than MOST_IN_ALL entries.
        """
        client = self._connection.redis
        before = {_field(one): one for one in self._all()}
        new = [one for one in employees if before.get(_field(one)) != one]
        gone = list(before.keys() - {_field(one) for one in employees}) if replace else []
        added = sum(_field(one) not in before for one in new)
        if added and len(before) + added - len(gone) > MOST_IN_ALL:
            raise too_many()
        unknown = {one.device_id for one in employees if one.device_id} - set(self._devices.ids())
        changes = Changes(
            added, len(new) - added, len(employees) - len(new), len(gone), sorted(unknown)[:_MOST_UNKNOWN]
        )
        if is_preview:
            return changes
        for start in range(0, len(new), _CHUNK):
            sealed = {_field(one): self._seal(one) for one in new[start : start + _CHUNK]}
            client.hset(EMPLOYEES, mapping=sealed)
            let_others_run()
        for start in range(0, len(gone), _CHUNK):
            client.hdel(EMPLOYEES, *gone[start : start + _CHUNK])
            let_others_run()
        if new or gone:
            self._devices.forget_people()
        return changes

    def change(
        self, user_id: str, device_id: str | None, how: Callable[[Employee | None], Employee | None]
    ) -> Employee | None:
        """Replace an entry with the result of `how`; None means no entry. If `how` raises, nothing is changed.

        If another change comes between, `how` is called again with the new entry. An entry that can't be read counts as
        none. Raises Wrong if the list is full.
        """
        client, field = self._connection.redis, employee_field(user_id, device_id)
        while True:
            sealed = client.hget(EMPLOYEES, field)
            before = None
            if sealed is not None:
                with left_out("an employee"):
                    before = self._open(field, sealed)
            after = how(before)
            if after == before:
                return after
            new = b"" if after is None else self._seal(after)
            if sealed is None:
                if client.hlen(EMPLOYEES) >= MOST_IN_ALL:
                    raise too_many()
                is_written = client.hsetnx(EMPLOYEES, field, new)
            else:
                is_written = self._swap(keys=[EMPLOYEES], args=[field, sealed, new])
            if is_written:
                self._devices.forget_people()
                return after

    def _all(self) -> Iterator[Employee]:
        names = self._connection.redis.hkeys(EMPLOYEES)
        for start in range(0, len(names), _CHUNK):
            yield from self._of([name.decode() for name in names[start : start + _CHUNK]]).values()
            let_others_run()

    def _seal(self, one: Employee) -> bytes:
        # Entries without a device are written as in earlier versions, which can then still read them.
        values = one[1:] if one.device_id is not None else one[1:3]
        return self._connection.vault.seal("employee", orjson.dumps(list(values)), _field(one))

    def _open(self, field: str, sealed: bytes) -> Employee:
        employee_id, name, *more = orjson.loads(self._connection.vault.open("employee", sealed, field))
        device_id = more[0] if more else None  # earlier versions had none
        return Employee(split_employee_field(field)[0] if device_id else field, employee_id, name, device_id)


def _field(one: Employee) -> str:
    return employee_field(one.user_id, one.device_id)


def _sort_key(field: str) -> tuple[NaturalKey, str]:
    user_id, device_id = split_employee_field(field)
    return natural_key(user_id), device_id or ""
