"""Sends commands to the gateway, in order and one at a time for each device, and in parallel for all devices.

A command is marked as `sending` before it is sent. After a crash, it is sent again with the same OperationID if that
is allowed. Otherwise (destructive commands and enrolments), it ends as `unknown`.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any, TypeVar

from redis.exceptions import RedisError

from app.base.loops import LOOPS
from app.base.outage_log import Absence
from app.base.throttle import OnceAMinute
from app.gateway import status_codes
from app.gateway.operations import Operation
from app.store import Store
from app.store.commands.keys import CommandKeys
from app.store.commands.outcomes import Outcome, end_call
from app.store.commands.records import about_device, operation_of
from app.store.devices.registry import Device
from app.store.server.connection import is_away, note_failure, source
from app.store.server.keys import Shard
from workers.commands.gateway_client import End, Exchange, GatewayClient
from workers.commands.load_log import load_log_result
from workers.commands.unsent_outcomes import (
    DEVICE_GONE,
    STOPPED_BETWEEN,
    failed_in_relay,
    gone,
    readable_record,
    refusal_of,
)
from workers.delivery.lease_errors import LeaseLost
from workers.delivery.shard_context import await_replica
from workers.http.client import Client

T = TypeVar("T")
_once = OnceAMinute()
log = logging.getLogger("relay.commands")

_BLOCK_MS = 1_000
_PATIENCE = 0.25
_LOOK_SECONDS = 2.0
_STALLED_SECONDS = 120.0
_HOURLY = 3_600.0
_LAST_POLL_SECONDS = 1.0  # RQ uses whole seconds, so there is no poll this close to a command's end


class CommandRunner:
    """The commands of one shard, as long as its lease is held."""

    def __init__(
        self,
        store: Store,
        client: Any,
        http: Client,
        shard: Shard,
        token: str,
        schedule_poll: Callable[[str, str, float], Awaitable[None]],
    ) -> None:
        """`schedule_poll(device, command, at)` schedules an RQ job that asks again at that time (s since 1970)."""
        self._store = store
        self._redis = client
        self._gateway = GatewayClient(http, store.settings.command_timeout)
        self._keys = CommandKeys(shard)
        self._token = token
        self._schedule_poll = schedule_poll
        self._begin = client.register_script(source("command_begin"))
        self._end = client.register_script(source("command_end"))
        self._hold = client.register_script(source("command_hold"))
        self._absence = Absence(log)
        self._devices: dict[str, asyncio.Task[None]] = {}
        self._again: set[str] = set()  # devices with a notification while their queue was processed
        self._failing: set[str] = set()  # devices whose queue failed last time
        self._heard = "0-0"  # the last entry read from the wake stream
        self._stopping = False
        self._lost = asyncio.Event()

    async def run(self) -> None:
        """Run until cancelled, or until LeaseLost is raised."""
        number = self._keys.shard.number
        loops = [
            asyncio.create_task(self._repeat(f"commands.wake {number}", self._read_wake, 0.0)),
            asyncio.create_task(self._repeat(f"commands.queues {number}", self._look, _LOOK_SECONDS)),
        ]
        try:
            await self._lost.wait()
            raise LeaseLost
        finally:
            for task in loops:
                task.cancel()

    async def finish(self, seconds: float) -> None:
        """Start no more commands, and wait for those under way."""
        self._stopping = True
        if self._devices:
            await asyncio.wait(list(self._devices.values()), timeout=seconds)
        self.drop()

    def drop(self) -> None:
        """End at once. The next worker finds the commands that were being sent as `sending`."""
        self._stopping = True
        for task in self._devices.values():
            task.cancel()

    async def _repeat(self, name: str, act: Callable[[], Awaitable[None]], pause: float) -> None:
        """Run `act` again and again, `pause` seconds apart. A failure is noted under this name and ends nothing."""
        loop = LOOPS.get(name, _STALLED_SECONDS)
        try:
            while not self._stopping:
                try:
                    await act()
                    loop.worked()
                    await asyncio.sleep(pause)
                except Exception as error:
                    note_failure(loop, error)
                    await asyncio.sleep(max(pause, _PATIENCE))
        finally:
            LOOPS.end(name)  # another worker may have the shard from now on

    async def _read_wake(self) -> None:
        """Read notifications about devices with commands. The first time, all stored ones are read."""
        answer = await self._redis.xread({self._keys.wake: self._heard}, count=500, block=_BLOCK_MS)
        for _, entries in answer:
            self._heard = entries[-1][0].decode()
            for _, fields in entries:
                if b"device" in fields:
                    self._work(fields[b"device"].decode())

    async def _look(self) -> None:
        """Find the devices with a queue, in case a notification was missed, or their queue failed."""
        for device_id in await self._redis.smembers(self._keys.busy):
            if device_id.decode() not in self._devices:
                self._work(device_id.decode())

    async def _persist(self, act: Callable[[], Awaitable[T]]) -> T:
        while True:
            try:
                found = await act()
            except (RedisError, OSError) as error:
                if not is_away(error):
                    raise
                self._absence.note(error)
                await asyncio.sleep(_PATIENCE)
            else:
                self._absence.end()
                return found

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
        """Run the device's commands, one after the other, until its queue is empty.

        A failure doesn't affect other devices: `_look` later finds the rest of the queue.
        """
        name = f"commands of device {device_id}"
        try:
            while not self._stopping and await self._run_next(device_id):
                pass
        except LeaseLost:
            self._lost.set()
        except Exception as error:
            self._failing.add(device_id)
            LOOPS.get(name).failed(error)
        else:
            if device_id in self._failing:
                self._failing.discard(device_id)
                LOOPS.get(name).worked()

    async def _run_next(self, device_id: str) -> bool:
        """Run the first command of a device's queue; False if there is none."""
        self._again.discard(device_id)
        head = await self._persist(lambda: self._redis.lindex(self._keys.queue(device_id), 0))
        if head is None:
            return False
        try:
            await self._run_one(device_id, head.decode())
        except LeaseLost:
            raise
        except Exception as error:
            _once.say_failure(log, error, "a command failed in the relay")
            await self._give_up(device_id, head.decode())
        return True

    async def _give_up(self, device_id: str, command_id: str) -> None:
        """End a command that can't be run. One that can't even be ended leaves the queue as it is."""
        try:
            fields = await self._persist(lambda: self._redis.hgetall(self._keys.command(command_id)))
            if b"payload" in fields:
                record = readable_record(fields.get(b"record"), device_id)
                return await self._finish_command(record, command_id, failed_in_relay(fields))
        except LeaseLost:
            raise
        except Exception as error:
            _once.say_failure(
                log, error, f"a command of device {device_id} can't be ended and leaves its queue"
            )
        await self._take_from_queue(device_id, command_id)

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
        refusal = refusal_of(command, device)
        if device is not None and not self._store.commands.may_go_to(command, device):
            refusal = gone(command)
        if device is None or refusal is not None:
            await self._finish_command(record, command_id, refusal or DEVICE_GONE)
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
            await self._finish_command(record, command_id, STOPPED_BETWEEN)
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
            if outcome.status == "completed":
                await self._apply(device, record["action"], values)
            await self._finish_command(record, command_id, outcome)

    async def _apply(self, device: Device, action: str, values: dict[str, Any]) -> None:
        """Store the change of a completed command, which the device reports later, if ever."""
        apply = self._store.commanded_changes.apply
        try:
            await self._persist(lambda: asyncio.to_thread(apply, device, action, values))
        except LeaseLost:
            raise
        except Exception as error:  # such as a damaged user; the command was carried out anyway
            _once.say_failure(log, error, "the change of a command can't be stored")

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
        """Return the outcome of a command that isn't asked for again."""
        message = end.message or status_codes.advice(end.code)
        if end.code == status_codes.SUCCESS:
            result = await self._result(device, values, record, exchange)
            return Outcome("completed", 0, end.gateway_status, status_codes.advice(0), 200, result)
        if attempts > 1 and end.code is not None and end.code == operation.done_when_repeated:
            message = "The command was carried out. The gateway had queued it and then sent it to the device."
            return Outcome("completed", 0, end.gateway_status, message, 200)
        if end.uncertain and not operation.repeatable:
            message = (
                f"{end.message or status_codes.status_name(end.code) + '.'} The command may still be carried out, so "
                "the relay didn't send it again. Check the device before you send it again."
            )
            return Outcome("unknown", end.code, end.gateway_status, message, 422)
        http_status = end.http_status or status_codes.http_status(end.code)
        if _is_asked_again(operation, end, attempts):
            message = f"{message} The relay retried the command for a day without success."
            http_status = 422  # the gateway may have accepted it each time
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
        """Set the command aside until it is asked for again; False if its 24 hours are over."""
        schedule = self._store.settings.command_poll_schedule
        wait = schedule[attempts - 1] if attempts <= len(schedule) else _HOURLY
        now, expires_at = time.time(), datetime.fromisoformat(record["expires_at"]).timestamp()
        if now > expires_at - _LAST_POLL_SECONDS:
            return False
        at = min(now + wait, expires_at)
        message = end.message or status_codes.advice(end.code)
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


def _is_asked_again(operation: Operation, end: End, attempts: int) -> bool:
    """Return whether to ask again for a command that the gateway may hold.

    If it may hold it, an answer without information about the command (no connection, an error page, another call in
    progress) doesn't end it.
    """
    says_nothing = end.code in (None, status_codes.BUSY) and end.field is None
    return operation.repeatable and (end.held or (attempts > 1 and says_nothing))


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
