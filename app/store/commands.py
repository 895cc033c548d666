"""Commands to devices: queued per device, sent by the dispatcher, kept with their result.

```
{s0}:command:C                  hash: record, payload (sealed, until it ends), status, attempts, result, …
{s0}:commands                   stream of all commands, by creation
{s0}:commands:device:D          the same of one device
{s0}:commands:queue:D           list: what is to be sent to a device, in order
{s0}:commands:busy              set of the devices with a queue
{s0}:commands:waiting           sorted set of "device command" that the gateway holds, by when to ask again (ms)
{s0}:commands:wake              stream that tells the dispatcher which device has something to do
{g}:idempotency:DIGEST          a request's Idempotency-Key: digest of its body, and its command
```

A command is `queued`, `sending`, perhaps `waiting` and `asking` in turn, and in the end `completed`, `failed`,
`unknown` (it may have been carried out, and must not be sent twice) or `cancelled`.
"""

from __future__ import annotations

import heapq
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson

from app import ids
from app.events.flatten import received_iso
from app.gateway import codes
from app.gateway.operations import BY_ACTION, CREDENTIAL_FIELDS, Operation, adding
from app.store.connection import Connection
from app.store.devices import Device
from app.store.keys import Shard
from app.store.outcomes import CommandKeys, Outcome, end_call

ADD_USER = "add-user"
ENDED = ("completed", "failed", "unknown", "cancelled")
STATUSES = ("queued", "sending", "waiting", *ENDED)
IDEMPOTENCY_SECONDS = 86_400
_SCAN = 100
_CURSOR = re.compile(r"([0-9]{1,4}):(([0-9]+)-([0-9]+))")
_SHOWN = (  # of a command's hash; its payload and its result may be large
    *(b"record", b"status", b"attempts", b"status_code", b"gateway_status", b"message", b"http_status"),
    *(b"sent_at", b"ended_at", b"next_poll_at", b"field"),
)


class KeyReused(Exception):
    """The Idempotency-Key was used with another body."""


def operation_of(action: str, values: dict[str, Any]) -> Operation:
    """The operation that an action sends; `add-user` picks it by the credentials that are there."""
    if action != ADD_USER:
        return BY_ACTION[action]
    return adding([name for name, field in CREDENTIAL_FIELDS.items() if values.get(field) not in (None, "")])


def about_device(device: Device) -> dict[str, Any]:
    """What a command's record says of its device, for its event."""
    return {
        "device_label": device.record["label"],
        "device_serial": device.record["serial_number"],
        "timezone": device.record["timezone"],
    }


@dataclass(frozen=True, slots=True)
class Command:
    """A command as stored."""

    id: str
    record: dict[str, Any]  # action, operation, device_id, user_id, operation_id, requested_by, created_at, …
    status: str
    attempts: int
    status_code: int | None
    gateway_status: str | None
    message: str | None
    http_status: int | None
    sent_at: str | None
    ended_at: str | None
    next_poll_at: str | None
    field: str | None  # of the request, where it is at fault
    result: dict[str, Any]

    @property
    def shown_status(self) -> str:
        """The status as the API has it: that a command waits to be asked for again is nobody else's concern."""
        return "waiting" if self.status == "asking" else self.status

    @property
    def ended(self) -> bool:
        return self.status in ENDED

    def shown(self) -> dict[str, Any]:
        """The command as the API shows it, its result beside."""
        return {
            "command_id": self.id,
            **{name: self.record[name] for name in ("action", "device_id", "user_id", "operation_id")},
            "status": self.shown_status,
            "status_code": self.status_code,
            "status_name": codes.status_name(self.status_code) if self.status_code is not None else None,
            "message": self.message,
            "gateway_status": self.gateway_status,
            "requested_by": self.record["requested_by"],
            "created_at": self.record["created_at"],
            "sent_at": self.sent_at,
            "ended_at": self.ended_at,
            "expires_at": self.record["expires_at"],
            "next_poll_at": self.next_poll_at if self.shown_status == "waiting" else None,
        }


_Entry = tuple[int, int, int]  # ms, sequence, shard: where a command is in the order of all


