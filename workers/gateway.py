"""Talks to the gateway for one command: builds and sends its body, and reads what is answered.

LoadLog is asked for window by window and page by page. Another call in progress (37) is waited out.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import orjson

from app.gateway import clock, codes
from app.gateway import commands as protocol
from app.gateway.bodies import CREDENTIAL_FIELDS
from app.gateway.callbacks import Punch
from app.gateway.cipher import CipherError, ciphertext
from app.gateway.operations import Operation
from app.store.devices import Device
from workers.calls import NOT_SENT, Request, Response
from workers.http import Client

_ANSWER_LIMIT = 8 * 1024 * 1024
_BUSY_WAITS = (1.0, 2.0, 3.0, 5.0)  # seconds between tries while another call for the device is in progress
_ROWS_LIMIT = 200_000
_BOM = b"\xef\xbb\xbf"
_NO_ANSWER = ("timeout", "reset", "closed")
_SHORTEST_SECRET = 4  # shorter ones are in half of all texts
_LONGEST_STATUS = 200
_PART = 16  # characters of a secret that are no coincidence


@dataclass(slots=True)
class Exchange:
    """What a command has brought so far."""

    logs: list[Punch] = field(default_factory=list)
    reported: int | None = None
    result: dict[str, Any] = field(default_factory=dict)
    unread: int = 0  # problems with rows that could not be read


@dataclass(frozen=True, slots=True)
class End:
    """How an exchange ended: a StatusCode, or what kept us from one.

    `no_answer`: it was sent, and the connection brought no answer. `sent`: the gateway may have got it.
    `field`: what of the request is at fault, where that is known.
    """

    code: int | None
    gateway_status: str | None = None
    message: str | None = None
    http_status: int | None = None
    no_answer: bool = False
    sent: bool = True
    field: str | None = None

    @property
    def held(self) -> bool:
        """Whether the gateway may still hold the command."""
        return self.no_answer or self.code in codes.STILL_HELD

    @property
    def uncertain(self) -> bool:
        """Whether the command may be carried out without its having been said."""
        return self.held or (self.code is None and self.sent)


class GatewayClient:
    """Carries commands to the gateway."""

    def __init__(self, http: Client, command_timeout: float) -> None:
        self._http = http
        self._timeout = command_timeout

    async def carry_out(
        self, device: Device, operation: Operation, values: Mapping[str, Any], operation_id: str
    ) -> tuple[End, Exchange]:
        """Sends a command, in as many requests as it needs; how it ended and what it brought."""
        exchange = Exchange()
        if operation.action == "load-log":
            end = await self._load_log(device, operation, values, operation_id, exchange)
        else:
            end = await self._ask(device, operation, values, operation_id, exchange)
        return end, exchange

    async def _load_log(
        self,
        device: Device,
        operation: Operation,
        values: Mapping[str, Any],
        operation_id: str,
        exchange: Exchange,
    ) -> End:
        zone = device.timezone
        start, end = (clock.parse(values[name], default_tz=zone) for name in ("start_time", "end_time"))
        number, reported = 0, None
        for first, last in protocol.windows(start, end):
            offset: object = ""
            seen: set[str] = set()
            exchange.reported = None
            while True:
                page = {**values, "start_time": first, "end_time": last, "offset": offset}
                # Each page is an operation of its own, with an OperationID that is the same when asked again.
                page_id = operation_id if number == 0 else f"{operation_id}{number}"
                brought_before = len(exchange.logs) + exchange.unread
                ended = await self._ask(device, operation, page, page_id, exchange)
                number += 1
                if ended.code != codes.SUCCESS:
                    return ended
                offset = exchange.result.pop("offset", None)
                brought = len(exchange.logs) + exchange.unread
                if not offset or str(offset) in seen or brought == brought_before:
                    break
                if brought > _ROWS_LIMIT:
                    message = f"More than {_ROWS_LIMIT} rows: ask for a shorter period."
                    return End(None, None, message, 422, field="end_time")
                seen.add(str(offset))
            if exchange.reported is not None:
                reported = (reported or 0) + exchange.reported
        exchange.reported = reported
        return End(codes.SUCCESS, "done")

    async def _ask(
        self,
        device: Device,
        operation: Operation,
        values: Mapping[str, Any],
        operation_id: str,
        exchange: Exchange,
    ) -> End:
        """One request, again for as long as another call for the device is in progress."""
        deadline = time.monotonic() + self._timeout
        tries = 0
        while True:
            response = await self._send(device, operation, values, operation_id, deadline)
            end = self._read(device, values, response, exchange)
            if end.code != codes.BUSY:
                return end
            wait = _BUSY_WAITS[min(tries, len(_BUSY_WAITS) - 1)]
            if time.monotonic() + wait >= deadline:
                return end
            tries += 1
            await asyncio.sleep(wait)

    async def _send(
        self,
        device: Device,
        operation: Operation,
        values: Mapping[str, Any],
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
            once=operation.effect != "read",  # or libcurl may send it twice by itself
        )
        return await self._http.fetch(request)

    # Answers

    def _read(self, device: Device, values: Mapping[str, Any], response: Response, exchange: Exchange) -> End:
        """What an answer says; its rows and fields go to `exchange`."""
        if response.error in NOT_SENT:
            refused = response.error == "refused_address"
            message = f"The gateway could not be reached: {response.detail}"
            where = "gateway_url" if refused else None
            return End(None, None, message, 422 if refused else 502, sent=False, field=where)
        if response.error in _NO_ANSWER:
            message = f"The gateway's answer did not come: {response.detail}"
            return End(None, None, message, 504 if response.error == "timeout" else 502, no_answer=True)
        whole = response.error is None
        answer = protocol.parse_answer(_decode(device, response.body) if whole else None, device.timezone)
        status = _without_secrets(answer.status_text, device, values)
        if answer.status_code is None:
            why = response.detail or "The gateway's answer is not the protocol's: check the gateway_url."
            return End(None, status or f"HTTP {response.status}", why, 502)
        if answer.status_code == codes.SUCCESS:
            exchange.logs += answer.logs
            exchange.unread += len(answer.problems)
            _count(exchange, answer.result)
            exchange.result |= answer.result
        return End(answer.status_code, status)


def _count(exchange: Exchange, result: dict[str, Any]) -> None:
    """The rows that the gateway says a window has: in all its pages, or those of each added up."""
    in_all, returned = result.pop("actual_row_count", None), result.pop("reported_row_count", None)
    if isinstance(in_all, int):
        exchange.reported = in_all
    elif isinstance(returned, int):
        exchange.reported = (exchange.reported or 0) + returned


def _decode(device: Device, body: bytes) -> object:
    """The answer's JSON; None if it isn't any. It is encrypted, or plain where the gateway complains."""
    text = body.removeprefix(_BOM).strip()
    sealed = ciphertext(text)
    if sealed is not None:
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


def _without_secrets(text: str, device: Device, values: Mapping[str, Any]) -> str:
    """The gateway's own text, should it repeat what it was sent, or a part that is long enough to be told."""
    text = text.replace("\\/", "/")
    sent = [device.auth_token, *(values.get(name) for name in CREDENTIAL_FIELDS.values())]
    for secret in sent:
        if isinstance(secret, str) and len(secret) >= _SHORTEST_SECRET:
            text = _without_parts(text.replace(secret, "…")[: _LONGEST_STATUS + _PART], secret)
    return text[:_LONGEST_STATUS]


def _without_parts(text: str, secret: str) -> str:
    """`text` with "…" for whatever run of `_PART` characters and more is of `secret`."""
    said = list(text)
    for start in range(len(text) - _PART + 1):
        if text[start : start + _PART] in secret:
            said[start : start + _PART] = ["…"] * _PART
    return re.sub("…+", "…", "".join(said))
