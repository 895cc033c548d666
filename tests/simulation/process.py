"""A simulated process, which is run one step at a time, frozen in the middle of a step, or killed."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import greenlet

from app.settings.table import Settings
from app.store import Store
from tests.simulation.store import Fault

if TYPE_CHECKING:
    from tests.simulation.world import World


class Frozen:
    """The type of FROZEN, the result of a step in which the process was frozen."""


FROZEN = Frozen()


class Process:
    """One process of the relay."""

    def __init__(self, world: World, name: str, settings: Settings | None = None) -> None:
        self.world = world
        self.name = name
        self.dead = False
        self.killed = False  # while a step was running
        self.partitioned = False  # the store can't be reached by this process
        self.clock_ahead = 0.0  # seconds by which its wall clock is ahead
        self.loop: Any = None
        self._frozen_in: Any = None
        self._command_faults: list[list[Any]] = []  # [commands until it happens, fault]
        self._disk_faults: list[list[Any]] = []  # [operations until it happens, fault, operation]
        world.everyone.append(self)
        self.store = self.run(lambda: Store(settings or world.settings))

    # Running

    def run(self, act: Callable[..., Any], *arguments: Any) -> Any:
        """Return what `act` returns, or FROZEN. Exceptions of `act` are raised."""
        inside = greenlet.greenlet(act)
        return self._switch(inside, *arguments)

    def resume(self) -> Any:
        """Continue where the process was frozen. Return the result."""
        inside, self._frozen_in = self._frozen_in, None
        return self._switch(inside) if inside is not None else None

    def _switch(self, inside: Any, *arguments: Any) -> Any:
        before, self.world.current = self.world.current, self
        try:
            answer = inside.switch(*arguments)
        finally:
            self.world.current = before
        if answer is FROZEN:
            self._frozen_in = inside
        return answer

    @property
    def frozen(self) -> bool:
        return self._frozen_in is not None

    def freeze(self) -> None:
        """Freeze the process; called from the code that it runs."""
        inside = greenlet.getcurrent()
        if inside.parent is not None and self.loop is None:
            inside.parent.switch(FROZEN)

    def die(self) -> None:
        """Die as with kill -9: no code of the process runs on."""
        self.dead = True
        self.world.disk.process_died(self)

    def bury(self) -> None:
        """Discard the frozen step at the end of the run."""
        if self._frozen_in is not None:
            before, self.world.current = self.world.current, self
            try:
                self._frozen_in.throw(greenlet.GreenletExit)
            except Exception:
                pass
            finally:
                self.world.current = before
            self._frozen_in = None

    # Faults

    @property
    def store_epoch(self) -> int:
        return self.world.store_epoch

    def reaches_store(self) -> bool:
        return not (self.dead or self.partitioned or self.world.store_away)

    def fail_command(self, after: int, what: str) -> None:
        """Make a command fail: the next one (1) or a later one."""
        self._command_faults.append([after, what])

    def before_command(self, name: str) -> str | None:
        """Return the fault of this command, if any. Called for every command."""
        self.world.trace(f"{self.name} {name}")
        fault = self._due(self._command_faults)
        if fault == Fault.KILL:
            self.killed = self.dead = True
            return Fault.FREEZE
        return fault

    def fail_disk(self, after: int, operation: str, what: str) -> None:
        """Make a write or a sync fail: the next one (1) or a later one."""
        self._disk_faults.append([after, what, operation])

    def disk_fault(self, operation: str) -> str | None:
        found = [fault for fault in self._disk_faults if fault[2] == operation]
        what = self._due(found)
        self._disk_faults = [fault for fault in self._disk_faults if fault[0] > 0]
        self.world.trace(f"{self.name} {operation} {what or ''}")
        return what

    def heal(self) -> None:
        """Remove all faults of this process."""
        self.partitioned = False
        self._command_faults.clear()
        self._disk_faults.clear()

    @staticmethod
    def _due(faults: list[list[Any]]) -> str | None:
        happens = None
        for fault in list(faults):
            fault[0] -= 1
            if fault[0] == 0:
                happens = fault[1]
                faults.remove(fault)
        return happens
