"""Finds a callback's device by its AuthToken, the device ID in the URL, and the Security Key. Contract §2."""

from __future__ import annotations

import logging
import time
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import redis

from app.base.throttle import OnceAMinute
from app.base.vault import SealError
from app.callbacks.body import Affords, Refused, envelope_in, sealed_in_form
from app.callbacks.forms import device_ids_in, fields_in
from app.callbacks.key_search import KeySearch
from app.callbacks.token_search import tokens_in
from app.gateway import callbacks, legacy_callbacks
from app.gateway.callbacks import Callback, Envelope
from app.gateway.cipher import ciphertext
from app.limits.allowance import FairAllowance
from app.store.alerts.refused import NO_DEVICE
from app.store.devices.registry import Device, Devices

_once = OnceAMinute()
log = logging.getLogger("relay.callback")

_AROUND = b" \t\r\n\0\xef\xbb\xbf"  # may surround a body; includes a byte order mark


_CURRENT = "3.0"  # version of the Web API

# Bytes of tolerant parsing, some 600 ns each, for bodies in which no device's AuthToken was found.
_PARSED_A_SECOND = 64 * 1024
_MOST_PARSED = 1024 * 1024
_LONGEST_PARSED = 128 * 1024  # bytes of one such body: 80 ms, during which the process does nothing else
# Lookups in the store for tokens and keys that this process doesn't know: a round trip each.
_ASKED_A_SECOND = 100
_MOST_ASKED = 500


@dataclass(frozen=True, slots=True)
class Authentic:
    """A callback whose device is known; `document` is its JSON, and `body` the same as decrypted bytes."""

    device: Device
    document: dict[str, Any]
    callback: Callback
    body: bytes


