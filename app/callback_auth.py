"""Whose callback it is: by its AuthToken, the URL's device id, and the security key that opens it. Contract §2."""

from __future__ import annotations

import logging
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import redis

from app.callback_body import Refused, envelope_in
from app.gateway import callbacks
from app.gateway.callbacks import Callback, Envelope
from app.gateway.cipher import CipherError, ciphertext
from app.store.devices import Device, Devices

log = logging.getLogger("relay.callback")

_AROUND = b" \t\r\n\0\xef\xbb\xbf"  # what a body may have around it, a byte order mark among it


@dataclass(frozen=True, slots=True)
class Authentic:
    """A callback whose device is known: its JSON, and that as bytes, decrypted."""

    device: Device
    document: dict[str, Any]
    callback: Callback
    body: bytes


class Authenticator:
    """Tells callbacks' devices, by what the process knows of them and, where need be, what the store has."""

    def __init__(self, devices: Devices) -> None:
        self._devices = devices

    def authenticate(self, body: bytes, hints: list[str]) -> Authentic:
        """The callback and its device. Raises Refused, and StoreAway where the store would have to be asked.

        `hints` are device ids from the URL, which must all be the device's.
        """
        text = body.strip(_AROUND)
        if text.startswith(b"{"):
            return self._plain(text, hints)
        sealed = ciphertext(text)
        if sealed is not None:
            return self._sealed(sealed, hints)
        if callbacks.old_version(text) is not None:
            return self._plain(text, hints)
        if text.startswith((b"[", b'"')) or text[:1].isdigit() or text in (b"null", b"true", b"false"):
            raise Refused(400, "malformed", "The body is JSON, but not an object.")
        raise Refused(400, "malformed", "The body is neither a JSON object nor encrypted.")

    def _plain(self, text: bytes, hints: list[str]) -> Authentic:
        envelope, unread = envelope_in(text)
        device = self._device(envelope, hints)
        if device.keys:
            device = self._fresh(device)  # its security key may have been removed since it was read here
        if device.keys:
            raise Refused(401, "unauthorised", "Plain text from a device that has a security key.")
        return _authentic(device, envelope, unread, text)

    def _sealed(self, sealed: bytes, hints: list[str]) -> Authentic:
        plain = self._open(sealed, hints).strip(_AROUND)
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
        devices = self._devices
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
            return self._devices.refresh(device.id) or device
        return device

    def _device(self, envelope: Envelope, hints: list[str]) -> Device:
        """The device with the callback's token that the hints and, where several share it, the serial are of.

        Of the document nothing else is read before: who is nobody is to cost no more than that.
        """
        auth_token = envelope.auth_token
        if auth_token:
            for anew in (False, True):  # another process may have registered a device with the same token
                found = self._devices.by_token(auth_token, anew=anew)
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


def _authentic(device: Device, envelope: Envelope, unread: str | None, body: bytes) -> Authentic:
    """A device's callback with all that it says, or with why nothing of it is to be read."""
    callback = callbacks.read_enveloped(envelope, device.timezone)
    if unread is not None:
        callback.facts.clear()
        callback.problems[:] = [unread]
    return Authentic(device, envelope.document, callback, body)


def authentic_anyhow(device: Device, body: bytes) -> Authentic:
    """The same of what another version of the relay has acknowledged: what this one refuses is kept unread."""
    try:
        return _authentic(device, *envelope_in(body), body)
    except Refused as error:
        why = error.detail
    except Exception:
        log.exception("a spooled callback could not be read and is kept as it is")
        why = "The relay failed to read this callback; please report it."
    return _authentic(device, callbacks.envelope_of({"Digest": sha256(body).hexdigest()}), why, body)
