"""Runs plans one after the other, and finds the shortest plan that still breaks a promise."""

from __future__ import annotations

import gc
import logging
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import rq.serializers
import rq.worker
from redis.backoff import NoBackoff
from redis.retry import Retry

import app.web.application  # noqa: F401  # loads all modules that need the simulated clock
import workers.dispatcher
import workers.rq.process  # noqa: F401
from app.base.vault import Vault
from app.store.server import admission, connection
from app.store.spool import disk
from tests.simulation import promises
from tests.simulation.loop import TargetClient
from tests.simulation.plan import Step, plan
from tests.simulation.seams import Seams
from tests.simulation.stage import Stage
from tests.simulation.store import AsyncClient, Server, make_client, simulated_script
from tests.simulation.world import Listener, World
from workers import dispatcher
from workers.rq import jobs

_COLLECT_EVERY = 25  # runs


@dataclass
class Result:
    """The result of a run."""

    seed: int
    steps: list[Step]
    broken: list[str]
    digest: str
    trace: list[str] = field(default_factory=list)


class Runner:
    """Plays one plan after the other on the same store."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._server = Server(folder)
        self._world: World | None = None
        self._played = 0
        self._seams = Seams(self)
        self._listener = Listener()

    # The clock of the current run

    def wall(self) -> float:
        return self._world.wall() if self._world is not None else 0.0

    def monotonic(self) -> float:
        return self._world.monotonic() if self._world is not None else 0.0

    def _client(self, settings: Any, **options: Any) -> Any:
        assert self._world is not None and self._world.current is not None
        return make_client(self._world.current, self._server.path, **options)

    def _async_client(self, settings: Any, **options: Any) -> Any:
        return AsyncClient(self._client(settings, retry=Retry(NoBackoff(), 0)))

    def _target_client(self, *arguments: Any, **options: Any) -> Any:
        assert self._world is not None and self._world.current is not None
        return TargetClient(self._world.current)

    def _store_of_the_process(self) -> Any:
        assert self._world is not None and self._world.current is not None
        return self._world.current.store

    def install(self) -> None:
        """Make the modules of this process use the simulation."""
        seams = self._seams
        seams.install()
        # It looks at each shard; looking at a thousand takes most of the time.
        seams.put(admission, "MOST_SHARDS", 2)
        seams.put(connection, "make_client", self._client)
        seams.put(dispatcher, "make_async_client", self._async_client)
        seams.put(dispatcher, "Client", self._target_client)
        source = connection.source
        for package in ("app.", "workers."):
            seams.replace(package, source, simulated_script)
        seams.put(jobs, "store", self._store_of_the_process)
        self._save_time()
        root = logging.getLogger()
        root.addHandler(self._listener)
        for name in ("relay", "rq", "asyncio"):
            logging.getLogger(name).setLevel(logging.DEBUG if name == "relay" else logging.WARNING)
            logging.getLogger(name).propagate = name == "relay"
            logging.getLogger(name).addHandler(logging.NullHandler())

    def _save_time(self) -> None:
        """Cache results that are always the same and that every simulated process would compute again."""
        derive = Vault._key
        keys: Any = lru_cache(maxsize=None)(lambda secret, purpose: derive(Vault(secret), purpose))
        self._seams.put(
            Vault, "_key", lambda vault, purpose, age=0: keys(vault._secrets[age].decode(), purpose)
        )
        resolve = rq.serializers.resolve_serializer
        self._seams.replace("rq.", resolve, lru_cache(maxsize=None)(resolve))
        self._seams.put(logging, "_srcfile", None)  # skip finding the caller of each log call
        for name in ("logThreads", "logProcesses", "logMultiprocessing"):
            self._seams.put(logging, name, False)

    def remove(self) -> None:
        self._seams.remove()
        logging.getLogger().removeHandler(self._listener)
        self._server.stop()

    def play(self, seed: int, steps: list[Step] | None = None, *, traced: bool = False) -> Result:
        """Play the given steps, or those of the seed."""
        steps = plan(seed) if steps is None else steps
        folder = self._folder / "run"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        self._server.empty()
        self._seams.random.seed(seed)
        world = self._world = self._listener.world = World(self._server, folder)
        world.traced = [] if traced else None
        disk.os = world.disk  # type: ignore[assignment]
        try:
            stage = Stage(world)
            for step in steps:
                stage.do(step)
            stage.heal()
            found = promises.broken(stage)
        finally:
            self._end(world)
        return Result(seed, steps, found, world.digest(), world.traced or [])

    def _end(self, world: World) -> None:
        world.close()
        self._world = self._listener.world = None
        self._played += 1
        if self._played % _COLLECT_EVERY == 0:
            gc.collect()

    def shrink(self, result: Result) -> Result:
        """Return the shortest plan found that breaks the same promise."""
        kind = _kind(result)
        size = max(1, len(result.steps) // 2)
        while size:
            at = 0
            while at < len(result.steps):
                fewer = result.steps[:at] + result.steps[at + size :]
                tried = self.play(result.seed, fewer)
                if kind & _kind(tried):
                    result = tried
                else:
                    at += size
            size //= 2
        return self.play(result.seed, result.steps, traced=True)


def _kind(result: Result) -> set[str]:
    return {sentence.partition(":")[0] for sentence in result.broken}


@contextmanager
def runner() -> Iterator[Runner]:
    """Yield a runner with its own store. While it is open, this process uses the simulation."""
    with tempfile.TemporaryDirectory(prefix="simulation-") as folder:
        made = Runner(Path(folder))
        made.install()
        gc.collect()
        gc.freeze()  # loaded modules stay, so the garbage collector only looks at what the runs leave
        gc.disable()
        try:
            yield made
        finally:
            gc.enable()
            gc.unfreeze()
            made.remove()
