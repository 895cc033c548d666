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
    """What a step answers while its process is frozen in it."""


FROZEN = Frozen()


class Process:
    """One process of the relay."""

    def __init__(self, world: World, name: str, settings: Settings | None = None) -> None:
        self.world = world
        self.name = name
        self.dead = False
        self.killed = False  # in the middle of something
        self.partitioned = False  # the store can't be reached by this process
        self.clock_ahead = 0.0  # seconds of its wall clock
        self.loop: Any = None
        self._frozen_in: Any = None
        self._command_faults: list[list[Any]] = []  # [commands until it happens, what]
        self._disk_faults: list[list[Any]] = []  # [what is done, times until it happens, what]
        world.everyone.append(self)
        self.store = self.run(lambda: Store(settings or world.settings))

    # Running

    def run(self, act: Callable[..., Any], *arguments: Any) -> Any:
        """What `act` answers, or FROZEN. Raises what it raises."""
        inside = greenlet.greenlet(act)
        return self._switch(inside, *arguments)

    def resume(self) -> Any:
        """Goes on where it was frozen: what that answers."""
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
        """Called from inside of what it does."""
        inside = greenlet.getcurrent()
        if inside.parent is not None and self.loop is None:
            inside.parent.switch(FROZEN)

    def die(self) -> None:
        """As kill -9: nothing of it runs on."""
        self.dead = True
        self.world.disk.process_died(self)

    def bury(self) -> None:
        """At the end of the run: what was frozen is thrown away."""
        if self._frozen_in is not None:
            before, self.world.current = self.world.current, self
            try:
                self._frozen_in.throw(greenlet.GreenletExit)
            except Exception:
                pass
            finally:
                self.world.current = before
            self._frozen_in = None

    # What fails

    @property
    def store_epoch(self) -> int:
        return self.world.store_epoch

    def reaches_store(self) -> bool:
        return not (self.dead or self.partitioned or self.world.store_away)

    def fail_command(self, after: int, what: str) -> None:
        """Has a fault happen to a command to come; 1 is the next."""
        self._command_faults.append([after, what])

    def before_command(self, name: str) -> str | None:
        """Called for each; the fault that happens to it."""
        self.world.trace(f"{self.name} {name}")
        fault = self._due(self._command_faults)
        if fault == Fault.KILL:
            self.killed = self.dead = True
            return Fault.FREEZE
        return fault

    def fail_disk(self, after: int, operation: str, what: str) -> None:
        """Has a fault happen to a write or a sync to come."""
        self._disk_faults.append([after, what, operation])

    def disk_fault(self, operation: str) -> str | None:
        found = [fault for fault in self._disk_faults if fault[2] == operation]
        what = self._due(found)
        self._disk_faults = [fault for fault in self._disk_faults if fault[0] > 0]
        self.world.trace(f"{self.name} {operation} {what or ''}")
        return what

    def heal(self) -> None:
        """Nothing fails from now on."""
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
