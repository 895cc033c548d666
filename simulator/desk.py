"""The gateway's part of a device's commands: checks them, holds them, and remembers their results.

The checks come in this order: encryption (4, 13, 19), JSON (1), AuthToken (7), structure and values (3, 1, 10, 15),
version of the API (29), connection mode (15), one call at a time (37). Then, after the device's delay, either the
device is there and carries the command out, or the gateway keeps it (5, 6) until the device is.
"""

import hmac
import json
import time
from collections import OrderedDict, deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from threading import Lock

from simulator.cipher import encrypt
from simulator.codes import Code, Refused, status_text
from simulator.device import Device
from simulator.envelope import Envelope, open_envelope
from simulator.execute import execute
from simulator.faults import Fault
from simulator.operations import Command, Rules, parse
from simulator.spec import new_operation_id

_RECEIVED_KEPT = 1000
_RESULTS_KEPT = 10000
# A caller whose body the device's key can't decrypt couldn't decrypt the answer, either.
_ANSWERED_PLAIN = frozenset({Code.INVALID_ENCRYPTION, Code.INVALID_SECURITY_KEY, Code.PLAIN_TEXT_NOT_ALLOWED})

Answer = dict[str, object]
# Distinguishes a repeated command from a new one: public samples use one OperationID for many operations.
CommandKey = tuple[str, str]


@dataclass(frozen=True)
class Reply:
    """The answer over HTTP. With `drop`, the connection is closed without an answer."""

    body: bytes = b""
    http_status: int = 200
    drop: bool = False


@dataclass
class Receipt:
    """A command as it was received, for tests: `body` with its secrets, or the text if it wasn't JSON."""

    received_at: str
    operation: str | None
    operation_id: str
    body: object
    encrypted: bool
    # Filled in when it is answered; `why` is for people and never sent to the caller.
    status_code: int | None = None
    why: str = ""


