"""Sends commands to the gateway: one at a time per device, in order; all devices side by side.

A command is marked as `sending` before it is sent. After a crash, one that may be sent twice is sent again with
the same OperationID; one that may not (destructive ones and enrolments) ends as `unknown`.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import datetime
from typing import Any, TypeVar

import orjson
from redis.exceptions import RedisError

from app.gateway import codes
from app.gateway.operations import Operation
from app.store import Store
from app.store.commands import Command, about_device, operation_of
from app.store.connection import is_away, source
from app.store.devices import ATTENDANCE_ONLY_MODES, Device
from app.store.keys import Shard
from app.store.outcomes import CommandKeys, Outcome, end_call
from workers.context import await_replica
from workers.gateway import End, Exchange, GatewayClient
from workers.http import Client
from workers.lease import LeaseLost
from workers.load_log import load_log_result

T = TypeVar("T")
log = logging.getLogger("relay.commands")

_BLOCK_MS = 1_000
_PATIENCE = 0.25
_LOOK_SECONDS = 2.0
_HOURLY = 3_600.0
_LAST_POLL_SECONDS = 1.0  # RQ keeps whole seconds: nearer to a command's end there is no poll


class CommandRunner:
    """The commands of one shard, for as long as its lease is held."""

    def __init__(
        self,
        store: Store,
        client: Any,
        http: Client,
        shard: Shard,
        token: str,
        schedule_poll: Callable[[str, str, float], Awaitable[None]],
    ) -> None:
        """`schedule_poll(device, command, at)` has an RQ job ask again at that time (s since 1970)."""
        self._store = store
        self._redis = client
        self._gateway = GatewayClient(http, store.settings.command_timeout)
        self._keys = CommandKeys(shard)
        self._token = token
        self._schedule_poll = schedule_poll
        self._begin = client.register_script(source("command_begin"))
        self._end = client.register_script(source("command_end"))
        self._hold = client.register_script(source("command_hold"))
        self._devices: dict[str, asyncio.Task[None]] = {}
        self._again: set[str] = set()  # devices that were poked while their queue was being worked off
        self._stopping = False
        self._lost = asyncio.Event()

    async def run(self) -> None:
        """Until cancelled, or until LeaseLost."""
        reading = asyncio.create_task(self._read_wake())
        losing = asyncio.create_task(self._lost.wait())
        try:
            await asyncio.wait([reading, losing], return_when=asyncio.FIRST_COMPLETED)
            if self._lost.is_set():
                raise LeaseLost
            reading.result()
        finally:
            reading.cancel()
            losing.cancel()

    async def finish(self, seconds: float) -> None:
        """Begins no further command, and waits for those that are under way."""
        self._stopping = True
        if self._devices:
            await asyncio.wait(list(self._devices.values()), timeout=seconds)
        self.drop()

    def drop(self) -> None:
        """Ends at once; what was being sent is found as `sending` by the next worker."""
        self._stopping = True
        for task in self._devices.values():
            task.cancel()

    async def _read_wake(self) -> None:
        newest = await self._persist(lambda: self._redis.xrevrange(self._keys.wake, count=1))
        after = newest[0][0].decode() if newest else "0-0"
        for device_id in await self._persist(lambda: self._redis.smembers(self._keys.busy)):
            self._work(device_id.decode())
        looked = time.monotonic()
        while not self._stopping:
            try:
                answer = await self._redis.xread({self._keys.wake: after}, count=500, block=_BLOCK_MS)
            except (RedisError, OSError):
                await asyncio.sleep(_PATIENCE)
                continue
            if time.monotonic() - looked > _LOOK_SECONDS:  # should a word have been missed
                looked = time.monotonic()
                for device_id in await self._persist(lambda: self._redis.smembers(self._keys.busy)):
                    if device_id.decode() not in self._devices:
                        self._work(device_id.decode())
            for _, entries in answer:
                after = entries[-1][0].decode()
                for _, fields in entries:
                    self._work(fields[b"device"].decode())

    async def _persist(self, act: Callable[[], Awaitable[T]]) -> T:
        while True:
            try:
                return await act()
            except (RedisError, OSError) as error:
                if not is_away(error):
                    raise
                log.warning("the store is away (%s); asking again", type(error).__name__)
                await asyncio.sleep(_PATIENCE)

    # A device's queue

    def _work(self, device_id: str) -> None:
        if self._stopping:
            return
        if device_id in self._devices:
            self._again.add(device_id)
            return
        task = asyncio.create_task(self._work_off(device_id))
        self._devices[device_id] = task
        task.add_done_callback(lambda _: self._worked_off(device_id))

    def _worked_off(self, device_id: str) -> None:
        self._devices.pop(device_id, None)
        if device_id in self._again:
            self._again.discard(device_id)
            self._work(device_id)

    async def _work_off(self, device_id: str) -> None:
        """The device's commands, one after the other, until its queue is empty."""
        while not self._stopping:
            self._again.discard(device_id)
            head = await self._persist(lambda: self._redis.lindex(self._keys.queue(device_id), 0))
            if head is None:
                return
            try:
                await self._run_one(device_id, head.decode())
            except LeaseLost:
                self._lost.set()
                return
            except asyncio.CancelledError:
                raise
            except Exception:
                log.exception("a command failed in the relay")
                with suppress(LeaseLost):  # the lease's keeper ends the run
                    await self._give_up(device_id, head.decode())

    async def _give_up(self, device_id: str, command_id: str) -> None:
        fields = await self._persist(lambda: self._redis.hgetall(self._keys.command(command_id)))
        if b"payload" not in fields:
            await self._take_from_queue(device_id, command_id)
            return
        record = orjson.loads(fields[b"record"])
        if fields[b"status"] == b"queued":
            message = "The relay failed at this command before it was sent; its log says why."
            outcome = Outcome("failed", None, None, message, 502)
        else:
            message = "The relay failed at this command; its log says why. It may have been carried out."
            outcome = Outcome("unknown", None, None, message, 502)
        await self._finish_command(record, command_id, outcome)

    async def _take_from_queue(self, device_id: str, command_id: str) -> None:
        await self._persist(lambda: self._redis.lrem(self._keys.queue(device_id), 0, command_id))

    # One command

    async def _run_one(self, device_id: str, command_id: str) -> None:
        name = self._keys.command(command_id)
        fields = await self._persist(lambda: self._redis.hgetall(name))
        if b"payload" not in fields:
            await self._take_from_queue(device_id, command_id)
            return
        device = await self._persist(lambda: asyncio.to_thread(self._store.devices.refresh, device_id))
        command = self._store.commands.unpack(command_id, fields)
        record = {**command.record}
        refusal = _refusal(command, device)
        if device is None or refusal is not None:
            await self._finish_command(record, command_id, refusal or _DEVICE_GONE)
            return
        record |= about_device(device)
        values = self._store.commands.payload(command_id, fields)
        operation = operation_of(command.record["action"], values)
        begun = await self._persist(
            lambda: self._begin(
                keys=[self._keys.shard.lease, name],
                args=[self._token, _now_ms(), int(operation.repeatable)],
            )
        )
        if begun == b"lease":
            raise LeaseLost
        if begun == b"over":
            await self._take_from_queue(device_id, command_id)
        elif begun == b"sent":
            await self._finish_command(record, command_id, _STOPPED_BETWEEN)
        else:
            if self._store.settings.durability == "replica":
                await self._persist(lambda: await_replica(self._store, self._keys.shard))
            end, exchange = await self._gateway.carry_out(device, operation, values, record["operation_id"])
            attempts = command.attempts + 1
            if _is_asked_again(operation, end, attempts) and await self._ask_later(
                command_id, record, attempts, end
            ):
                return
            outcome = await self._outcome(device, operation, record, attempts, values, end, exchange)
            await self._finish_command(record, command_id, outcome)

    async def _outcome(
        self,
        device: Device,
        operation: Operation,
        record: dict[str, Any],
        attempts: int,
        values: dict[str, Any],
        end: End,
        exchange: Exchange,
    ) -> Outcome:
        """How a command ends that is not asked for again."""
        http_status = end.http_status or codes.http_status(end.code)
        message = end.message or codes.advice(end.code)
        if end.code == codes.SUCCESS:
            result = await self._result(device, values, record, exchange)
            return Outcome("completed", 0, end.gateway_status, codes.advice(0), 200, result)
        if attempts > 1 and end.code is not None and end.code == operation.done_when_repeated:
            message = "Carried out: the gateway had kept it and sent it to the device."
            return Outcome("completed", 0, end.gateway_status, message, 200)
        if end.uncertain and not operation.repeatable:
            message = (
                f"{end.message or codes.status_name(end.code) + '.'} It may still be carried out, so it was not "
                "sent twice: look at the device before you send it again."
            )
            return Outcome("unknown", end.code, end.gateway_status, message, http_status)
        if _is_asked_again(operation, end, attempts):
            message = f"{message} It was asked for again for a day, in vain."
        return Outcome("failed", end.code, end.gateway_status, message, http_status, field=end.field)

    async def _result(
        self, device: Device, values: dict[str, Any], record: dict[str, Any], exchange: Exchange
    ) -> dict[str, Any]:
        if record["action"] != "load-log":
            return exchange.result
        operation_id, publish = record["operation_id"], bool(values.get("publish"))
        return await self._persist(
            lambda: asyncio.to_thread(
                load_log_result, self._store, device, operation_id, exchange, publish=publish
            )
        )

    async def _ask_later(self, command_id: str, record: dict[str, Any], attempts: int, end: End) -> bool:
        """Puts the command aside until it is asked for again; False when its day is over."""
        schedule = self._store.settings.command_poll_schedule
        wait = schedule[attempts - 1] if attempts <= len(schedule) else _HOURLY
        now, expires_at = time.time(), datetime.fromisoformat(record["expires_at"]).timestamp()
        if now > expires_at - _LAST_POLL_SECONDS:
            return False
        at = min(now + wait, expires_at)
        message = end.message or codes.advice(end.code)
        answer = await self._persist(
            lambda: self._hold(
                keys=[
                    self._keys.shard.lease,
                    self._keys.command(command_id),
                    self._keys.queue(record["device_id"]),
                    self._keys.busy,
                    self._keys.waiting,
                ],
                args=[
                    self._token,
                    command_id,
                    record["device_id"],
                    int(at * 1000),
                    self._keys.channel,
                    *("status_code", "" if end.code is None else end.code, "message", message),
                    *("gateway_status", end.gateway_status or ""),
                ],
            )
        )
        if answer == b"lease":
            raise LeaseLost
        await self._schedule_poll(record["device_id"], command_id, at)
        return True

    async def _finish_command(self, record: dict[str, Any], command_id: str, outcome: Outcome) -> None:
        keep = self._store.commands.keep_seconds
        names, arguments = end_call(self._keys, record, command_id, outcome, self._token, keep)
        answer = await self._persist(lambda: self._end(keys=names, args=arguments))
        if answer == b"lease":
            raise LeaseLost


