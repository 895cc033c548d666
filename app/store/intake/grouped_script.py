"""Sends the script calls of many requests of a process together, with one write, one read and one sync for all.

If no round is in progress, a call is sent at once, so that a single call never waits. Calls that arrive meanwhile are
sent together in the next round, by the first of those that wait.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any
from weakref import WeakKeyDictionary

import redis
from redis.exceptions import AskError, NoScriptError

from app.store.server.append_only_sync import CONFIGURED_SYNC, is_synced_each_write
from app.store.server.cluster import LazyCluster
from app.store.server.connection import Connection, is_away
from app.store.server.redis_internals import KeptConnections
from app.store.server.wrong_types import note

_Command = tuple[Any, ...]

_MOST = 64  # calls per round
_MOST_CONFIRMED = 1_000  # the same with a confirmation: a server may sync its file only once a second
_CONFIRM_MS = 2_000
_ASK_AGAIN_S = 60.0  # after this, a server that couldn't confirm is tried again
_WAIT_FOR_DISK: _Command = ("WAITAOF", 1, 0, _CONFIRM_MS)
_CONFIRM: dict[str, _Command] = {
    "auto": _WAIT_FOR_DISK,
    "fsync": _WAIT_FOR_DISK,
    "replica": ("WAIT", 1, _CONFIRM_MS),
}


class Unconfirmed(Exception):
    """The store can't confirm what RELAY_DURABILITY requires, now or ever. The message says why."""


class _Call:
    """A call that waits until it has an answer, or until it is its turn to send."""

    __slots__ = ("answer", "answered", "command", "gate")

    def __init__(self, command: _Command) -> None:
        self.command = command
        self.answer: Any = None  # an exception if the call failed
        self.answered = False
        self.gate = threading.Lock()
        self.gate.acquire()