class Desk:
    """Answers the commands of one device."""

    def __init__(self, device: Device) -> None:
        self._device = device
        self._busy = Lock()
        self._held: OrderedDict[CommandKey, Command] = OrderedDict()
        self._results: OrderedDict[CommandKey, tuple[float, Answer]] = OrderedDict()
        self._faults: deque[Fault] = deque()
        self.received: deque[Receipt] = deque(maxlen=_RECEIVED_KEPT)
        self.received_count = 0
        device.on_reachable(self._carry_out_held)

    @property
    def held_count(self) -> int:
        """Return how many commands wait for the device to come back."""
        return len(self._held)

    @property
    def fault_count(self) -> int:
        return len(self._faults)

    def set_faults(self, faults: list[Fault]) -> None:
        """Set the next answers, one per command. With an empty list, answers are true again."""
        with self._device.lock:
            self._faults = deque(faults)

    def answer(self, raw: bytes) -> Reply:
        """Return the reply to a command's body as it came over HTTP."""
        spec = self._device.spec
        envelope = open_envelope(raw, spec.security_key)
        command = self._read(envelope)
        operation = command.operation if isinstance(command, Command) else None
        receipt = Receipt(_now(), operation, envelope.operation_id, envelope.body, envelope.encrypted)
        with self._device.lock:
            self.received.append(receipt)
            self.received_count += 1
            fault = self._faults.popleft() if self._faults else Fault()
        if fault.replaces_answer:
            return self._wrong_reply(fault, envelope, command, receipt)
        try:
            answer = self._attend(envelope, command, fault.delay)
            receipt.status_code = _code(answer)
        except Refused as refused:
            receipt.status_code, receipt.why = refused.code, refused.why
            answer = make_answer(envelope.operation_id, refused.code)
            if refused.code in _ANSWERED_PLAIN:
                return Reply(to_json(answer))
        return Reply(self._seal(answer))

    # --- reading and checking ---

    def _read(self, envelope: Envelope) -> Command | Refused:
        if envelope.problem is not None or not isinstance(envelope.body, dict):
            return envelope.problem or Refused(Code.INVALID_REQUEST_DATA, "not an object")
        spec = self._device.spec
        try:
            return parse(envelope.body, Rules(self._device.clock.zone, spec.strict_sizes, spec.lenient))
        except Refused as refused:
            return refused

    def _check(self, envelope: Envelope, command: Command | Refused) -> Command:
        """Return the command, if everything that the gateway can check is right."""
        if envelope.problem is None and isinstance(envelope.body, dict):
            token = str(envelope.body.get("AuthToken")).encode()
            if not hmac.compare_digest(token, self._device.spec.auth_token.encode()):
                raise Refused(Code.INVALID_AUTH_TOKEN, "this is not the device's AuthToken")
        if isinstance(command, Refused):
            raise command
        if self._device.spec.api_version != "3.0":
            raise Refused(Code.NOT_ON_API_3, f"the device is on version {self._device.spec.api_version}")
        if self._device.spec.attendance_only:
            raise Refused(Code.FEATURE_NOT_SUPPORTED, f"mode {self._device.spec.mode} has no RESTful API")
        return command

    # --- carrying out ---

    def _attend(self, envelope: Envelope, command: Command | Refused, extra_delay: float) -> Answer:
        """Return the true answer, after the time it takes."""
        checked = self._check(envelope, command)
        with self._one_call():
            self._device.closed.wait(self._device.spec.delay_seconds + extra_delay)
            with self._device.lock:
                return self._remembered(checked) or self._do_or_hold(checked)

    @contextmanager
    def _one_call(self) -> Iterator[None]:
        if not self._busy.acquire(blocking=False):
            raise Refused(Code.ANOTHER_CALL_IN_PROGRESS, "another call for this device is in progress")
        try:
            yield
        finally:
            self._busy.release()

    def _do_or_hold(self, command: Command) -> Answer:
        if self._device.reachable:
            return self._do(command)
        # A held command that is sent again is found here, so it is never carried out twice.
        self._held.setdefault(_key(command) if command.operation_id else (new_operation_id(), ""), command)
        # Out of reach means switched off or not acknowledging; the second is what is to be seen of both.
        code = Code.OPERATION_TIMEOUT if self._device.timeout else Code.DEVICE_OFFLINE
        raise Refused(code, "the gateway holds the command for the device")

    def _carry_out_held(self) -> None:
        """Carry out the held commands in order, because the device is back. The caller holds the device's lock."""
        while self._held:
            _, command = self._held.popitem(last=False)
            self._do(command)

    def _do(self, command: Command) -> Answer:
        try:
            result = execute(self._device, command)
            answer = make_answer(command.operation_id, Code.SUCCESS) | dict(result)
            if command.operation == "LoadLog":
                # As documented: "LoadLog may leave StatusCode out when Status is done".
                del answer["StatusCode"]
        except Refused as refused:
            answer = make_answer(command.operation_id, refused.code)
        self._remember(command, answer)
        return answer

    def _remember(self, command: Command, answer: Answer) -> None:
        # Without an OperationID (lenient), nothing distinguishes a repeated command from a new one.
        if self._device.spec.remember_seconds > 0 and command.operation_id:
            until = time.monotonic() + self._device.spec.remember_seconds
            self._results[_key(command)] = (until, answer)
            while len(self._results) > _RESULTS_KEPT:
                self._results.popitem(last=False)

    def _remembered(self, command: Command) -> Answer | None:
        until, answer = self._results.get(_key(command), (0.0, {}))
        return answer if until > time.monotonic() else None

    # --- answering ---

    def _wrong_reply(
        self, fault: Fault, envelope: Envelope, command: Command | Refused, receipt: Receipt
    ) -> Reply:
        """Return the wrong answer that a test requested. With `carry_out`, the command has been carried out anyway."""
        receipt.why = "a fault was asked for"
        if fault.carry_out:
            try:
                self._attend(envelope, command, fault.delay)
            except Refused as refused:
                receipt.why += f"; else refused: {refused.why}"
        else:
            self._device.closed.wait(fault.delay)
        if fault.drop:
            return Reply(drop=True)
        receipt.status_code = fault.status_code
        if fault.status_code is not None:
            answer = make_answer(envelope.operation_id, fault.status_code, fault.status)
            return Reply(self._seal(answer), fault.http_status or 200)
        return Reply((fault.body or "").encode(), fault.http_status or 200)

    def _seal(self, answer: Answer) -> bytes:
        key = self._device.spec.security_key
        return encrypt(to_json(answer), key) if key else to_json(answer)


def make_answer(operation_id: str, code: int, status: str | None = None) -> Answer:
    """Return the documented body of an answer."""
    return {
        "Status": status_text(code) if status is None else status,
        "OperationID": operation_id,
        "StatusCode": int(code),
    }


def _key(command: Command) -> CommandKey:
    return command.operation_id, command.digest


def _code(answer: Answer) -> int:
    code = answer.get("StatusCode", Code.SUCCESS)
    assert isinstance(code, int)
    return int(code)


def to_json(answer: Answer) -> bytes:
    """Return an answer's bytes, before encryption."""
    return json.dumps(answer, ensure_ascii=False).encode()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
