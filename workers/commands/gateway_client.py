"""Sends a command to the gateway: builds its body, sends it, and reads the answer.

LoadLog is requested in windows and pages. If another call is in progress (37), the client waits and tries again.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import orjson

from app.base import simulated_device_request
from app.gateway import clock, status_codes
from app.gateway import commands as protocol
from app.gateway.callbacks import Punch
from app.gateway.cipher import CipherError, ciphertext
from app.gateway.command_answers import Answer
from app.gateway.command_bodies import CREDENTIAL_FIELDS
from app.gateway.operations import Operation
from app.store.devices.registry import Device
from workers.http.client import Client
from workers.http.messages import NOT_SENT, Request, Response

_ANSWER_LIMIT = 8 * 1024 * 1024
_BUSY_WAITS = (1.0, 2.0, 3.0, 5.0)  # seconds between tries while another call for the device is in progress
_ROWS_LIMIT = 200_000
_BOM = b"\xef\xbb\xbf"
_NO_ANSWER = ("timeout", "reset", "closed")
_SHORTEST_SECRET = 4  # shorter ones occur in half of all texts
_LONGEST_STATUS = 200
_CONTENT_TYPE = re.compile(r"[\w.+-]{1,40}/[\w.+-]{1,60}", re.ASCII)
_PART = 16  # characters of a secret that can't match by coincidence


@dataclass(slots=True)
class Exchange:
    """The results of a command so far."""

    logs: list[Punch] = field(default_factory=list)
    reported: int | None = None
    result: dict[str, Any] = field(default_factory=dict)
    unread: int = 0  # problems with rows that couldn't be read


@dataclass(frozen=True, slots=True)
class End:
    """The end of an exchange: a StatusCode, or why there is none.

    `no_answer`: it was sent, but there was no answer. `sent`: the gateway may have received it. `field`: the field of
    the request that is at fault, if known.
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
        """Return whether the gateway may still hold the command."""
        return self.no_answer or self.code in status_codes.STILL_HELD

    @property
    def uncertain(self) -> bool:
        """Return whether the command may have been carried out without an answer that says so."""
        return self.held or (self.code is None and self.sent)


class GatewayClient:
    """Sends commands to the gateway."""

    def __init__(self, http: Client, command_timeout: float) -> None:
        self._http = http
        self._timeout = command_timeout

    async def carry_out(
        self, device: Device, operation: Operation, values: Mapping[str, Any], operation_id: str
    ) -> tuple[End, Exchange]:
        """Send a command, in as many requests as necessary; return its end and its results."""
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
                # Each page is a separate operation, with an OperationID that stays the same when it is requested
                # again.
                page_id = operation_id if number == 0 else f"{operation_id}{number}"
                brought_before = len(exchange.logs) + exchange.unread
                ended = await self._ask(device, operation, page, page_id, exchange)
                number += 1
                if ended.code != status_codes.SUCCESS:
                    return ended
                offset = exchange.result.pop("offset", None)
                brought = len(exchange.logs) + exchange.unread
                if not offset or str(offset) in seen or brought == brought_before:
                    break
                if brought > _ROWS_LIMIT:
                    message = f"The result has more than {_ROWS_LIMIT} rows. Request a shorter period."
                    return End(None, None, message, 422, field="end_time")
                seen.add(str(offset))
            if exchange.reported is not None:
                reported = (reported or 0) + exchange.reported
        exchange.reported = reported
        return End(status_codes.SUCCESS, "done")

    async def _ask(
        self,
        device: Device,
        operation: Operation,
        values: Mapping[str, Any],
        operation_id: str,
        exchange: Exchange,
    ) -> End:
        """Send one request, and repeat it while another call for the device is in progress."""
        deadline = time.monotonic() + self._timeout
        tries = 0
        while True:
            response = await self._send(device, operation, values, operation_id, deadline)
            end = self._read(device, values, operation_id, response, exchange)
            if end.code != status_codes.BUSY:
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
        simulated = simulated_device_request.gateway_of(url)
        request = Request(
            f"{url}{joint}stgid={quote(device.id)}",
            content,
            ["content-type: application/json", "expect:"],
            max(1.0, deadline - time.monotonic()),
            max_body=_ANSWER_LIMIT,
            once=operation.effect != "read" or simulated is not None,  # otherwise, libcurl may send it twice
            also=simulated,
        )
        return await self._http.fetch(request)

    # Answers

    def _read(
        self,
        device: Device,
        values: Mapping[str, Any],
        operation_id: str,
        response: Response,
        exchange: Exchange,
    ) -> End:
        """Read an answer; its rows and fields are added to `exchange`. Only an answer of the protocol has a code."""
        if response.error in NOT_SENT:
            refused = response.error == "refused_address"
            message = f"The gateway could not be reached: {response.detail}"
            where = "gateway_url" if refused else None
            return End(None, None, message, 422 if refused else 502, sent=False, field=where)
        if response.error in _NO_ANSWER:
            message = f"The gateway didn't respond: {response.detail}"
            return End(None, None, message, 504 if response.error == "timeout" else 502, no_answer=True)
        whole = response.error is None
        answer = protocol.parse_answer(_decode(device, response.body) if whole else None, device.timezone)
        status = _without_secrets(answer.status_text, device, values)
        if (
            response.detail is not None
            or answer.status_code is None
            or not _is_ours(answer, operation_id, response)
        ):
            why = response.detail or _elsewhere(response)
            return End(None, status or f"HTTP {response.status}", why, 502)
        if answer.status_code == status_codes.SUCCESS:
            exchange.logs += answer.logs
            exchange.unread += len(answer.problems)
            _count(exchange, answer.result)
            exchange.result |= answer.result
        return End(answer.status_code, status)


