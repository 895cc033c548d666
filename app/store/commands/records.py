"""Commands to devices: queued per device, sent by the dispatcher, and kept with their results.

```
{s0}:command:C                  hash: record, payload (encrypted, until it ends), status, attempts, result, …
{s0}:commands                   stream of all commands, in order of creation
{s0}:commands:device:D          the same for one device
{s0}:commands:queue:D           list: commands to send to a device, in order
{s0}:commands:busy              set of the devices with queued commands
{s0}:commands:waiting           sorted set of "device command" held by the gateway, by the time of the next poll (ms)
{s0}:commands:wake              stream that notifies the dispatcher of devices with commands to send
```

A command is `queued`, then `sending`, perhaps alternately `waiting` and `asking`, and finally `completed`, `failed`,
`unknown` (it may have been carried out, and must not be sent again) or `cancelled`.
"""

from __future__ import annotations

import heapq
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson

from app.base import ids
from app.events.flatten import received_iso
from app.gateway import status_codes
from app.gateway.operations import BY_ACTION, CREDENTIAL_FIELDS, Operation, adding
from app.store.access.idempotency import KEPT_SECONDS, KeyReused, key_name
from app.store.commands.binding import Binding
from app.store.commands.keys import CommandKeys
from app.store.commands.outcomes import Outcome, end_call
from app.store.devices.registry import Device
from app.store.server.connection import Connection
from app.store.server.damage import left_out, readable
from app.store.server.keys import Shard

ADD_USER = "add-user"
ENDED = ("completed", "failed", "unknown", "cancelled")
STATUSES = ("queued", "sending", "waiting", *ENDED)
_SCAN = 100
_SCAN_LIMIT = 2_000  # commands that are read for a page
_CURSOR = re.compile(r"([0-9]{1,4}):(([0-9]+)-([0-9]+))")
_SHOWN = (  # fields of a command's hash; payload and result may be large
    *(b"record", b"status", b"attempts", b"status_code", b"gateway_status", b"message", b"http_status"),
    *(b"sent_at", b"ended_at", b"next_poll_at", b"field", b"cancelled"),
)


def operation_of(action: str, values: dict[str, Any]) -> Operation:
    """Return the operation of an action; `add-user` chooses it by the credentials in the values."""
    if action != ADD_USER:
        return BY_ACTION[action]
    return adding([name for name, field in CREDENTIAL_FIELDS.items() if values.get(field) not in (None, "")])


def about_device(device: Device) -> dict[str, Any]:
    """Return the fields about the device in a command's record, for its event."""
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
    field: str | None  # field of the request that is at fault
    result: dict[str, Any]
    was_cancelled: bool  # it ended because of a request to cancel it

    @property
    def shown_status(self) -> str:
        """Return the status as the API shows it: `waiting` and `asking` are internal."""
        return "waiting" if self.status == "asking" else self.status

    @property
    def ended(self) -> bool:
        return self.status in ENDED

    def shown(self) -> dict[str, Any]:
        """Return the command as the API shows it, with the result separate."""
        return {
            "id": self.id,
            "command_id": self.id,
            **{name: self.record[name] for name in ("action", "device_id", "user_id", "operation_id")},
            "status": self.shown_status,
            "status_code": self.status_code,
            "status_name": status_codes.status_name(self.status_code)
            if self.status_code is not None
            else None,
            "message": self.message,
            "gateway_status": self.gateway_status,
            "requested_by": self.record["requested_by"],
            "created_at": self.record["created_at"],
            "sent_at": self.sent_at,
            "ended_at": self.ended_at,
            "expires_at": self.record["expires_at"],
            "next_poll_at": self.next_poll_at if self.shown_status == "waiting" else None,
        }


NOT_SENT = Outcome("cancelled", None, None, "Cancelled before it was sent.", 409)