class GroupedScript:
    """A script whose calls return once they are confirmed according to RELAY_DURABILITY."""

    def __init__(self, connection: Connection, name: str) -> None:
        settings = connection.settings
        self._redis = connection.redis
        self._script = connection.script(name)
        # The embedded store syncs its file by itself.
        self._durability = settings.durability if settings.redis_url else "os"
        self._most = _MOST if self._durability == "os" else _MOST_CONFIRMED
        self._connections = KeptConnections()
        # server → whether it syncs each write, and when to ask again
        self._syncing: WeakKeyDictionary[Any, tuple[bool, float]] = WeakKeyDictionary()
        self._lock = threading.Lock()
        self._waiting: list[_Call] = []
        self._sender: _Call | None = None  # the call whose turn it is to send

    def __call__(self, keys: Sequence[Any], arguments: Sequence[Any]) -> Any:
        """Call the script and return its answer. Raises redis errors and Unconfirmed."""
        call = _Call(("EVALSHA", self._script.sha, len(keys), *keys, *arguments))
        with self._lock:
            self._waiting.append(call)
            if self._sender is None:
                self._sender = call
                call.gate.release()
        try:
            call.gate.acquire()
            if not call.answered:
                self._send_round()
        finally:
            if not call.answered:  # the request is being aborted
                self._abandon(call)
        if isinstance(call.answer, Exception):
            note(self._redis, call.answer, [call.command])
            raise call.answer
        return call.answer

    def _send_round(self) -> None:
        """Send the waiting calls, the sender's own first."""
        with self._lock:
            calls, self._waiting = self._waiting[: self._most], self._waiting[self._most :]
        # If this request is aborted while sending, the others get this error: it isn't known whether they are stored.
        answers: list[Any] = [redis.ConnectionError("the request that sent this call ended")] * len(calls)
        try:
            answers = self._send([call.command for call in calls])
        except Exception as error:
            if is_away(error):  # those that came meanwhile would wait for the same failure
                with self._lock:
                    calls, self._waiting = calls + self._waiting, []
            answers = [error] * len(calls)
        finally:
            for call, answer in zip(calls, answers, strict=True):
                call.answer = answer
                call.answered = True
                call.gate.release()
            self._pass_on()

    def _pass_on(self) -> None:
        """Let the first waiting call send the next round."""
        with self._lock:
            self._sender = self._waiting[0] if self._waiting else None
            if self._sender is not None:
                self._sender.gate.release()

    def _abandon(self, call: _Call) -> None:
        with self._lock:
            if call in self._waiting:
                self._waiting.remove(call)
            sends = self._sender is call
        if sends:
            self._pass_on()

    # One round

    def _send(self, commands: list[_Command]) -> list[Any]:
        if not isinstance(self._redis, LazyCluster):
            return self._at_one_server(self._redis, commands)
        if self._durability == "os":
            return self._with_script(self._pipelined, self._redis.script_load, commands)
        answers: list[Any] = [None] * len(commands)
        for client, numbers in self._by_server(commands):
            try:
                found = self._at_one_server(client, [commands[number] for number in numbers])
            except Exception as error:
                if not is_away(error):
                    raise
                found = [error] * len(numbers)  # the calls to other servers aren't affected
            if any(isinstance(answer, AskError) for answer in found):
                self._redis.look_again()  # until then, the store is away
            for number, answer in zip(numbers, found, strict=True):
                answers[number] = answer
        return answers

    def _at_one_server(self, client: Any, commands: list[_Command]) -> list[Any]:
        # Loaded over the same connection: another one may lead to another server, for example after a failover.
        return self._with_script(
            lambda some: self._confirmed(client, some),
            lambda script: self._exchange(client, [("SCRIPT", "LOAD", script)]),
            commands,
        )

    def _with_script(
        self, ask: Callable[[list[_Command]], list[Any]], load: Callable[[Any], Any], commands: list[_Command]
    ) -> list[Any]:
        """Return the answers. If a server doesn't know the script (any more), it is loaded and called again."""
        answers = ask(commands)
        unknown = [number for number, answer in enumerate(answers) if isinstance(answer, NoScriptError)]
        if unknown:
            load(self._script.script)
            for number, answer in zip(unknown, ask([commands[number] for number in unknown]), strict=True):
                answers[number] = answer
        return answers

    def _pipelined(self, commands: list[_Command]) -> list[Any]:
        pipeline = self._redis.pipeline(transaction=False)
        for command in commands:
            pipeline.execute_command(*command)
        answers: list[Any] = pipeline.execute(raise_on_error=False)
        return answers

    def _by_server(self, commands: list[_Command]) -> list[tuple[Any, list[int]]]:
        """Group the commands by the servers of a Cluster with their keys, as confirming works per connection."""
        servers: dict[int, tuple[Any, list[int]]] = {}
        for number, command in enumerate(commands):
            client = self._redis.at(command[3])  # the command's first key
            servers.setdefault(id(client), (client, []))[1].append(number)
        return list(servers.values())

    def _confirmed(self, client: Any, commands: list[_Command]) -> list[Any]:
        confirm = _CONFIRM.get(self._durability)
        if confirm is None or (self._durability == "auto" and not self._syncs_each_write(client)):
            return self._exchange(client, commands)
        answers = self._exchange(client, [*commands, confirm])
        confirmed = answers.pop()
        failure = self._not_confirmed(confirmed)
        if failure is None:
            return answers
        if self._durability == "auto" and isinstance(failure, Unconfirmed):
            self._syncing[client] = (False, time.monotonic() + _ASK_AGAIN_S)
            return answers
        return [_worse(answer, failure) for answer in answers]

    def _syncs_each_write(self, client: Any) -> bool:
        """Return whether a confirmation comes at once; the server is asked once a minute."""
        syncs, ask_at = self._syncing.get(client, (False, 0.0))
        if time.monotonic() >= ask_at:
            (setting,) = self._exchange(client, [CONFIGURED_SYNC])
            syncs = is_synced_each_write(setting)
            self._syncing[client] = (syncs, time.monotonic() + _ASK_AGAIN_S)
        return syncs

    def _exchange(self, client: Any, commands: list[_Command]) -> list[Any]:
        """Return the answers of one connection, as confirming works per connection. Only one round runs at a time."""
        return self._connections.exchange(client, commands)

    def _not_confirmed(self, confirmed: Any) -> Exception | None:
        if isinstance(confirmed, redis.RedisError):
            if is_away(confirmed):
                return confirmed
            return Unconfirmed(
                f"RELAY_DURABILITY={self._durability} isn't supported by this store ({confirmed}). fsync "
                "requires Redis 7.2 or later, or Valkey, with appendonly yes."
            )
        copies = confirmed if self._durability == "replica" else confirmed[0]
        if copies < 1:
            return redis.TimeoutError(
                f"RELAY_DURABILITY={self._durability}: the store did not confirm the write within {_CONFIRM_MS} ms"
            )
        return None


def _worse(answer: Any, failure: Exception) -> Any:
    """Return the more informative error: one of the script itself comes first."""
    return answer if isinstance(answer, Exception) else failure
