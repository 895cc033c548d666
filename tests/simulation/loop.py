"""An asyncio loop that runs step by step on the simulated clock, and webhook targets with planned responses."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import orjson

from workers.http.messages import Request, Response

if TYPE_CHECKING:
    from tests.simulation.process import Process


class _NoSockets(selectors.BaseSelector):
    """Waits for nothing, because the steps of the simulation make everything happen."""

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return selectors.SelectorKey(fileobj, -1, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return selectors.SelectorKey(fileobj, -1, 0, None)

    def get_key(self, fileobj: Any) -> selectors.SelectorKey:
        raise KeyError(fileobj)

    def select(self, timeout: float | None = None) -> list[Any]:
        return []

    def get_map(self) -> dict[Any, Any]:
        return {}


class SteppedLoop(asyncio.SelectorEventLoop):
    """The event loop of one dispatcher."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._tasks: list[asyncio.Task[Any]] = []
        super().__init__(_NoSockets())
        self.set_exception_handler(lambda loop, context: None)

    def time(self) -> float:
        return self._process.world.monotonic()

    def create_task(self, *arguments: Any, **named: Any) -> asyncio.Task[Any]:
        made: asyncio.Task[Any] = super().create_task(*arguments, **named)
        self._tasks.append(made)
        return made

    def unfinished(self) -> list[asyncio.Task[Any]]:
        """Return the tasks that haven't ended, oldest first."""
        self._tasks = [task for task in self._tasks if not task.done()]
        return list(self._tasks)

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *arguments: Any) -> Any:
        """Run the function at once, so that the result doesn't depend on the timing of threads."""
        future = self.create_future()
        try:
            future.set_result(func(*arguments))
        except Exception as error:
            future.set_exception(error)
        return future

    def add_signal_handler(self, *arguments: Any) -> None:
        """Do nothing: simulated processes get no signals."""

    def step(self, rounds: int) -> bool:
        """Run what is ready, in this many rounds at most. Return whether more is ready."""
        asyncio._set_running_loop(self)
        try:
            for _ in range(rounds):
                if not self._ready and not (self._scheduled and self._scheduled[0].when() <= self.time()):
                    return False
                self._run_once()
        finally:
            asyncio._set_running_loop(None)
        return True


class Targets:
    """The targets of all webhooks: the requests they got and accepted, and how they respond."""

    def __init__(self) -> None:
        self.behaviour: dict[str, str] = {}
        self.seconds = 0.05  # how long each takes to respond
        self.accepted: list[tuple[str, str, bytes]] = []  # URL, webhook-id, body
        self.begun: list[tuple[str, str]] = []  # URL, webhook-id: every attempt

    def attempt(self, request: Request) -> Response:
        headers = dict(line.split(": ", 1) for line in request.headers if ": " in line)
        name = headers["webhook-id"]
        self.begun.append((request.url, name))
        how = self.behaviour.get(request.url, "ok")
        if how in ("ok", "answer lost"):
            self.accepted.append((request.url, name, request.body))
        return {
            "ok": Response(200),
            "answer lost": Response(error="timeout", duration=15.0),
            "error": Response(500),
            "busy": Response(503, {"retry-after": "2"}),
            "away": Response(error="connect_failed"),
        }[how]

    def events(self, url: str) -> list[dict[str, Any]]:
        """Return the events that a target accepted, with batches split."""
        found: list[dict[str, Any]] = []
        for where, _, body in self.accepted:
            if where == url:
                content = orjson.loads(body)
                found += content if isinstance(content, list) else [content]
        return found


class TargetClient:
    """Replaces `workers.http.client.Client`. A call takes a moment, during which others can start."""

    def __init__(self, process: Process) -> None:
        self._process = process

    def send(self, request: Request, done: Callable[[Response], None]) -> Any:
        if self._process.dead:
            return None
        targets, loop = self._process.world.targets, self._process.loop
        response = targets.attempt(request)
        return loop.call_later(2.0 if response.error == "timeout" else targets.seconds, done, response)

    def cancel(self, handle: Any) -> None:
        if handle is not None:
            handle.cancel()

    async def close(self) -> None:
        pass
