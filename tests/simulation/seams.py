"""Replaces the clock and randomness in every module of the relay and RQ with simulated ones.

A run must not depend on this machine. Modules use `time`, `datetime`, `random`, `secrets` and `uuid` through these
modules' names, so they are replaced there.
"""

from __future__ import annotations

import datetime as datetime_module
import random
import secrets
import sys
import time
import uuid
from collections.abc import Callable
from datetime import datetime
from types import ModuleType, SimpleNamespace
from typing import Any, Protocol

PREFIXES = ("app.", "workers.", "rq.")


class Clock(Protocol):
    """The clock that the replaced modules use."""

    def wall(self) -> float:
        """Return the seconds since 1970 according to the current process."""

    def monotonic(self) -> float:
        """Return the seconds of a clock that nobody sets."""


class _Time:
    """Replaces the module `time`. Sleeping doesn't advance the clock, because no step may wait for another one."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def time(self) -> float:
        return self._clock.wall()

    def time_ns(self) -> int:
        return int(self._clock.wall() * 1e9)

    def monotonic(self) -> float:
        return self._clock.monotonic()

    perf_counter = monotonic

    def sleep(self, seconds: float) -> None:
        pass

    def __getattr__(self, name: str) -> Any:
        return getattr(time, name)


class _DatetimeType(type):
    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, datetime)


def _datetime(clock: Clock) -> Any:
    """Return a class like `datetime` whose present time is the simulated one. It creates real datetimes."""

    class SimulatedDatetime(datetime, metaclass=_DatetimeType):
        def __new__(cls, *arguments: Any, **named: Any) -> Any:
            return datetime(*arguments, **named)

        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return datetime.fromtimestamp(clock.wall(), tz)

        @classmethod
        def utcnow(cls) -> Any:
            return datetime.fromtimestamp(clock.wall(), datetime_module.UTC).replace(tzinfo=None)

    return SimulatedDatetime


class Seams:
    """The replacements during a simulation."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._undo: list[tuple[ModuleType, str, Any]] = []
        self.random = random.Random(0)

    def install(self) -> None:
        """Replace them in all modules loaded by now."""
        chance = self.random
        moment = _datetime(self._clock)
        random_ids = SimpleNamespace(uuid4=self._uuid, UUID=uuid.UUID)
        replaced: list[tuple[Any, Any]] = [
            (time, _Time(self._clock)),
            (datetime, moment),
            (datetime_module, SimpleNamespace(**{**vars(datetime_module), "datetime": moment})),
            (random, chance),
            (random.uniform, chance.uniform),
            (secrets, _secrets(chance)),
            (uuid, random_ids),
            (uuid.uuid4, self._uuid),
        ]
        for name, module in list(sys.modules.items()):
            if name.startswith(PREFIXES):
                for attribute, value in list(vars(module).items()):
                    for real, simulated in replaced:
                        if value is real or (callable(value) and value == real and real is random.uniform):
                            self.put(module, attribute, simulated)

    def put(self, module: Any, attribute: str, value: Any) -> None:
        """Replace one attribute until `remove` is called."""
        self._undo.append((module, attribute, getattr(module, attribute)))
        setattr(module, attribute, value)

    def replace(self, prefix: str, real: Any, simulated: Any) -> None:
        """Replace an object under every name that it has in modules with this prefix."""
        for name, module in list(sys.modules.items()):
            if name.startswith(prefix):
                for attribute, value in list(vars(module).items()):
                    if value is real:
                        self.put(module, attribute, simulated)

    def remove(self) -> None:
        """Undo all replacements."""
        for module, attribute, value in reversed(self._undo):
            setattr(module, attribute, value)
        self._undo.clear()

    def _uuid(self) -> uuid.UUID:
        return uuid.UUID(int=self.random.getrandbits(128), version=4)


def _secrets(chance: random.Random) -> Any:
    def token_hex(count: int = 32) -> str:
        return chance.randbytes(count).hex()

    names: dict[str, Callable[..., Any]] = {
        "token_hex": token_hex,
        "token_bytes": lambda count=32: chance.randbytes(count),
        "randbits": chance.getrandbits,
    }
    return SimpleNamespace(**{**{name: getattr(secrets, name) for name in secrets.__all__}, **names})
