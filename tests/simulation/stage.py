"""The processes of a run, and the effect of each step of a plan on them."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from app.base import ids
from app.store.server.keys import UPKEEP
from app.store.spool.spool import Summary
from tests.simulation.actors import URLS, Administrator, Delivering, Jobs, Web
from tests.simulation.machines import BEHIND, Machine
from tests.simulation.plan import DEVICES, TARGETS, Step
from tests.simulation.process import FROZEN, Process
from tests.simulation.store import Fault
from tests.simulation.world import BEGINNING, Replay, World

FOLDERS: dict[str, str | None] = {"web0": "one", "web1": "one", "web2": None}
_HEALING_ROUNDS = 60
_ROUNDS_A_SECOND = 2
_ROUNDS_WITHOUT_THE_FROZEN = 6  # of two seconds; after five, the others stop waiting for a frozen process


class Stage:
    """Plays the steps of a plan."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.processes: dict[str, Process] = {}
        self.administrator = Administrator(world, "administrator")
        self._happened = 0
        self.replayed = False
        self._web_died = False  # a process with segments on the disk
        self._unlinked: set[str] = set()  # processes whose segments were unlinked and not written again yet
        for number, device_id in enumerate(DEVICES):
            machine = world.machines[device_id] = Machine(
                device_id, f"{number}made-up-token-of-a-device-0000"[:32]
            )
            self.administrator.register(machine)
        for name in TARGETS:
            self.administrator.subscribe(name)
        # No upkeep: it takes time, and no data is as old as the retention period.
        world.server.admin.set(UPKEEP, "")
        for name in FOLDERS:
            self.web(name).keep_up()

    # Processes are started when they are first used

    def web(self, name: str) -> Web:
        found = self.processes.get(name)
        if not isinstance(found, Web):
            found = self.processes[name] = Web(self.world, name, FOLDERS[name])
        return found

    def delivering(self, name: str) -> Delivering:
        found = self.processes.get(name)
        if not isinstance(found, Delivering):
            found = self.processes[name] = Delivering(self.world, name)
        return found

    def jobs(self) -> Jobs:
        found = self.processes.get("jobs0")
        if not isinstance(found, Jobs):
            found = self.processes["jobs0"] = Jobs(self.world, "jobs0")
        return found

    def _process(self, name: str) -> Process:
        if name in FOLDERS:
            return self.web(name)
        return self.jobs() if name == "jobs0" else self.delivering(name)

    # Steps

    def do(self, step: Step) -> None:
        """Carry out one step. A step that isn't possible at the moment does nothing."""
        name, *arguments = step
        self.world.trace(f"- {step}")
        getattr(self, f"_do_{name}")(*arguments)
        self._bury_the_killed()

    def _bury_the_killed(self) -> None:
        for name in [name for name, process in self.processes.items() if process.killed]:
            self._do_kill(name)

    def _do_happen(self, web: str | None, device_id: str, kind: str, user: str, *more: Any) -> None:
        """Something happens at a device. Its gateway may send the callback at once."""
        self._happened += 1
        machine = self.world.machines[device_id]
        getattr(machine, kind)(BEGINNING - BEHIND, self._happened, user, *more)
        document = machine.queue[-1]
        self.world.ledger.sent[document.operation_id] = document
        if web is not None:
            self._do_send(web, device_id, len(machine.queue))

    def _do_send(self, name: str, device_id: str, count: int) -> None:
        """The gateway sends a device's waiting callbacks until one isn't acknowledged."""
        web, machine, ledger = self.web(name), self.world.machines[device_id], self.world.ledger
        for document in machine.queue[:count]:
            if web.frozen:
                return
            answer = web.receive(document)
            self.world.trace(f"  {document.operation_id}: {'frozen' if answer is FROZEN else answer}")
            if answer is not True:
                return
            machine.queue.remove(document)
            ledger.acknowledge(document)

    def _do_keep_up(self, name: str) -> None:
        if not self.web(name).frozen:
            self.web(name).keep_up()

    def _do_drain(self, name: str) -> None:
        if not self.web(name).frozen and self.web(name).drain():
            self._unlinked.discard(name)

    def _do_resume(self, name: str) -> None:
        self.web(name).resume()

    def _do_dispatch(self, name: str, rounds: int) -> None:
        self.delivering(name).step(rounds)

    def _do_advance(self, seconds: float) -> None:
        self.world.advance(seconds)

    def _do_calm(self) -> None:
        """Some time passes, during which the first dispatcher does all its work."""
        for _ in range(_ROUNDS_A_SECOND):
            self.delivering("deliver0").step(200)
            self.world.advance(1 / _ROUNDS_A_SECOND)

    def _do_job(self) -> None:
        if not self.jobs().frozen:
            self.jobs().step()

    # Faults

    def _do_job_killed(self, after: int) -> None:
        """RQ's process is killed during a job, at its `after`th command."""
        if not self.jobs().frozen:
            self.jobs().fail_command(after, Fault.KILL)
            self.jobs().step()

    def _do_partition(self, name: str, whether: bool) -> None:
        self._process(name).partitioned = whether

    def _do_store(self, how: str) -> None:
        self.world.store_away = how == "away"
        self.world.store_epoch += 1
        if how == "back empty":
            self._do_empty()
        elif how == "back older":
            self._do_restore(1)

    def _do_fail(self, name: str, after: int, what: str) -> None:
        process = self._process(name)
        if what != Fault.FREEZE or process.loop is None:  # a dispatcher is frozen if nobody steps it
            process.fail_command(after, what)

    def _do_kill(self, name: str) -> None:
        """Kill a process as with kill -9. It is started again when it is next used."""
        process = self.processes.pop(name, None)
        if process is not None:
            process.die()
        if FOLDERS.get(name) is not None:
            self._web_died = True
            if name in self._unlinked:
                self._forget_spooled()
                self._unlinked.discard(name)

    def _do_clock(self, name: str, seconds: int) -> None:
        self.web(name).clock_ahead = seconds

    def _do_target(self, name: str, how: str) -> None:
        self.world.targets.behaviour[URLS[name]] = how

    def _do_snapshot(self, slot: int) -> None:
        if not self.world.foreign:
            self.world.snapshot(slot)

    def _do_restore(self, slot: int) -> None:
        if self.world.restore(slot):
            self._read_registrations()

    def _do_empty(self) -> None:
        if not self.world.foreign:
            self.world.empty()
            self._read_registrations()

    def _do_foreign(self, whether: bool) -> None:
        if whether and not self.world.foreign and not self.world.store_away:
            self.world.put_foreign_store(self._fill_foreign_store)
        elif not whether:
            self.world.put_true_store()

    def _fill_foreign_store(self) -> None:
        other = Administrator(self.world, "other administrator")
        other.register(Machine("OTHER", "x" * 32))
        other.run(other.store.identity.check)

    def _do_register(self, device_id: str) -> None:
        machine = self.world.machines[device_id]
        if not machine.registered and self._administrable():
            self.administrator.register(machine)

    def _do_remove(self, device_id: str) -> None:
        """Remove a device on purpose. The relay doesn't have to keep its earlier callbacks any longer."""
        machine = self.world.machines[device_id]
        if machine.registered and self._administrable():
            self.administrator.remove(machine)
            # Callbacks accepted from now on must be kept, even by a process that doesn't know of the removal.
            self.world.advance(0.01)
            owed = self.world.ledger.owed
            for operation_id in [name for name, owing in owed.items() if owing.device_id == device_id]:
                del owed[operation_id]

    def _do_replay(self, name: str) -> None:
        if not self._administrable():
            return
        for subscription in self.administrator.subscriptions():
            if subscription.target_url == URLS[name]:
                entries = [entry for entry, _ in self.world.events()]
                if not entries:
                    return
                stored = {ids.event_id(0, entry) for entry in entries}
                self.administrator.replay(subscription, int(entries[-1].partition("-")[0]))
                self.replayed = True
                replay = Replay(subscription.target_url, stored, len(self.world.targets.accepted))
                self.world.ledger.replays.append(replay)

    def _do_disk(self, name: str, after: int, operation: str, what: str) -> None:
        self.web(name).fail_disk(after, operation, what)

    def _do_power(self) -> None:
        """The machine of web0 and web1 loses power; the store is on another machine."""
        for name, folder in FOLDERS.items():
            if folder is not None:
                self._do_kill(name)
        self.world.disk.power_lost(self._spool())

    def _do_outside(self, what: str, where: int) -> None:
        """Something else damages the spool's files. The relay isn't to blame for the losses."""
        segments = sorted(path for path in self._spool().glob("*") if path.is_file())
        if not segments:
            return
        if what == "bit flipped":
            data = bytearray(segments[0].read_bytes())
            if data:
                data[where % len(data)] ^= 1 << where % 8
                segments[0].write_bytes(data)
                self.world.ledger.destroyed += 1
            return
        if what == "unlinked":
            segments[0].unlink()
        else:
            shutil.rmtree(self._spool())
            self._spool().mkdir()
        self._unlinked = {name for name in self.processes if FOLDERS.get(name) is not None}
        if self._web_died:
            self._forget_spooled()

    def _forget_spooled(self) -> None:
        """Callbacks that aren't in the store don't have to be kept any longer, because they may be gone."""
        stored, owed = self.world.stored(), self.world.ledger.owed
        for operation_id in [name for name in owed if name not in stored]:
            del owed[operation_id]

    def _spool(self) -> Path:
        return self.world.folder / "one" / "spool"

    # The end

    def heal(self) -> None:
        """Make everything work again, and run until all queues are empty."""
        world = self.world
        world.trace("- heal")
        world.store_away = False
        world.put_true_store()
        world.targets.behaviour.clear()
        for process in self.processes.values():
            process.heal()
        self._look_at_spool()
        for name in FOLDERS:
            if not self.web(name).frozen:
                self.web(name).accept_store()
        for machine in world.machines.values():
            self.administrator.register(machine)
        self._go_on_without_the_frozen()
        for name in FOLDERS:
            self.web(name).resume()
            self.web(name).accept_store()
        known = {subscription.target_url for subscription in self.administrator.subscriptions()}
        for name in TARGETS:
            if URLS[name] not in known:
                self.administrator.subscribe(name)
        before, quiet = world.progress(), 0
        for _ in range(_HEALING_ROUNDS):
            self._healthy_second()
            after = world.progress()
            waiting = any(after[2:])  # for the webhooks
            quiet = quiet + 1 if after == before and not waiting and self._settled() else 0
            if quiet == 2:
                return
            before = after
            world.targets.seconds = 0.0  # so that a strict webhook can get many deliveries in one second

    def _look_at_spool(self) -> None:
        """Check that the spool shows every acknowledged callback that isn't in the store yet."""
        world, summary = self.world, self.summary()
        if summary is None:
            return
        stored_callbacks = world.stored_callbacks()
        absent = sum(1 for name in world.ledger.owed if name not in stored_callbacks)
        shown = summary.waiting + summary.parked
        if absent > shown and not world.ledger.destroyed and not self._unlinked:
            world.problem(f"of {absent} callbacks that are not in the store the spool shows {shown}")

    def _go_on_without_the_frozen(self) -> None:
        """Of two processes that share a folder, one drains the spool while the other is frozen."""
        living = [
            name for name, folder in FOLDERS.items() if folder is not None and not self.web(name).frozen
        ]
        if len(living) != 1:
            return
        for _ in range(_ROUNDS_WITHOUT_THE_FROZEN):
            summary = self.summary()
            if summary is None or not summary.waiting:
                return
            self._do_keep_up(living[0])
            self._do_drain(living[0])
            self.world.advance(2)
        self.world.problem(f"{summary.waiting} callbacks wait for a process that is frozen")

    def summary(self) -> Summary | None:
        """Return the spool's summary by a process that isn't frozen."""
        for name, folder in FOLDERS.items():
            web = self.web(name)
            if folder is not None and not web.frozen and web.spool is not None:
                found: Summary = web.run(web.spool.summary)
                return found
        return None

    def _healthy_second(self) -> None:
        for name in FOLDERS:
            self._do_keep_up(name)
            self._do_drain(name)
        for device_id in DEVICES:
            self._do_send("web0", device_id, 100)
        if "deliver1" in self.processes:
            self.delivering("deliver1").step(200)
        self._do_calm()
        while self.jobs().step() is True:
            pass

    def _settled(self) -> bool:
        return self.world.handed_out() and not any(machine.queue for machine in self.world.machines.values())

    # Queries

    def _administrable(self) -> bool:
        return not self.world.store_away and not self.world.foreign

    def _read_registrations(self) -> None:
        known = {name.decode() for name in self.world.server.admin.hkeys("{g}:devices")}
        for machine in self.world.machines.values():
            machine.registered = machine.device_id in known