_DEVICE_GONE = Outcome("failed", None, None, "The device was removed from the relay.", 404)
_STOPPED_BETWEEN = Outcome(
    "unknown",
    None,
    None,
    "The relay stopped between sending it and noting the answer. It may have been carried out: look at the device "
    "before you send it again.",
    502,
)


def _refusal(command: Command, device: Device | None) -> Outcome | None:
    """Why a command is not to be sent, since it was queued or ever; None where it is."""
    sent = command.status != "queued"
    if device is None:
        message = "The device was removed from the relay. The command may have been carried out before."
        return Outcome("unknown", command.status_code, None, message, 404) if sent else _DEVICE_GONE
    if sent:
        return None
    if time.time() > datetime.fromisoformat(command.record["expires_at"]).timestamp():
        message = "It was not sent within a day, as no worker was running, and is not sent any more."
        return Outcome("failed", None, None, message, 504)
    mode = device.record["mode"]
    if mode in ATTENDANCE_ONLY_MODES:
        message = f"It was not sent: the device is in mode {mode}, which only reports attendance."
        return Outcome("failed", codes.NOT_SUPPORTED, None, message, 501)
    if not device.record["gateway_url"]:
        message = "It was not sent: the device has no gateway_url any more."
        return Outcome("failed", None, None, message, 422, field="gateway_url")
    return None


def _is_asked_again(operation: Operation, end: End, attempts: int) -> bool:
    """Whether what the gateway may hold is to be asked for again.

    Once it may hold it, an answer that says nothing of the command (no connection, an error page, another call in
    progress) is no end of it.
    """
    says_nothing = end.code in (None, codes.BUSY) and end.field is None
    return operation.repeatable and (end.held or (attempts > 1 and says_nothing))


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
