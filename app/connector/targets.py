"""Finds the device of a row: the one of --stgid, or the one in --devices that the device column names."""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from app.connector import cells
from app.connector.callbacks import Device
from app.connector.errors import RowError, Stop
from app.connector.rows import Reader

_SHOWN: Final = 40
_KEYS: Final = frozenset(
    (
        "stgid",
        "auth_token",
        "auth_token_env",
        "auth_token_file",
        "security_key",
        "security_key_env",
        "security_key_file",
        "label",
        "serial",
        "timezone",
    )
)


@dataclass(frozen=True, slots=True)
class Target:
    """A device, and how its rows are read. It can have its own time zone."""

    device: Device
    reader: Reader


class OneDevice:
    """All rows come from one device. If there is a device column, rows from other devices are skipped and counted."""

    def __init__(self, target: Target, names: Iterable[str]) -> None:
        self._target = target
        self._names = frozenset(_folded(name) for name in names)
        self.left_out: Counter[str] = Counter()

    def of(self, row: Mapping[str, object]) -> Target | None:
        """Return the device of a row; None for a row from another device."""
        if "device" not in row:
            return self._target
        named = cells.text(row["device"])
        if _folded(named) in self._names:
            return self._target
        self.left_out[named[:_SHOWN]] += 1
        return None


class ManyDevices:
    """The rows come from several devices, and each row names its device."""

    def __init__(self, targets: Mapping[str, Target]) -> None:
        self._targets = {_folded(name): target for name, target in targets.items()}
        self.left_out: Counter[str] = Counter()

    def of(self, row: Mapping[str, object]) -> Target:
        """Return the device of a row. Raises RowError if the device isn't listed."""
        if "device" not in row:
            raise Stop("--devices requires a column for device in --map, e.g. --map device=SN,…")
        named = cells.text(row.get("device"))
        found = self._targets.get(_folded(named))
        if found is None:
            raise RowError(f"device {named[:_SHOWN]!r} isn't in the file given with --devices")
        return found


Targets = OneDevice | ManyDevices


def read_devices(path: Path, make: Callable[[str, Mapping[str, Any]], Target]) -> ManyDevices:
    """Read the devices from a TOML file, which has a table for each value of the device column. Raises Stop."""
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise Stop(f"--devices: {path} can't be read ({error})") from None
    if not document:
        raise Stop(f'--devices: {path} contains no devices. Add a table such as ["SN-A"] for each device')
    targets: dict[str, Target] = {}
    for name, said in document.items():
        if not isinstance(said, dict):
            raise Stop(f'--devices: {name} is not in a table. Begin each device with a line such as ["SN-A"]')
        wrong = next((key for key in said if key not in _KEYS), None)
        if wrong is not None:
            raise Stop(f"--devices: {name} has an unknown key {wrong!r}. Use {', '.join(sorted(_KEYS))}")
        if not all(isinstance(value, str) for value in said.values()):
            raise Stop(f"--devices: the values of {name} must be strings in quotes")
        if any(_folded(name) == _folded(other) for other in targets):
            raise Stop(f"--devices: {name} appears twice")
        targets[name] = make(name, said)
    return ManyDevices(targets)


def _folded(name: str) -> str:
    """Normalise a device's name, so that case doesn't matter and 3, 3.0 and '3 are the same device."""
    try:
        return cells.identifier(name).casefold()
    except ValueError:
        return name.casefold()
