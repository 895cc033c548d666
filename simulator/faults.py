"""Wrong answers on request, which the next commands of a device get instead of the true ones."""

from collections.abc import Mapping
from dataclasses import dataclass, fields


@dataclass(frozen=True)
class Fault:
    """One answer to come. Without a status_code, http_status, body or drop it only delays the right one.

    With `carry_out` the command is done all the same and only its answer is lost or wrong.
    """

    status_code: int | None = None
    status: str | None = None
    http_status: int | None = None
    body: str | None = None
    drop: bool = False
    delay: float = 0.0
    carry_out: bool = False

    @property
    def replaces_answer(self) -> bool:
        given = (self.status_code, self.http_status, self.body)
        return self.drop or any(value is not None for value in given)


def faults_from_json(data: object) -> list[Fault]:
    """A fault or a list of them; `times` repeats one. ValueError for anything else."""
    items = data if isinstance(data, list) else [data]
    return [fault for item in items for fault in _read(item)]


def _read(item: object) -> list[Fault]:
    if not isinstance(item, Mapping):
        raise ValueError("a fault must be an object")
    values = dict(item)
    times = values.pop("times", 1)
    if not isinstance(times, int) or not 1 <= times <= 10000:
        raise ValueError("times must be 1 to 10000")
    shapes = {field.name: field.type for field in fields(Fault)}
    for name, value in values.items():
        shape = shapes.get(name)
        if shape is None:
            raise ValueError(f"unknown fault {name!r}; use {', '.join(shapes)} or times")
        allowed = int | float if shape is float else shape
        if not isinstance(value, allowed):  # type: ignore[arg-type]  # a class or a union of classes
            raise ValueError(f"the fault's {name} has the wrong type")
    return [Fault(**values)] * times
