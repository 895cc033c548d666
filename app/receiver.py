"""Takes a callback: finds its device, reads it, stores it, and says what to answer the gateway. Contract §2.

A callback that isn't answered 200 holds up the device's whole queue. So whatever is authentic is kept and answered
done, understood or not; and only what isn't authentic, or can be kept nowhere, is refused.
"""

from __future__ import annotations

import json
import logging
import math
import re
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, NoReturn
from urllib.parse import parse_qs

import orjson
import redis

from app import ids
from app.events.flatten import Receipt
from app.gateway import callbacks
from app.gateway.callbacks import Callback, Envelope
from app.gateway.cipher import CipherError, ciphertext
from app.store import Store, StoreAway, is_away
from app.store.alerts import LISTEN_SECONDS
from app.store.devices import Device
from app.store.group import Unconfirmed
from app.store.ingest import DeviceChanged, Outcome
from app.store.spool import Spool, Spooled, SpoolFull

log = logging.getLogger("relay.callback")

_RETRY_STORE_SECONDS = 0.5
_TRIES = 5
_DEEPEST = 200
_MOST_PARTS = 500_000
_STRING_OR_BRACKET = re.compile(r'"(?:[^"\\]++|\\.)*+"|[\[\]{}]', re.DOTALL)
_AUTH_TOKEN = re.compile(rb'"(?i:AuthToken)"\s*+:\s*+"([ -!#-\[\]-~]{1,200})"')
_LARGEST_FORM = 4 * 1024 * 1024


def _tell(device: Device, outcome: Outcome) -> None:
    for entry in outcome.entries:
        event_id = ids.event_id(device.shard.number, entry.decode())
        log.debug("a callback of device %s is event %s", device.id, event_id, extra={"event_id": event_id})
    if outcome.duplicates:
        log.debug("a callback of device %s was here before, %d times", device.id, outcome.duplicates)


class Refused(Exception):
    """A callback that is not kept: `status` is what HTTP calls it, `counter` how it is counted."""

    def __init__(self, status: int, counter: str, detail: str) -> None:
        super().__init__(detail)
        self.status, self.counter, self.detail = status, counter, detail


@dataclass(frozen=True, slots=True)
class Authentic:
    """A callback whose device is known: its JSON, and that as bytes, decrypted."""

    device: Device
    document: dict[str, Any]
    callback: Callback
    body: bytes


