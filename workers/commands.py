"""Sends commands to the gateway: one at a time per device, in order; all devices side by side.

A command is marked as `sending` before it is sent. After a crash, one that may be sent twice is sent again with
the same OperationID; one that may not (destructive ones and enrolments) ends as `unknown`.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar
from urllib.parse import quote

import orjson
from redis.exceptions import RedisError

from app.events import flatten
from app.gateway import clock, codes
from app.gateway import commands as protocol
from app.gateway.callbacks import Callback, Punch
from app.gateway.cipher import CipherError, ciphertext
from app.gateway.operations import Operation
from app.store import Store
from app.store.commands import CommandKeys, Outcome, end_call, operation_of
from app.store.connection import source
from app.store.devices import Device
from app.store.keys import Shard
from workers.http import Client, Request, Response
from workers.lease import LeaseLost

T = TypeVar("T")
log = logging.getLogger("relay.commands")

_BLOCK_MS = 1_000
_PATIENCE = 0.25
_ANSWER_LIMIT = 8 * 1024 * 1024
_BUSY_WAITS = (1.0, 2.0, 3.0, 5.0)  # seconds between tries while another call for the device is in progress
_ROWS_LIMIT = 200_000
_HOURLY = 3_600.0
_NOT_SENT = ("dns_failed", "connect_failed", "refused_address", "tls_failed")
_MAYBE_DONE = ("timeout", "reset", "closed")


@dataclass(slots=True)
class _Exchange:
    """What a command has brought so far."""

    logs: list[Punch] = field(default_factory=list)
    reported: int | None = None
    result: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _End:
    """How an exchange with the gateway ended: a StatusCode, or what kept us from one."""

    code: int | None
    gateway_status: str | None = None
    message: str | None = None
    http_status: int | None = None
    maybe_done: bool = False


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
        self._http = http
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
        while not self._stopping:
            try:
                answer = await self._redis.xread({self._keys.wake: after}, count=500, block=_BLOCK_MS)
            except (RedisError, OSError):
                await asyncio.sleep(_PATIENCE)
                continue
            for _, entries in answer:
                after = entries[-1][0].decode()
                for _, fields in entries:
                    self._work(fields[b"device"].decode())

    async def _persist(self, act: Callable[[], Awaitable[T]]) -> T:
        while True:
            try:
                return await act()
            except (RedisError, OSError) as error:
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
                await self._give_up(device_id, head.decode())

    async def _give_up(self, device_id: str, command_id: str) -> None:
        fields = await self._persist(lambda: self._redis.hgetall(self._keys.command(command_id)))
        if not fields:
            await self._persist(lambda: self._redis.lrem(self._keys.queue(device_id), 0, command_id))
            return
        message = "The relay failed at this command; its log says why. It may have been carried out."
        record = orjson.loads(fields[b"record"])
        await self._finish_command(record, command_id, Outcome("unknown", None, None, message, 502))

    async def _run_one(self, device_id: str, command_id: str) -> None:
        name = self._keys.command(command_id)
        fields = await self._persist(lambda: self._redis.hgetall(name))
        device = await asyncio.to_thread(self._refresh, device_id)
        if not fields or b"payload" not in fields:
            await self._persist(lambda: self._redis.lrem(self._keys.queue(device_id), 0, command_id))
            return
        command = self._store.commands.unpack(command_id, fields)
        record = {**command.record}
        if device is None:
            gone = Outcome("failed", None, None, "The device was removed from the relay.", 404)
            await self._finish_command(record, command_id, gone)
            return
        record |= {
            "device_label": device.record["label"],
            "device_serial": device.record["serial_number"],
        }
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
            await self._persist(lambda: self._redis.lrem(self._keys.queue(device_id), 0, command_id))
            return
        if begun == b"sent":
            message = (
                "The relay stopped between sending it and noting the answer. It may have been carried out: look "
                "at the device before you send it again."
            )
            await self._finish_command(record, command_id, Outcome("unknown", None, None, message, 502))
            return
        exchange = _Exchange()
        end = await self._exchange(device, operation, values, record["operation_id"], exchange)
        await self._conclude(
            device, operation, command_id, record, command.attempts + 1, values, end, exchange
        )

    def _refresh(self, device_id: str) -> Device | None:
        return self._store.devices.refresh(device_id)

    # Talking to the gateway

    async def _exchange(
        self,
        device: Device,
        operation: Operation,
        values: dict[str, Any],
        operation_id: str,
        exchange: _Exchange,
    ) -> _End:
        """Sends the command, LoadLog window by window and page by page; what came of it is in `exchange`."""
        deadline = time.monotonic() + self._store.settings.command_timeout
        if operation.action != "load-log":
            return await self._ask(device, operation, values, operation_id, deadline, exchange)
        zone = device.timezone
        start, end = (clock.parse(values[name], default_tz=zone) for name in ("start_time", "end_time"))
        number = 0
        for first, last in protocol.windows(start, end):
            offset: object = ""
            seen: set[str] = set()
            while True:
                page_values = {**values, "start_time": first, "end_time": last, "offset": offset}
                # Each page is an operation of its own, with an OperationID that is the same when asked again.
                page_id = operation_id if number == 0 else f"{operation_id}{number}"
                rows_before = len(exchange.logs)
                deadline = time.monotonic() + self._store.settings.command_timeout
                ended = await self._ask(device, operation, page_values, page_id, deadline, exchange)
                number += 1
                if ended.code != codes.SUCCESS:
                    return ended
                offset = exchange.result.pop("offset", None)
                if not offset or str(offset) in seen or len(exchange.logs) == rows_before:
                    break
                if len(exchange.logs) > _ROWS_LIMIT:
                    return _End(None, None, f"More than {_ROWS_LIMIT} rows: ask for a shorter period.", 422)
                seen.add(str(offset))
        return _End(codes.SUCCESS, "done")

    async def _ask(
        self,
        device: Device,
        operation: Operation,
        values: dict[str, Any],
        operation_id: str,
        deadline: float,
        exchange: _Exchange,
    ) -> _End:
        """One request, again for as long as another call for the device is in progress."""
        tries = 0
        while True:
            response = await self._send(device, operation, values, operation_id, deadline)
            ended = self._read(device, response, exchange)
            if ended.code != codes.BUSY:
                return ended
            wait = _BUSY_WAITS[min(tries, len(_BUSY_WAITS) - 1)]
            if time.monotonic() + wait >= deadline:
                return ended
            tries += 1
            await asyncio.sleep(wait)

    async def _send(
        self,
        device: Device,
        operation: Operation,
        values: dict[str, Any],
        operation_id: str,
        deadline: float,
    ) -> Response:
        body = protocol.build(
            operation,
            {name: value for name, value in values.items() if name not in protocol.RELAY_FIELDS},
            auth_token=device.auth_token,
            operation_id=operation_id,
            now=datetime.now(UTC),
            timezone=device.timezone,
        )
        content = orjson.dumps(body)
        if device.keys:
            content = device.keys[0].encrypt(content)
        url = device.record["gateway_url"]
        joint = "&" if "?" in url else "?"
        request = Request(
            f"{url}{joint}stgid={quote(device.id)}",
            content,
            ["content-type: application/json", "expect:"],
            max(1.0, deadline - time.monotonic()),
            max_body=_ANSWER_LIMIT,
            once=not operation.repeatable,
        )
        return await self._http.fetch(request)

    def _read(self, device: Device, response: Response, exchange: _Exchange) -> _End:
        """What an answer says; its rows and fields go to `exchange`."""
        if response.error in _NOT_SENT:
            status = 422 if response.error == "refused_address" else 502
            return _End(None, None, f"The gateway could not be reached: {response.detail}", status)
        if response.error in _MAYBE_DONE:
            message = f"The gateway's answer did not come: {response.detail}"
            return _End(None, None, message, 504 if response.error == "timeout" else 502, maybe_done=True)
        document = self._decode(device, response.body)
        answer = protocol.parse_answer(document, device.timezone)
        if answer.status_code is None:
            text = answer.status_text or f"HTTP {response.status}"
            return _End(None, text, "The gateway's answer is not the protocol's: check the gateway_url.", 502)
        if answer.status_code == codes.SUCCESS:
            exchange.logs += answer.logs
            reported = answer.result.pop("actual_row_count", None)
            returned = answer.result.pop("reported_row_count", None)
            counted = returned if reported is None else reported
            if isinstance(counted, int):
                exchange.reported = counted if reported is not None else (exchange.reported or 0) + counted
            exchange.result |= answer.result
        return _End(answer.status_code, answer.status_text)

    @staticmethod
    def _decode(device: Device, body: bytes) -> object:
        """The answer's JSON; None if it isn't any. It is encrypted, or plain where the gateway complains."""
        text = body.strip()
        if not text.startswith(b"{"):
            sealed = ciphertext(text)
            if sealed is None:
                return None
            for key in device.keys:
                try:
                    text = key.open(sealed)
                    break
                except CipherError:
                    continue
        try:
            found: object = orjson.loads(text)
        except orjson.JSONDecodeError:
            return None
        return found

    # The end, or a pause

    async def _conclude(
        self,
        device: Device,
        operation: Operation,
        command_id: str,
        record: dict[str, Any],
        attempts: int,
        values: dict[str, Any],
        end: _End,
        exchange: _Exchange,
    ) -> None:
        held = end.code in codes.STILL_HELD or end.maybe_done
        if held and operation.repeatable and await self._ask_later(command_id, record, attempts, end):
            return
        if end.code == codes.SUCCESS:
            result = await asyncio.to_thread(self._result, device, values, record, exchange)
            outcome = Outcome("completed", 0, end.gateway_status, codes.advice(0), 200, result)
        elif attempts > 1 and end.code is not None and end.code == operation.done_when_repeated:
            message = "Carried out: the gateway had kept it and sent it to the device."
            outcome = Outcome("completed", 0, end.gateway_status, message, 200)
        elif held:
            outcome = self._held_to_the_end(operation, end)
        else:
            message = end.message or codes.advice(end.code)
            http_status = end.http_status or codes.http_status(end.code)
            outcome = Outcome("failed", end.code, end.gateway_status, message, http_status)
        await self._finish_command(record, command_id, outcome)

    @staticmethod
    def _held_to_the_end(operation: Operation, end: _End) -> Outcome:
        http_status = end.http_status or codes.http_status(end.code)
        if operation.repeatable:
            message = f"{end.message or codes.advice(end.code)} It was asked for again for a day, in vain."
            return Outcome("failed", end.code, end.gateway_status, message, http_status)
        message = (
            f"{end.message or codes.status_name(end.code) + '.'} It may still be carried out, so it was not sent twice: "
            "look at the device before you send it again."
        )
        return Outcome("unknown", end.code, end.gateway_status, message, http_status)

    async def _ask_later(self, command_id: str, record: dict[str, Any], attempts: int, end: _End) -> bool:
        """Puts the command aside until it is asked for again; False when its day is over."""
        schedule = self._store.settings.command_poll_schedule
        wait = schedule[attempts - 1] if attempts <= len(schedule) else _HOURLY
        at = time.time() + wait
        if at > datetime.fromisoformat(record["expires_at"]).timestamp():
            return False
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

    def _result(
        self, device: Device, values: dict[str, Any], record: dict[str, Any], exchange: _Exchange
    ) -> dict[str, Any]:
        """The flat result. LoadLog's rows become flat punches, and with `publish` events."""
        if record["action"] != "load-log":
            return exchange.result
        received_at = datetime.now(UTC)
        receipt = flatten.Receipt(
            device_id=device.id,
            device_label=device.record["label"],
            device_serial=device.record["serial_number"],
            received_at=received_at,
            retention=timedelta(days=self._store.settings.retention_days),
            base_url=self._store.settings.public_url or "",
        )
        operation_id = record["operation_id"]
        callback = Callback("LoadLog", operation_id, None, None, None, None, list(exchange.logs), [])
        published = None
        if values.get("publish") and exchange.logs:
            outcome = self._store.ingest.store(device, callback, {}, b"", receipt)
            published = len(outcome.events)
        names = self._store.users.names(device, {punch.user_id for punch in exchange.logs})
        received = flatten.received_iso(received_at)
        left_out = {"type", "received_at", "test", "revision", "operation", "operation_id"}
        rows = [
            {
                name: value
                for name, value in flatten.punch_event(
                    punch, receipt, callback, received, names.get(punch.user_id), 1
                ).items()
                if name not in left_out
            }
            for punch in exchange.logs
        ]
        return {
            "row_count": len(rows),
            "reported_row_count": exchange.reported,
            "published_count": published,
            "logs": rows,
        }


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
