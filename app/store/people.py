"""Who a user ID is: the name and employee ID that go into events and rows."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from app.store.devices import Device, Person
from app.store.employees import Employees
from app.store.users import Users


class People:
    """Asks the list of employees and the users of devices."""

    def __init__(self, users: Users, employees: Employees) -> None:
        self._users = users
        self._employees = employees

    def on_device(self, device: Device, user_ids: Iterable[str]) -> dict[str, Person]:
        """Each of the user IDs of a device."""
        wanted = set(user_ids)
        return self.everywhere(wanted, [(device, wanted)])

    def everywhere(
        self, user_ids: Collection[str], places: Iterable[tuple[Device, set[str]]]
    ) -> dict[str, Person]:
        """Each of the user IDs, called what a device calls it that is named with it."""
        names: dict[str, str] = {}
        for device, on_it in places:
            names |= {user_id: name for user_id, name in self._users.names(device, on_it).items() if name}
        employees = self._employees.of(user_ids)
        found = {user_id: Person(names.get(user_id), None) for user_id in user_ids}
        for user_id, employee in employees.items():
            found[user_id] = Person(employee.name or names.get(user_id), employee.employee_id)
        return found