class Receiver:
    """Receives callbacks for one process."""

    def __init__(self, store: Store, spool: Spool | None) -> None:
        self._store = store
        self._spool = spool
        self._away_until = 0.0
        self._listened = -math.inf
        self._stopped = threading.Event()

    # The store's coming and going

    def start(self) -> None:
        """Keeps up with the devices, and brings in what is spooled, each in a thread of its own.

        Bringing it in may take long, and a device that is registered meanwhile is to be known before the store goes
        away again.
        """
        for name, job in (("devices", self._keep_up), ("spool", self._replay)):
            threading.Thread(target=self._repeat, args=(name, job), name=name, daemon=True).start()

    def stop(self) -> None:
        self._stopped.set()

    def _repeat(self, name: str, job: Callable[[], None]) -> None:
        while not self._stopped.is_set():
            try:
                job()
            except (redis.RedisError, OSError) as error:
                log.debug("%s: waiting for the store (%s)", name, type(error).__name__)
            except Exception:
                log.exception("%s: failed; trying again", name)
            self._stopped.wait(_RETRY_STORE_SECONDS)

    def _keep_up(self) -> None:
        if time.monotonic() - self._listened > LISTEN_SECONDS:
            self._store.alerts.listening()
            self._listened = time.monotonic()
        self._store.devices.keep_up()

    def _replay(self) -> None:
        if self._spool is not None:
            count = self._spool.replay(self._store_spooled)
            if count:
                log.info("%d spooled callbacks are in the store now", count)

    def _store_spooled(self, item: Spooled) -> None:
        """It was authentic when it came, so a change of the device's secrets since then is no matter."""
        received_at = datetime.fromtimestamp(item.received_at, UTC)
        device = self._store.devices.get(item.device_id)
        while device is not None:
            authentic = _authentic_anyhow(device, item.body)
            try:
                self._keep(authentic, self._receipt(device, received_at, item.base_url))
                return
            except DeviceChanged:
                device = self._store.devices.refresh(item.device_id)
        log.warning("a spooled callback of device %s is left out: it was removed", item.device_id)

    # One callback

    def receive(self, body: bytes, hints: list[str], base_url: str) -> None:
        """Returns once the callback is kept. Raises Refused.

        `hints` are device ids from the URL, which must all be the device's.
        """
        for _ in range(_TRIES):
            with suppress(DeviceChanged):
                self._receive(body, hints, base_url)
                return
        raise Refused(503, "unavailable", "The device is being changed just now.")

    def _receive(self, body: bytes, hints: list[str], base_url: str) -> None:
        try:
            authentic = self._authenticate(body, hints)
        except StoreAway:
            raise Refused(
                503, "unavailable", "The store is away and this device is not known here yet."
            ) from None
        except redis.RedisError as error:
            if not is_away(error):
                raise
            raise Refused(503, "unavailable", "The store is away.") from None
        received_at = datetime.now(UTC)
        if time.monotonic() < self._away_until or (self._spool is not None and self._spool.waiting):
            self._spool_it(authentic, received_at, base_url)
            return
        try:
            self._keep(authentic, self._receipt(authentic.device, received_at, base_url))
        except DeviceChanged:
            with suppress(redis.RedisError):
                self._store.devices.refresh(authentic.device.id)
                self._store.devices.by_token(authentic.device.auth_token, anew=True)
            raise
        except Unconfirmed as error:
            # Not spooled: it could never leave the spool.
            log.error("%s", error)
            raise Refused(503, "unavailable", str(error)) from None
        except Exception as error:
            if isinstance(error, redis.RedisError | OSError) and is_away(error):
                self._away_until = time.monotonic() + _RETRY_STORE_SECONDS
            else:
                log.exception("a callback could not be stored and is spooled")
            self._spool_it(authentic, received_at, base_url)

    def _keep(self, authentic: Authentic, receipt: Receipt) -> None:
        ingest = self._store.ingest
        device, callback, document = authentic.device, authentic.callback, authentic.document
        try:
            outcome = ingest.store(device, callback, document, authentic.body, receipt)
        except (redis.RedisError, OSError, DeviceChanged, Unconfirmed):
            raise
        except Exception:
            # A mistake of ours must not hold up a device: keep the body whole, and say so by event.
            log.exception("a callback could not be read and is kept as it is")
            callback.facts.clear()
            callback.problems[:] = ["The relay failed to read this callback; please report it."]
            outcome = ingest.store(device, callback, document, authentic.body, receipt)
        if log.isEnabledFor(logging.DEBUG):
            _tell(device, outcome)

    def _spool_it(self, authentic: Authentic, received_at: datetime, base_url: str) -> None:
        """Failure policy: no spool, or no room in it, is 503, and the gateway keeps the callback."""
        if self._spool is None:
            raise Refused(503, "unavailable", "The store is away and RELAY_SPOOL is off.")
        try:
            self._spool.append(
                Spooled(authentic.device.id, received_at.timestamp(), base_url, authentic.body)
            )
        except SpoolFull as error:
            log.error("%s", error)
            raise Refused(503, "unavailable", "The store is away and the spool's disk is full.") from None

    def _receipt(self, device: Device, received_at: datetime, base_url: str) -> Receipt:
        return Receipt(
            device_id=device.id,
            device_label=device.record["label"],
            device_serial=device.record["serial_number"],
            received_at=received_at,
            retention=self._store.ingest.retention,
            base_url=base_url,
        )

    # Whose is it?

    def _authenticate(self, body: bytes, hints: list[str]) -> Authentic:
        text = body.strip(b" \t\r\n\0\xef\xbb\xbf")
        if text.startswith(b"{"):
            return self._authenticate_plain(text, hints)
        sealed = ciphertext(text)
        if sealed is not None:
            return self._authenticate_sealed(sealed, hints)
        if callbacks.old_version(text) is not None:
            return self._authenticate_plain(text, hints)
        if text.startswith((b"[", b'"')) or text[:1].isdigit() or text in (b"null", b"true", b"false"):
            raise Refused(400, "malformed", "The body is JSON, but not an object.")
        raise Refused(400, "malformed", "The body is neither a JSON object nor encrypted.")

    def _authenticate_plain(self, text: bytes, hints: list[str]) -> Authentic:
        envelope, unread = envelope_in(text)
        device = self._device(envelope, hints)
        if device.keys:
            device = self._fresh(device)  # its security key may have been removed since it was read here
        if device.keys:
            raise Refused(401, "unauthorised", "Plain text from a device that has a security key.")
        return _authentic(device, envelope, unread, text)

    def _authenticate_sealed(self, sealed: bytes, hints: list[str]) -> Authentic:
        plain = self._open(sealed, hints)
        envelope, unread = envelope_in(plain)
        device = self._device(envelope, hints)
        if not any(key.opens(sealed) for key in device.keys):
            device = self._fresh(device)  # it may have a new security key, which another device has, too
        if not any(key.opens(sealed) for key in device.keys):
            raise Refused(401, "unauthorised", "It is encrypted with another device's security key.")
        return _authentic(device, envelope, unread, plain)

    def _open(self, sealed: bytes, hints: list[str]) -> bytes:
        """The plain text, opened with a key of the device in the URL, or of any device.

        Of any, even so: a URL that names another device is to be told from a body that can't be read.
        """
        devices = self._store.devices
        hinted = devices.get(hints[0]) if hints else None
        opened = _try_keys(sealed, [hinted] if hinted is not None else [])
        if opened is None:
            opened = _try_keys(sealed, devices.known_with_keys())
        if opened is None:
            opened = _try_keys(sealed, devices.with_keys())
        if opened is None:
            raise Refused(400, "undecryptable", "The body can't be decrypted with a known security key.")
        return opened

    def _fresh(self, device: Device) -> Device:
        """The device as it is now, or as it was last read while the store is away."""
        with suppress(redis.RedisError, OSError):
            return self._store.devices.refresh(device.id) or device
        return device

    def _device(self, envelope: Envelope, hints: list[str]) -> Device:
        """The device with the callback's token that the hints and, where several share it, the serial are of.

        Of the document nothing else is read before: who is nobody is to cost no more than that.
        """
        auth_token = envelope.auth_token
        if auth_token:
            for anew in (False, True):  # another process may have registered a device with the same token
                found = self._store.devices.by_token(auth_token, anew=anew)
                if hints:
                    found = [device for device in found if all(hint == device.id for hint in hints)]
                if len(found) > 1:
                    serial = envelope.serial
                    found = [
                        device
                        for device in found
                        if serial in (device.id, device.record["serial_number"] or "")
                    ]
                if len(found) == 1:
                    return found[0]
        raise Refused(401, "unauthorised", "No device has this AuthToken, or the URL names another device.")