class Authenticator:
    """Finds the devices of callbacks, in the process's own data about devices or, if necessary, in the store."""

    def __init__(self, devices: Devices, most_devices_without_hint: int) -> None:
        self._devices = devices
        self._parsing = FairAllowance(_PARSED_A_SECOND, _MOST_PARSED)
        self._asking = FairAllowance(_ASKED_A_SECOND, _MOST_ASKED)
        self._search = KeySearch(devices, most_devices_without_hint, self._asking)

    def authenticate(
        self, body: bytes, hints: list[str], secret: str = "", *, trusted: bool = False
    ) -> Authentic:
        """Return the callback and its device. Raises Refused, and StoreAway if the store is needed but away.

        `hints` are device IDs from the URL, which must all be the device's; `secret` is the URL's callback secret.
        `trusted`: genuine callbacks recently came from the same address, so garbage from strangers doesn't count
        against it.
        """
        authentic = self._by_body(body, hints, secret, trusted)
        self._check_secret(authentic.device, secret)
        return authentic

    def _by_body(self, body: bytes, hints: list[str], secret: str, trusted: bool) -> Authentic:
        text = body.strip(_AROUND)
        if text.startswith(b"{"):
            return self._plain(text, hints, trusted)
        sealed = ciphertext(text)
        if sealed is not None:
            return self._sealed(sealed, hints, trusted)
        version = callbacks.old_version(text)
        if version == "1.0":
            return self._version_1(text, hints, secret, trusted)
        if version is not None:
            sealed = sealed_in_form(text, self._affords(text, trusted))
            return (
                self._plain(text, hints, trusted) if sealed is None else self._sealed(sealed, hints, trusted)
            )
        if text.startswith((b"[", b'"')) or text[:1].isdigit() or text in (b"null", b"true", b"false"):
            raise Refused(400, "malformed", "The body is JSON, but not an object.")
        raise Refused(400, "malformed", "The body is neither a JSON object nor encrypted.")

    def _check_secret(self, device: Device, secret: str) -> None:
        """Refuse a URL without the callback secret that the device requires. The refusal never quotes it."""
        if not device.wants_callback_secret or device.takes_callback_secret(secret):
            return
        device = self._fresh(device)  # it may have a new one, or no longer need one
        if device.wants_callback_secret and not device.takes_callback_secret(secret):
            raise Refused(
                401,
                "unauthorised",
                "The callback secret (?k=…) in the Callback URL is missing or wrong.",
                device_id=device.id,
                auth_token=device.auth_token,
            )

    def _plain(self, text: bytes, hints: list[str], trusted: bool) -> Authentic:
        envelope, unread = envelope_in(text, self._affords(text, trusted))
        device = self._device(envelope, hints, trusted)
        return _authentic(self._without_key(device), envelope, unread, text)

    def _without_key(self, device: Device) -> Device:
        """Return the device of an unencrypted body. Raises Refused if the device has a Security Key."""
        if device.keys:
            device = self._fresh(device)  # its Security Key may have been removed since it was read here
        if device.keys:
            raise Refused(
                401,
                "unauthorised",
                "The body isn't encrypted, but the device has a Security Key.",
                device_id=device.id,
                auth_token=device.auth_token,
            )
        return device

    def _version_1(self, text: bytes, hints: list[str], secret: str, trusted: bool) -> Authentic:
        """Authenticate a callback without an AuthToken, only by the URL's callback secret.

        The refusal is the same for every reason, so that it doesn't reveal which devices exist.
        """
        hints = [*hints, *device_ids_in(text)]
        device = None
        if secret and len(set(hints)) == 1:
            device = self._devices.known(hints[0])
            if not _takes_version_1(device, secret) and self._asking.take(1, trusted=trusted):
                device = self._devices.get(hints[0]) if device is None else self._fresh(device)
        if device is None or not _takes_version_1(device, secret):
            claimed = hints[0] if hints else None
            raise Refused(401, "unauthorised", legacy_callbacks.VERSION_1_REFUSED, device_id=claimed)
        return _authentic_version_1(self._without_key(device), text)

    def _affords(self, text: bytes, trusted: bool) -> Affords:
        """Return whether a body is worth long parsing: it has a device's AuthToken, or little was parsed lately."""
        found: list[bool] = []

        def affords(cost: int) -> bool:
            if not found:
                found.append(self._is_of_a_device(text, trusted))
            return found[0] or (cost <= _LONGEST_PARSED and self._parsing.take(cost, trusted=trusted))

        return affords

    def _is_of_a_device(self, text: bytes, trusted: bool) -> bool:
        """Return whether a body has a device's AuthToken. If none is known here, ask the store about the first."""
        tokens = list(tokens_in(text))
        if any(self._devices.known_by_token(token) for token in tokens):
            return True
        return bool(tokens and self._asked_for(tokens[0], trusted))

    def _sealed(self, sealed: bytes, hints: list[str], trusted: bool) -> Authentic:
        plain = self._open(sealed, hints, trusted).strip(_AROUND)
        envelope, unread = envelope_in(plain)
        device = self._device(envelope, hints, trusted)
        if not any(key.opens(sealed) for key in device.keys):
            device = self._fresh(device)  # it may have a new Security Key, which another device has, too
        if not any(key.opens(sealed) for key in device.keys):
            raise Refused(
                401,
                "unauthorised",
                "The body is encrypted with another device's Security Key.",
                device_id=device.id,
                auth_token=device.auth_token,
            )
        return _authentic(device, envelope, unread, plain)

    def _open(self, sealed: bytes, hints: list[str], trusted: bool) -> bytes:
        """Decrypt a body with a key of the device in the URL, or of any other device.

        All devices' keys are tried, so that a URL with the wrong device isn't reported as a body that can't be read.
        """
        hinted = self._hinted(hints, trusted)
        opened = self._search.open(sealed, hinted, hints=bool(hints), trusted=trusted)
        if opened is None:
            raise Refused(400, "undecryptable", "The body can't be decrypted with any known Security Key.")
        return opened

    def _hinted(self, hints: list[str], trusted: bool) -> Device | None:
        """Return the first device in the URL, if this process knows it or may ask the store for it."""
        if not hints:
            return None
        known = self._devices.known(hints[0])
        if known is None and self._asking.take(1, trusted=trusted):
            return self._devices.get(hints[0])
        return known

    def _fresh(self, device: Device) -> Device:
        """Return the device as it is now, or as last read if the store is away."""
        with suppress(redis.RedisError, OSError, SealError, ValueError):
            return self._devices.refresh(device.id) or device
        return device

    def _device(self, envelope: Envelope, hints: list[str], trusted: bool) -> Device:
        """Return the device with the callback's token, and with its hints and, if several share the token, its serial.

        Nothing else in the document is read before this, so that callbacks from unknown senders cost little.
        """
        auth_token = envelope.auth_token
        if auth_token:
            found = _narrowed(self._devices.known_by_token(auth_token), envelope, hints)
            if len(found) != 1:
                found = _narrowed(self._asked_for(auth_token, trusted), envelope, hints)
            if len(found) == 1:
                return found[0]
        raise Refused(
            401,
            "unauthorised",
            NO_DEVICE,
            auth_token=auth_token,
        )

    def _asked_for(self, auth_token: str, trusted: bool) -> list[Device]:
        """Return the store's devices with a token: another process may have just registered one.

        If there are many requests, all of them wait for the next reading of the changes.
        """
        if self._asking.take(1, trusted=trusted):
            return self._devices.by_token(auth_token, anew=True)
        self._devices.catch_up(time.monotonic())
        return self._devices.known_by_token(auth_token)


