"""The actors: web processes, dispatchers, the process for RQ's jobs, and the administrator."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rq import Queue
from rq.serializers import JSONSerializer
from rq.timeouts import BaseDeathPenalty

from app.callbacks.body import Refused
from app.callbacks.receiver import Receiver
from app.store.jobs import enqueue, queue
from app.store.server.connection import Connection
from app.store.spool.spool import Spool
from app.store.subscriptions.records import Subscription
from tests.simulation.disk import sync_of
from tests.simulation.loop import SteppedLoop
from tests.simulation.machines import Document, Machine
from tests.simulation.process import Process
from tests.simulation.world import World, is_store_error
from workers.dispatcher import Dispatcher
from workers.rq.process import _Job, _Worker

BASE_URL = "http://relay.example"
URLS = {"many": "http://many.example/hook", "strict": "http://strict.example/hook"}


class Web(Process):
    """A web process: receives callbacks, keeps up with changes of devices, and drains its spool."""

    def __init__(self, world: World, name: str, folder: str | None) -> None:
        super().__init__(world, name, world.settings_in(folder))
        self.spool: Spool | None = None
        self.receiver = self.run(self._start)

    def _start(self) -> Receiver:
        settings = self.store.settings
        if settings.spool:
            self.spool = Spool(
                settings.data_dir / "spool",
                self.store.vault,
                sync_of(self.world.disk),
                clock=self.world.wall,
                monotonic=self.world.monotonic,
                sleep=lambda seconds: None,
            )
        return Receiver(self.store, self.spool)

    def receive(self, document: Document) -> Any:
        """Return True, the status of a refusal, or FROZEN."""
        return self.run(self._receive, document.body)

    def _receive(self, body: bytes) -> Any:
        try:
            self.receiver.receive(body, [], BASE_URL)
        except Refused as refused:
            return refused.status
        except Exception as error:
            self.world.problem(f"a callback met an error: {type(error).__name__}: {error}")
            return 500
        return True

    def keep_up(self) -> None:
        self._in_background(self.receiver._keep_up)

    def drain(self) -> bool:
        """Drain the spool. Return whether all its files are still on the disk."""
        if self.spool is None:
            return True
        all_on_disk = self._in_background(self.spool.check)
        if not self.frozen:
            self._in_background(self.receiver._replay)
        return all_on_disk

    def accept_store(self) -> None:
        """Accept a foreign store, as an operator does with `cams-relay spool accept-store` or a restart."""
        identity = self.store.identity
        self.run(identity.check)
        if identity.foreign is not None:
            self.run(identity.accept)

    def _in_background(self, job: Callable[[], None]) -> bool:
        """Run a background job. Return whether it succeeded."""

        def guarded() -> bool:
            try:
                job()
            except Exception as error:
                if not is_store_error(error):
                    self.world.problem(f"a background job failed: {type(error).__name__}: {error}")
                return False
            return True

        return self.run(guarded) is True


class Delivering(Process):
    """A whole dispatcher, on its own event loop."""

    def __init__(self, world: World, name: str) -> None:
        super().__init__(world, name)
        self.loop = SteppedLoop(self)
        self._main = self.run(self._start)

    def _start(self) -> Any:
        return self.loop.create_task(self._run())

    async def _run(self) -> None:
        await Dispatcher(self.store).run()

    def step(self, rounds: int) -> bool:
        """Run this many rounds of the loop. Return whether more is ready."""
        more = bool(self.run(self.loop.step, rounds))
        if self._main.done() and not self.dead:
            error = self._main.exception()
            if error is not None:
                self.world.problem(f"a dispatcher ended: {type(error).__name__}: {error}")
        return more

    def bury(self) -> None:
        self.dead = True
        self.run(self._cancel_all)
        self.loop.close()

    def _cancel_all(self) -> None:
        for _ in range(5):
            left = self.loop.unfinished()
            if not left:
                break
            for task in left:
                task.cancel()
            self.loop.step(20)
        self.loop.step(20)


class NoTimeLimit(BaseDeathPenalty):
    """Replaces RQ's time limit for jobs, because real time means nothing in the simulation."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        pass

    def __enter__(self) -> None:
        pass

    def __exit__(self, *arguments: object) -> None:
        pass


class _Quiet(_Worker):
    death_penalty_class = NoTimeLimit

    def procline(self, message: str) -> None:
        """Leave the title of the real process unchanged."""


class Jobs(Process):
    """The process that runs RQ's jobs. `workers.rq.jobs.store()` returns the store of the process that is running."""

    def __init__(self, world: World, name: str) -> None:
        super().__init__(world, name)
        self._worker: Any = None

    def step(self) -> Any:
        """Run the next job, if there is one. Return whether there was one, or FROZEN."""
        return self.run(self._step)

    def _step(self) -> bool:
        try:
            connection = self.store.connection.rq
            if self._worker is None:
                self._worker = make_worker(self.store.connection)
            found = Queue.dequeue_any(
                self._worker.queues,
                None,
                connection=connection,
                job_class=self._worker.job_class,
                serializer=self._worker.serializer,
                death_penalty_class=NoTimeLimit,
            )
            if found is None:
                return False
            self._worker.execute_job(*found)
            return True
        except Exception as error:
            if not is_store_error(error):
                self.world.problem(f"RQ's process failed: {type(error).__name__}: {error}")
            return False


def make_worker(connection: Connection) -> Any:
    """Make a worker like the one in workers/rq/process.py."""
    jobs = queue(connection, _Job)
    return _Quiet(
        [jobs],
        connection=jobs.connection,
        job_class=jobs.job_class,
        serializer=JSONSerializer,
        prepare_for_work=False,
    )


class Administrator(Process):
    """Registers devices and webhooks, and requests replays, as through the API."""

    def register(self, machine: Machine) -> None:
        if self.run(self.store.devices.refresh, machine.device_id) is None:
            self.run(self.store.devices.register, *machine.record())
        machine.registered = True

    def remove(self, machine: Machine) -> None:
        self.run(self.store.devices.remove, machine.device_id)
        machine.registered = False

    def subscribe(self, name: str) -> None:
        self.run(self._subscribe, URLS[name], 1 if name == "strict" else 16)

    def _subscribe(self, url: str, max_in_flight: int) -> None:
        fields = {
            "target_url": url,
            "events": ("*",),
            "device_ids": frozenset(),
            "user_ids": frozenset(),
            "punch_types": frozenset(),
            "command_ids": frozenset(),
            "format": "flat",
            "description": None,
            "max_in_flight": max_in_flight,
            "batch_max": 1,
            "batch_wait_ms": 500,
            "include_card_numbers": False,
            "headers": {},
        }
        self.store.subscriptions.create(fields, self.store.events.last_entries())

    def subscriptions(self) -> list[Subscription]:
        found: list[Subscription] = self.run(self.store.subscriptions.all)
        return found

    def replay(self, subscription: Subscription, until_ms: int) -> None:
        """Request a replay of all events stored until then."""
        self.run(self._replay, subscription.id, until_ms)

    def _replay(self, subscription_id: str, until_ms: int) -> None:
        replay_id = self.store.replays.begin(subscription_id, 0, until_ms)
        enqueue(self.store.connection, "advance_replay", subscription_id, replay_id)