def _try_keys(sealed: bytes, devices: list[Device]) -> bytes | None:
    for device in devices:
        for key in device.keys:
            if key.opens(sealed):
                with suppress(CipherError):
                    return key.open(sealed)
    return None


def envelope_in(text: bytes) -> tuple[Envelope, str | None]:
    """Of a body's JSON whose it is, and a sentence why nothing more of it is to be read, or None. Raises Refused."""
    document, unread = _document_in(text)
    return callbacks.envelope_of(document), unread


def _document_in(text: bytes) -> tuple[dict[str, Any], str | None]:
    if len(text) > _MOST_PARTS and sum(map(text.count, (b"[", b"{", b","))) > _MOST_PARTS:
        # Its JSON would take seconds and hundreds of megabytes, of anybody who sends it. One string in it is enough
        # to tell whose it is, and then to keep it.
        found = _AUTH_TOKEN.search(text)
        known = {"AuthToken": found[1].decode() if found else None, "Digest": sha256(text).hexdigest()}
        return known, "The body has more parts than any callback has."
    old = None if text.startswith(b"{") else callbacks.old_version(text)
    if old is None:
        return parse(text), None
    # A form of version 2.0 is kept if its JSON holds the device's AuthToken; 1.0 knows no token at all.
    form = form_json(text)
    if form is None:
        raise Refused(401, "unauthorised", old)
    return form, old


