"""Finds the Security Key that decrypts a callback, in a time that strangers can't increase.

Callbacks begin alike, and ECB encrypts equal text to equal blocks. So the key of an ordinary body is looked up by its
first block. Only other bodies are tried with all keys. How often is limited, for strangers and for the gateway.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from contextlib import suppress
from typing import TypeAlias, TypeVar

from app.callbacks.body import Refused
from app.gateway.cipher import BLOCK, CipherError, SecurityKey
from app.limits.allowance import FairAllowance
from app.store.devices.registry import Device, Devices

What = TypeVar("What")
Owned: TypeAlias = tuple[str, SecurityKey]
"""A key and the id of the device that has it."""

_TRIES_A_SECOND = 20_000  # some 40 ms of each second
_MOST_TRIES = 200_000
_MOST_REMEMBERED = 10_000


class KeySearch:
    """Decrypts bodies with the keys of all devices. With more than `most_devices`, URLs must name one."""

    def __init__(self, devices: Devices, most_devices: int, asking: FairAllowance) -> None:
        self._devices = devices
        self._asking = asking  # the store
        self._most_devices = most_devices
        self._tries = FairAllowance(_TRIES_A_SECOND, _MOST_TRIES)
        self._version = -1
        self._by_first_block: dict[bytes, Owned] = {}
        self._learned: OrderedDict[bytes, Owned] = OrderedDict()
        self._opened_by_none: OrderedDict[bytes, int] = OrderedDict()  # first block → version of the keys

    def open(self, sealed: bytes, hinted: Device | None, *, hints: bool, trusted: bool) -> bytes | None:
        """Return the plain text; None if no key decrypts the body. Raises Refused if the search would cost too much.

        Asks the store whether there are new keys, and raises what reading it raises. If there are many requests, they
        wait for the next reading, once a second.
        """
        began, first = time.monotonic(), sealed[:BLOCK]
        opened = _opened(sealed, hinted.keys) if hinted is not None else None
        for _ in range(2):
            if opened is None:
                opened = self._look_up(sealed, first)
            if opened is None and self._opened_by_none.get(first) != self._version:
                opened = self._try_all(sealed, first, hints=hints, trusted=trusted)
            if opened is not None:
                return opened
            before = self._version
            self._catch_up(began, trusted)
            if self._devices.keys_version == before:
                return None
        return None

    def _catch_up(self, since: float, trusted: bool) -> None:
        if self._asking.take(1, trusted=trusted):
            self._devices.keep_up()
        else:
            self._devices.catch_up(since)

    def _look_up(self, sealed: bytes, first: bytes) -> bytes | None:
        if self._version != self._devices.keys_version:
            self._version = self._devices.keys_version
            self._by_first_block = {
                block: (device.id, key) for device, key in self._owned() for block in key.usual_first_blocks
            }
        found = self._by_first_block.get(first) or self._learned.get(first)
        device = self._devices.known(found[0]) if found is not None else None
        if found is None or device is None or found[1] not in device.keys:  # it was changed, or has expired
            return None
        return _opened(sealed, [found[1]])

    def _owned(self) -> list[tuple[Device, SecurityKey]]:
        return [(device, key) for device in self._devices.known_with_keys() for key in device.keys]

    def _try_all(self, sealed: bytes, first: bytes, *, hints: bool, trusted: bool) -> bytes | None:
        owned = self._owned()
        if not hints and len(owned) > self._most_devices:
            raise Refused(
                401,
                "unauthorised",
                "Many devices have Security Keys, so the Callback URL must include the device ID, for example "
                "/callback/ZHM1100001.",
            )
        if not self._tries.take(len(owned), trusted=trusted):
            raise Refused(
                429,
                "undecryptable",
                "Too many recent callbacks could not be decrypted with any Security Key. Include the device "
                "ID in the Callback URL, for example /callback/ZHM1100001.",
            )
        is_ours = False
        for device, key in owned:
            if key.opens(sealed):  # checks only the first block; the rest may be damaged
                is_ours = True
                opened = _opened(sealed, [key])
                if opened is not None:
                    _remember(self._learned, first, (device.id, key))
                    return opened
        if not is_ours:  # otherwise, intact bodies with the same beginning would be refused
            _remember(self._opened_by_none, first, self._version)
        return None


def _remember(where: OrderedDict[bytes, What], first: bytes, what: What) -> None:
    where[first] = what
    if len(where) > _MOST_REMEMBERED:
        where.popitem(last=False)


def _opened(sealed: bytes, keys: list[SecurityKey]) -> bytes | None:
    for key in keys:
        if key.opens(sealed):
            with suppress(CipherError):
                return key.open(sealed)
    return None