def _is_ours(answer: Answer, operation_id: str, response: Response) -> bool:
    """Return whether it is the gateway's answer to this request: 200, a Status, and our OperationID if it has one.

    A gateway that couldn't decrypt or read a request doesn't know its OperationID.
    """
    if response.status != HTTPStatus.OK or not answer.status_text:
        return False
    is_other = answer.operation_id is not None and answer.operation_id.strip() != operation_id
    return not is_other or answer.status_code in status_codes.REQUEST_NOT_READ


def _elsewhere(response: Response) -> str:
    """Return the message for an answer that isn't the protocol's, with hints about where it came from."""
    given = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    kind = given if _CONTENT_TYPE.fullmatch(given) else "no content type"
    return (
        f"This does not look like the Cams gateway: check gateway_url. It answered HTTP {response.status} with "
        f"{kind}, and nothing that answers this command."
    )


def _count(exchange: Exchange, result: dict[str, Any]) -> None:
    """Count the rows that the gateway reports for a window: in total, or added up from its pages."""
    in_all, returned = result.pop("actual_row_count", None), result.pop("reported_row_count", None)
    if isinstance(in_all, int):
        exchange.reported = in_all
    elif isinstance(returned, int):
        exchange.reported = (exchange.reported or 0) + returned


def _decode(device: Device, body: bytes) -> object:
    """Return the answer's JSON, or None. It is encrypted, or unencrypted if the gateway reports an error."""
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
    """Remove secrets from the gateway's text, which may quote them or long parts of them."""
    text = text.replace("\\/", "/")
    sent = [device.auth_token, *(values.get(name) for name in CREDENTIAL_FIELDS.values())]
    for secret in sent:
        if isinstance(secret, str) and len(secret) >= _SHORTEST_SECRET:
            text = _without_parts(text.replace(secret, "…")[: _LONGEST_STATUS + _PART], secret)
    return text[:_LONGEST_STATUS]


def _without_parts(text: str, secret: str) -> str:
    """Return `text` with "…" in place of parts of `secret` with `_PART` or more characters."""
    said = list(text)
    for start in range(len(text) - _PART + 1):
        if text[start : start + _PART] in secret:
            said[start : start + _PART] = ["…"] * _PART
    return re.sub("…+", "…", "".join(said))