def _authentic(device: Device, envelope: Envelope, unread: str | None, body: bytes) -> Authentic:
    """A device's callback with all that it says, or with why nothing of it is to be read."""
    callback = callbacks.read_enveloped(envelope, device.timezone)
    if unread is not None:
        callback.facts.clear()
        callback.problems[:] = [unread]
    return Authentic(device, envelope.document, callback, body)


def _authentic_anyhow(device: Device, body: bytes) -> Authentic:
    """The same of what another version of the relay has acknowledged: what this one refuses is kept unread."""
    try:
        return _authentic(device, *envelope_in(body), body)
    except Refused as error:
        why = error.detail
    except Exception:
        log.exception("a spooled callback could not be read and is kept as it is")
        why = "The relay failed to read this callback; please report it."
    return _authentic(device, callbacks.envelope_of({"Digest": sha256(body).hexdigest()}), why, body)


def parse(text: bytes) -> dict[str, Any]:
    """A JSON object, strictly at first, then as other parsers would take it. Raises Refused."""
    try:
        document = orjson.loads(text)
    except orjson.JSONDecodeError:
        try:
            document = _tolerantly(text.decode("utf-8", "replace"))
        except (ValueError, RecursionError):
            raise Refused(400, "malformed", "The body is not JSON.") from None
    if not isinstance(document, dict):
        raise Refused(400, "malformed", "The body is JSON, but not an object.")
    return document


def _tolerantly(text: str) -> Any:
    """JSON with lone surrogates, huge numbers or nesting that no parser takes; raises ValueError."""
    options: dict[str, Any] = {"parse_constant": _no_constant, "parse_int": _whole, "strict": False}
    try:
        return json.loads(text, **options)
    except RecursionError:
        return json.loads(_cut_deep(text), **options)


def _whole(digits: str) -> int | float:
    # Python refuses to read integers of very many digits; as a float it is a value that nobody can read.
    return int(digits) if len(digits) < 400 else float(digits)


def _cut_deep(text: str) -> str:
    """The same JSON with null for what is nested deeper than anything a gateway means."""
    kept, depth, start = [], 0, 0
    for token in _STRING_OR_BRACKET.finditer(text):
        bracket = token.group()[0]
        if bracket in "[{":
            depth += 1
            if depth == _DEEPEST + 1:
                kept += [text[start : token.start()], "null"]
        elif bracket in "]}":
            if depth == _DEEPEST + 1:
                start = token.end()
            depth -= 1
    if depth > _DEEPEST:
        raise ValueError("not closed")
    return "".join([*kept, text[start:]])


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def form_json(text: bytes) -> dict[str, Any] | None:
    """The JSON in the form field `request_data` of version 2.0; None if there is none."""
    if len(text) > _LARGEST_FORM:  # taking a form apart is slow
        return None
    try:
        values = parse_qs(text.decode(), max_num_fields=50).get("request_data")
        return parse(values[0].encode()) if values else None
    except (ValueError, Refused):
        return None
