"""Takes a callback: stores it once its device is known, or spools it, and says what to answer. Contract §2.

A callback that isn't answered 200 holds up the device's whole queue. So whatever is authentic is kept and answered
done, understood or not; and only what isn't authentic, or can be kept nowhere, is refused.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime

import redis

from app import ids
from app.callback_auth import Authentic, Authenticator, authentic_anyhow
from app.callback_body import Refused
from app.events.flatten import Receipt
from app.store import Store, StoreAway, is_away
from app.store.alerts import LISTEN_SECONDS
from app.store.devices import Device
from app.store.group import Unconfirmed
from app.store.ingest import DeviceChanged, Outcome
from app.store.spool import Spool, Spooled, SpoolFull

log = logging.getLogger("relay.callback")

_RETRY_STORE_SECONDS = 0.5
_TRIES = 5


def _tell(device: Device, outcome: Outcome) -> None:
    for entry in outcome.entries:
        event_id = ids.event_id(device.shard.number, entry.decode())
        log.debug("a callback of device %s is event %s", device.id, event_id, extra={"event_id": event_id})
    if outcome.duplicates:
        log.debug("a callback of device %s was here before, %d times", device.id, outcome.duplicates)


class Receiver:
    """Receives callbacks for one process."""

    def __init__(self, store: Store, spool: Spool | None) -> None:
        self._store = store
        self._spool = spool
        self._authenticator = Authenticator(store.devices)
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
            authentic = authentic_anyhow(device, item.body)
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
            authentic = self._authenticator.authenticate(body, hints)
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