def not_asked_again(command: Command) -> Outcome:
    """Return the outcome of a cancelled command that the gateway holds. Only one that reads surely changed nothing."""
    action = command.record["action"]
    if action != ADD_USER and BY_ACTION[action].effect == "read":
        message = "Cancelled. The relay doesn't ask the gateway for the result any more."
        return Outcome("cancelled", None, None, message, 409)
    message = (
        "Cancelled while the gateway held it. The relay doesn't ask for the result any more, but the gateway may still "
        "carry the command out. Check the device before you send it again."
    )
    return Outcome("unknown", command.status_code, command.gateway_status, message, 422)


_Entry = tuple[int, int, int]  # ms, sequence, shard: a command's place in the order of all


def _place(cursor: str) -> _Entry:
    match = _CURSOR.fullmatch(cursor)
    if match is None or not ids.is_entry(match[2]):
        raise ValueError("cursor")
    return int(match[3]), int(match[4]), int(match[1])


def _iso(ms: int) -> str:
    return received_iso(datetime.fromtimestamp(ms / 1000, UTC))


class Commands:
    """The stored commands."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._create = connection.script("command_create")
        self._end = connection.script("command_end")
        self._ask = connection.script("command_ask")
        self._binding = Binding(connection.vault)

    # Creating

    def create(
        self,
        device: Device,
        action: str,
        values: dict[str, Any],
        requested_by: str,
        command_id: str | None = None,
    ) -> str:
        """Queue a command with checked values; return its ID."""
        keys = CommandKeys(device.shard)
        command_id = command_id or ids.random_id("cmd", device.shard.number)
        operation = operation_of(action, values)
        now = time.time()
        record = {
            "action": action,
            "operation": operation.name,
            "device_id": device.id,
            "user_id": values.get("user_id"),
            "operation_id": command_id.rpartition("_")[2][2:],  # 24 random characters, unique for the gateway
            "requested_by": requested_by,
            "created_at": _iso(int(now * 1000)),
            "expires_at": _iso(int((now + 86_400) * 1000)),
            **about_device(device),
            "bound": self._binding.of(device),
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
        """Return the ID of an Idempotency-Key's command, and whether it is new. Raises KeyReused."""
        body_digest = self._connection.vault.digest("idempotency-body", body)  # keyed: it may contain a PIN
        name = key_name(self._connection.vault, caller, idempotency_key)
        command_id = ids.random_id("cmd", device.shard.number)
        value = f"{body_digest} {command_id}"
        if self._connection.redis.set(name, value, nx=True, ex=KEPT_SECONDS):
            return command_id, True
        stored = self._connection.redis.get(name)
        if stored is None:
            return command_id, True
        known_digest, _, known = stored.partition(b" ")
        if known_digest.decode() != body_digest:
            raise KeyReused(idempotency_key)
        known_id = known.decode()
        return known_id, self.get(known_id) is None

    # Reading

    def get(self, command_id: str) -> Command | None:
        """Return a command; None if there is none with this ID (any more)."""
        number = ids.shard_of(command_id)
        if number is None or number >= len(self._connection.shards) or not command_id.startswith("cmd_"):
            return None
        keys = CommandKeys(self._connection.shards[number])
        names = (*_SHOWN, b"result")
        with left_out(f"command {command_id}"):
            return self._unpack(
                command_id, names, self._connection.redis.hmget(keys.command(command_id), names)
            )
        return None

    def _unpack(
        self, command_id: str, names: tuple[bytes, ...], values: list[bytes | None]
    ) -> Command | None:
        fields = {name: value for name, value in zip(names, values, strict=True) if value is not None}
        if b"record" not in fields:
            return None
        with left_out(f"command {command_id}"):
            command = self.unpack(command_id, fields)
            if not isinstance(command.result, dict) or not command.shown():
                raise ValueError("no command")
            return command
        return None

    @staticmethod
    def unpack(command_id: str, fields: dict[bytes, bytes]) -> Command:
        """Read a command from its hash."""

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
            was_cancelled=b"cancelled" in fields or fields[b"status"] == b"cancelled",
        )

    def may_go_to(self, command: Command, device: Device) -> bool:
        """Return whether a command may be sent to its device's present gateway (see `Binding`)."""
        return self._binding.holds(command.record, device)

    def payload(self, command_id: str, fields: dict[bytes, bytes]) -> dict[str, Any]:
        """Return the flat values of a command that hasn't ended."""
        values: dict[str, Any] = orjson.loads(
            self._connection.vault.open("command", fields[b"payload"], command_id)
        )
        return values

    def page(
        self, device_ids: Sequence[str], status: str | None, limit: int, cursor: str | None
    ) -> tuple[list[Command], str | None]:
        """Return commands for some devices, or all, newest first, without results. The cursor is `shard:entry`.

        It reads a limited number of commands, so a page may have fewer rows than `limit`, or none, and still a cursor.
        Raises ValueError for an invalid cursor. Commands of removed devices are also found.
        """
        before = _place(cursor) if cursor else None
        # Two devices' own lists can have the same entry ID, so the list of all is read for several.
        device_id = device_ids[0] if len(device_ids) == 1 else None
        rows: list[Command] = []
        place = None
        found = heapq.merge(
            *(self._newest(shard, device_id, before) for shard in self._connection.shards_with(device_ids)),
            key=lambda found: found[0],
            reverse=True,
        )
        for scanned, (entry, command) in enumerate(found):
            if len(rows) == limit or scanned == _SCAN_LIMIT:
                return rows, place
            place = "{2}:{0}-{1}".format(*entry)
            if command is None or status not in (None, command.shown_status):
                continue
            if not device_ids or command.record["device_id"] in device_ids:
                rows.append(command)
        return rows, None

    def _newest(
        self, shard: Shard, device_id: str | None, before: _Entry | None
    ) -> Iterator[tuple[_Entry, Command | None]]:
        """Return a shard's commands before a place in the order of all, newest first; None for those that are gone."""
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
        command_ids = [fields.get(b"c", b"").decode(errors="replace") for _, fields in entries]
        pipeline = self._connection.redis.pipeline(transaction=False)
        for command_id in command_ids:
            pipeline.hmget(keys.command(command_id), _SHOWN)
        answers = readable(pipeline.execute(raise_on_error=False), ([None] * len(_SHOWN),))
        return [
            self._unpack(command_id, _SHOWN, values)
            for command_id, values in zip(command_ids, answers, strict=True)
        ]

    # Changing

    def cancel(self, command: Command) -> bool:
        """End a command that wasn't sent, or that the gateway holds; False if it is being sent or has ended."""
        keys = CommandKeys(self._connection.shards[ids.shard_of(command.id) or 0])
        for before, outcome in (("queued", NOT_SENT), ("waiting", not_asked_again(command))):
            names, arguments = end_call(keys, command.record, command.id, outcome, before, self.keep_seconds)
            if self._end(keys=names, args=[*arguments, "cancelled", 1]) == b"ok":
                return True
        return False

    @property
    def keep_seconds(self) -> int:
        return self._connection.settings.retention_days * 86_400

    def ask_again(self, command_id: str, device_id: str) -> bool:
        """Queue a command that the gateway holds, to ask for its result again."""
        keys = CommandKeys(self._connection.shards[ids.shard_of(command_id) or 0])
        names = [keys.command(command_id), keys.queue(device_id), keys.busy, keys.waiting, keys.wake]
        return bool(self._ask(keys=names, args=[command_id, device_id]))

    def queued(self, device_id: str) -> int:
        """Return how many commands wait for a device."""
        shard = self._connection.shard_of(device_id)
        return 0 if shard is None else int(self._connection.redis.llen(CommandKeys(shard).queue(device_id)))

    def overdue_polls(self, before_ms: int) -> list[tuple[str, str]]:
        """Return (device, command) of those overdue to be asked for again by then: their job was lost."""
        found = []
        for shard in self._connection.shards:
            for member in self._connection.redis.zrangebyscore(CommandKeys(shard).waiting, "-inf", before_ms):
                device_id, _, command_id = member.decode().partition(" ")
                found.append((device_id, command_id))
        return found