def _narrowed(found: list[Device], envelope: Envelope, hints: list[str]) -> list[Device]:
    if hints:
        found = [device for device in found if all(hint == device.id for hint in hints)]
    if len(found) > 1:
        serial = envelope.serial
        found = [device for device in found if serial in (device.id, device.record["serial_number"] or "")]
    return found


def _authentic(device: Device, envelope: Envelope, unread: str | None, body: bytes) -> Authentic:
    """Return a device's callback with its content, or with the reason why none of it is read."""
    version = envelope.version
    if version != _CURRENT and unread is None:
        if device.legacy_callbacks != version:
            unread = legacy_callbacks.switched_off(version)
        else:
            converted = legacy_callbacks.version_2(envelope.document, device.timezone)
            envelope = callbacks.envelope_of(converted)
    callback = callbacks.read_enveloped(envelope, device.timezone)
    if unread is not None:
        callback.facts.clear()
        callback.problems[:] = [unread]
    elif version != _CURRENT and callback.problems:
        callback.problems.insert(0, legacy_callbacks.was_converted(version))
    return Authentic(device, envelope.document, callback, body)


def _takes_version_1(device: Device | None, secret: str) -> bool:
    return device is not None and device.legacy_callbacks == "1.0" and device.takes_callback_secret(secret)


def _authentic_version_1(device: Device, text: bytes) -> Authentic:
    """Return a device's version 1.0 callback. If it isn't such a form, it is kept as it is."""
    fields = fields_in(text)
    if fields is None:
        return _authentic(
            device, _unknown(text), "This callback of version 1.0 has more fields than any known.", text
        )
    envelope = callbacks.envelope_of(legacy_callbacks.version_1(fields, device.timezone))
    callback = callbacks.read_enveloped(envelope, device.timezone)
    if callback.problems:
        callback.problems.insert(0, legacy_callbacks.was_converted("1.0"))
    return Authentic(device, envelope.document, callback, text)


def _unknown(body: bytes) -> Envelope:
    """Return a placeholder for a body that wasn't read. It is the same for the same body."""
    return callbacks.envelope_of({"Digest": sha256(body).hexdigest()})


def authentic_anyhow(device: Device, body: bytes) -> Authentic:
    """Return a callback that another version of the relay acknowledged. If this one refuses it, it is kept unread."""
    try:
        if device.legacy_callbacks == "1.0" and callbacks.old_version(body) == "1.0":
            return _authentic_version_1(device, body)
        return _authentic(device, *envelope_in(body), body)
    except Refused as error:
        why = error.detail
    except Exception as error:
        _once.say_failure(log, error, "a spooled callback could not be read and is kept as it is")
        why = "The relay could not process this callback. Please report this as a bug."
    return _authentic(device, _unknown(body), why, body)
