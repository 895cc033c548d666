"""The people behind user IDs: names and employee IDs for events and rows."""

from __future__ import annotations

from collections.abc import Iterable

from app.attendance.employees import Employee
from app.store.devices.registry import Device, Person
from app.store.people.employees import Employees, Place
from app.store.people.users import Users


class People:
    """Finds people in the list of employees and among the users of devices."""

    def __init__(self, users: Users, employees: Employees) -> None:
        self._users = users
        self._employees = employees

    def on_device(self, device: Device, user_ids: Iterable[str]) -> dict[str, Person]:
        """Return the person behind each user ID of a device."""
        wanted = set(user_ids)
        names = self.names([(device, wanted)])
        employees = self.employees((user_id, device.id) for user_id in wanted)
        return {
            user_id: person(employees.get((user_id, device.id)), names.get((user_id, device.id)))
            for user_id in wanted
        }

    def names(self, places: Iterable[tuple[Device, set[str]]]) -> dict[Place, str]:
        """Return the devices' names for their users, if they have any."""
        return {
            (user_id, device.id): name
            for device, user_ids in places
            for user_id, name in self._users.names(device, user_ids).items()
            if name
        }

    def employees(self, places: Iterable[Place]) -> dict[Place, Employee]:
        """Return the employees behind user IDs on devices, if they are in the list of employees."""
        return self._employees.at(places)


def person(employee: Employee | None, name: str | None) -> Person:
    """Combine an employee and the name on a device to a person; both may be missing."""
    if employee is None:
        return Person(name, None)
    return Person(employee.name or name, employee.employee_id)
