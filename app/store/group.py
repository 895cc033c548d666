"""Calls of one script by many requests of a process, sent together: one write, one read, one sync for all of them.

Whoever finds nobody sending sends at once, so that a call alone waits for nothing. What comes meanwhile goes together
in the next round, which the first of those who wait sends.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any
from weakref import WeakKeyDictionary

import redis
from hiredis import pack_command
from redis.exceptions import AskError, NoScriptError

from app.store.cluster import LazyCluster
from app.store.connection import Connection, is_away

_Command = tuple[Any, ...]

_MOST = 64  # calls a round
_CONFIRM_MS = 2_000
_CONFIRM: dict[str, _Command] = {
    "fsync": ("WAITAOF", 1, 0, _CONFIRM_MS),
    "replica": ("WAIT", 1, _CONFIRM_MS),
}


class Unconfirmed(Exception):
    """The store can't confirm what RELAY_DURABILITY asks for, now or ever; the sentence says why."""


class _Call:
    """A call that waits at its gate until it has an answer, or until it is its turn to send."""

    __slots__ = ("answer", "answered", "command", "gate")

    def __init__(self, command: _Command) -> None:
        self.command = command
        self.answer: Any = None  # an Exception where it failed
        self.answered = False
        self.gate = threading.Lock()
        self.gate.acquire()


class GroupedScript:
    """A script whose calls are confirmed as RELAY_DURABILITY says before they return."""

    def __init__(self, connection: Connection, name: str) -> None:
        settings = connection.settings
        self._redis = connection.redis
        self._script = connection.script(name)
        # The embedded store is synced by its own means.
        self._durability = settings.durability if settings.redis_url else "os"
        self._connections: WeakKeyDictionary[Any, Any] = WeakKeyDictionary()  # by client
        self._lock = threading.Lock()
        self._waiting: list[_Call] = []
        self._sender: _Call | None = None  # whose turn it is

    def __call__(self, keys: Sequence[Any], arguments: Sequence[Any]) -> Any:
        """The script's answer. Raises redis errors and Unconfirmed."""
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
            if not call.answered:  # the request is being ended
                self._abandon(call)
        if isinstance(call.answer, Exception):
            raise call.answer
        return call.answer

    def _send_round(self) -> None:
        """Sends what waits, the sender's own call first."""
        with self._lock:
            calls, self._waiting = self._waiting[:_MOST], self._waiting[_MOST:]
        # For the others, should this request be ended while it sends: whether they are stored is not known then.
        answers: list[Any] = [redis.ConnectionError("what sent it was ended")] * len(calls)
        try:
            answers = self._send([call.command for call in calls])
        except Exception as error:
            if is_away(error):  # those that came meanwhile would only wait for the same
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
        """The first of those who still wait sends the next round."""
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

    # A round

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
                found = [error] * len(numbers)  # those at the other servers are none the worse for it
            if any(isinstance(answer, AskError) for answer in found):
                self._redis.look_again()  # and meanwhile it is away
            for number, answer in zip(numbers, found, strict=True):
                answers[number] = answer
        return answers

    def _at_one_server(self, client: Any, commands: list[_Command]) -> list[Any]:
        # Loaded by the connection that had no answer: another may lead to another server, as after a failover.
        return self._with_script(
            lambda some: self._confirmed(client, some),
            lambda script: self._exchange(client, [("SCRIPT", "LOAD", script)]),
            commands,
        )

    def _with_script(
        self, ask: Callable[[list[_Command]], list[Any]], load: Callable[[Any], Any], commands: list[_Command]
    ) -> list[Any]:
        """The answers; those asked again that a server gave which doesn't know the script (any more)."""
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
        """The servers of a Cluster, and which commands' keys each holds: confirming is done by connection."""
        servers: dict[int, tuple[Any, list[int]]] = {}
        for number, command in enumerate(commands):
            client = self._redis.at(command[3])  # its first key
            servers.setdefault(id(client), (client, []))[1].append(number)
        return list(servers.values())

    def _confirmed(self, client: Any, commands: list[_Command]) -> list[Any]:
        confirm = _CONFIRM.get(self._durability)
        answers = self._exchange(client, commands if confirm is None else [*commands, confirm])
        if confirm is None:
            return answers
        failure = self._not_confirmed(answers.pop())
        return answers if failure is None else [_worse(answer, failure) for answer in answers]

    def _exchange(self, client: Any, commands: list[_Command]) -> list[Any]:
        """What a pipeline of redis-py does, at a third of its cost; on one connection, by which confirming goes.

        The connection is kept from round to round, for only one is under way at a time.
        """
        connection = self._connections.pop(client, None) or client.connection_pool.get_connection()

        def exchange() -> list[Any]:
            connection.send_packed_command([b"".join(map(pack_command, commands))])  # one write
            return [_answer(connection) for _ in commands]

        try:
            answers: list[Any] = connection.retry.call_with_retry(exchange, lambda _: connection.disconnect())
        except BaseException:
            connection.disconnect()  # answers may be left in it
            client.connection_pool.release(connection)
            raise
        self._connections[client] = connection
        return answers

    def _not_confirmed(self, confirmed: Any) -> Exception | None:
        if isinstance(confirmed, redis.RedisError):
            return Unconfirmed(
                f"RELAY_DURABILITY={self._durability} can't be kept by this store ({confirmed}): fsync needs Redis 7.2 "
                "or Valkey with appendonly yes."
            )
        copies = confirmed[0] if self._durability == "fsync" else confirmed
        if copies < 1:
            return redis.TimeoutError(
                f"RELAY_DURABILITY={self._durability}: not confirmed in {_CONFIRM_MS} ms"
            )
        return None


def _answer(connection: Any) -> Any:
    """The next answer, an error of the store's as a value: it is that of one call only."""
    try:
        return connection.read_response()
    except redis.ResponseError as error:
        return error


def _worse(answer: Any, failure: Exception) -> Any:
    """What the script itself failed with tells more."""
    return answer if isinstance(answer, Exception) else failure