def _place(cursor: str) -> _Entry:
    match = _CURSOR.fullmatch(cursor)
    if match is None or not ids.is_entry(match[2]):
        raise ValueError("cursor")
    return int(match[3]), int(match[4]), int(match[1])


def _iso(ms: int) -> str:
    return received_iso(datetime.fromtimestamp(ms / 1000, UTC))


class Commands:
    """What is kept of commands."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._create = connection.script("command_create")
        self._end = connection.script("command_end")
        self._ask = connection.script("command_ask")

    # Making

    def create(
        self,
        device: Device,
        action: str,
        values: dict[str, Any],
        requested_by: str,
        command_id: str | None = None,
    ) -> str:
        """Queues a command with checked values; its id."""
        keys = CommandKeys(device.shard)
        command_id = command_id or ids.random_id("cmd", device.shard.number)
        operation = operation_of(action, values)
        now = time.time()
        record = {
            "action": action,
            "operation": operation.name,
            "device_id": device.id,
            "user_id": values.get("user_id"),
            "operation_id": command_id.rpartition("_")[2][2:],  # 24 random characters, unique at the gateway
            "requested_by": requested_by,
            "created_at": _iso(int(now * 1000)),
            "expires_at": _iso(int((now + 86_400) * 1000)),
            **about_device(device),
        }
        payload = self._connection.vault.seal("command", orjson.dumps(values), command_id)
        self._create(
            keys=[
                keys.command(command_id),
                keys.queue(device.id),
                keys.busy,
                keys.wake,
                keys.all,
                keys.of_device(device.id),
            ],
            args=[
                command_id,
                device.id,
                *("record", orjson.dumps(record), "payload", payload, "status", "queued", "attempts", 0),
            ],
        )
        return command_id

    def reserve(self, caller: str, idempotency_key: str, body: bytes, device: Device) -> tuple[str, bool]:
        """The command that belongs to an Idempotency-Key, and whether it is new. Raises KeyReused."""
        body_digest = self._connection.vault.digest("idempotency-body", body)  # keyed: a PIN may be in it
        digest = self._connection.vault.digest("idempotency", f"{caller}\n{idempotency_key}")
        name = f"{{g}}:idempotency:{digest}"
        command_id = ids.random_id("cmd", device.shard.number)
        value = f"{body_digest} {command_id}"
        if self._connection.redis.set(name, value, nx=True, ex=IDEMPOTENCY_SECONDS):
            return command_id, True
        stored = self._connection.redis.get(name)
        if stored is None:
            return command_id, True
        known_digest, _, known_id = stored.decode().partition(" ")
        if known_digest != body_digest:
            raise KeyReused(idempotency_key)
        return known_id, self.get(known_id) is None

    # Reading

    def get(self, command_id: str) -> Command | None:
        """One command; None if there is none with this id (any more)."""
        number = ids.shard_of(command_id)
        if number is None or number >= len(self._connection.shards) or not command_id.startswith("cmd_"):
            return None
        keys = CommandKeys(self._connection.shards[number])
        names = (*_SHOWN, b"result")
        return self._unpack(command_id, names, self._connection.redis.hmget(keys.command(command_id), names))

    def _unpack(
        self, command_id: str, names: tuple[bytes, ...], values: list[bytes | None]
    ) -> Command | None:
        fields = {name: value for name, value in zip(names, values, strict=True) if value is not None}
        return self.unpack(command_id, fields) if b"record" in fields else None

    @staticmethod
    def unpack(command_id: str, fields: dict[bytes, bytes]) -> Command:
        """A command from its hash."""

        def text(name: bytes) -> str | None:
            return fields[name].decode() if fields.get(name) else None

        code, http = text(b"status_code"), text(b"http_status")
        sent, poll = text(b"sent_at"), text(b"next_poll_at")
        return Command(
            id=command_id,
            record=orjson.loads(fields[b"record"]),
            status=fields[b"status"].decode(),
            attempts=int(fields[b"attempts"]),
            status_code=int(code) if code else None,
            gateway_status=text(b"gateway_status"),
            message=text(b"message"),
            http_status=int(http) if http else None,
            sent_at=_iso(int(sent)) if sent else None,
            ended_at=text(b"ended_at"),
            next_poll_at=_iso(int(poll)) if poll else None,
            field=text(b"field"),
            result=orjson.loads(fields.get(b"result", b"{}")),
        )

    def payload(self, command_id: str, fields: dict[bytes, bytes]) -> dict[str, Any]:
        """The flat values of a command that has not ended."""
        values: dict[str, Any] = orjson.loads(
            self._connection.vault.open("command", fields[b"payload"], command_id)
        )
        return values

    def page(
        self, device_id: str | None, status: str | None, limit: int, cursor: str | None
    ) -> tuple[list[Command], str | None]:
        """Commands, newest first, without their results. The cursor is `shard:entry`.

        Raises ValueError for one that isn't. The commands of a device that was removed are found as well.
        """
        before = _place(cursor) if cursor else None
        shard = self._connection.shard_of(device_id) if device_id else None
        shards = self._connection.shards if shard is None else (shard,)
        rows: list[Command] = []
        place = None
        for entry, command in heapq.merge(
            *(self._newest(shard, device_id, before) for shard in shards),
            key=lambda found: found[0],
            reverse=True,
        ):
            if command is not None and status in (None, command.shown_status):
                if len(rows) == limit:
                    return rows, place
                rows.append(command)
                place = "{2}:{0}-{1}".format(*entry)
        return rows, None

    def _newest(
        self, shard: Shard, device_id: str | None, before: _Entry | None
    ) -> Iterator[tuple[_Entry, Command | None]]:
        """A shard's commands before a place in the order of all, newest first; None for what is there no more."""
        keys = CommandKeys(shard)
        stream = keys.of_device(device_id) if device_id else keys.all
        newest = "+"
        if before is not None:
            newest = f"{'' if shard.number < before[2] else '('}{before[0]}-{before[1]}"
        while True:
            found = self._connection.redis.xrevrange(stream, newest, "-", count=_SCAN)
            for (name, _), command in zip(found, self._many(keys, found), strict=True):
                ms, _, sequence = name.decode().partition("-")
                yield (int(ms), int(sequence), shard.number), command
            if len(found) < _SCAN:
                return
            newest = f"({found[-1][0].decode()}"

    def _many(self, keys: CommandKeys, entries: list[Any]) -> list[Command | None]:
        command_ids = [fields[b"c"].decode() for _, fields in entries]
        pipeline = self._connection.redis.pipeline(transaction=False)
        for command_id in command_ids:
            pipeline.hmget(keys.command(command_id), _SHOWN)
        return [
            self._unpack(command_id, _SHOWN, values)
            for command_id, values in zip(command_ids, pipeline.execute(), strict=True)
        ]

    # Changing

    def cancel(self, command: Command) -> bool:
        """Ends a command that was not sent; False where it was."""
        keys = CommandKeys(self._connection.shards[ids.shard_of(command.id) or 0])
        outcome = Outcome("cancelled", None, None, "Cancelled before it was sent.", 409)
        names, arguments = end_call(keys, command.record, command.id, outcome, "queued", self.keep_seconds)
        return bool(self._end(keys=names, args=arguments) == b"ok")

    @property
    def keep_seconds(self) -> int:
        return self._connection.settings.retention_days * 86_400

    def ask_again(self, command_id: str, device_id: str) -> bool:
        """Queues a command that the gateway holds, to be asked for again."""
        keys = CommandKeys(self._connection.shards[ids.shard_of(command_id) or 0])
        names = [keys.command(command_id), keys.queue(device_id), keys.busy, keys.waiting, keys.wake]
        return bool(self._ask(keys=names, args=[command_id, device_id]))

    def queued(self, device_id: str) -> int:
        """How many commands wait for a device."""
        shard = self._connection.shard_of(device_id)
        return 0 if shard is None else int(self._connection.redis.llen(CommandKeys(shard).queue(device_id)))

    def overdue_polls(self, before_ms: int) -> list[tuple[str, str]]:
        """(device, command) that should have been asked for again by then: their job was lost."""
        found = []
        for shard in self._connection.shards:
            for member in self._connection.redis.zrangebyscore(CommandKeys(shard).waiting, "-inf", before_ms):
                device_id, _, command_id = member.decode().partition(" ")
                found.append((device_id, command_id))
        return found
