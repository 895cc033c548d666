"""Receives a callback: authenticates it, stores or spools it, and determines the answer. Contract §2.

A callback that isn't answered with 200 holds up the device's whole queue. So every authentic callback is kept and
answered with "done", whether it was understood or not. A callback is only refused if it isn't authentic or can't be
kept anywhere.
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

from app.base.loops import LOOPS, Loop
from app.base.outage_log import Absence
from app.base.throttle import OnceAMinute
from app.base.vault import SealError
from app.callbacks.authentication import Authentic, Authenticator, authentic_anyhow
from app.callbacks.body import Refused
from app.callbacks.quotas import Quotas
from app.callbacks.stored_callbacks import note_stored
from app.events.flatten import Receipt
from app.limits.callers import Caller
from app.store import Store, StoreAway, is_away
from app.store.alerts.silence import LISTEN_SECONDS
from app.store.devices.registry import Device, Unreadable
from app.store.intake.grouped_script import Unconfirmed
from app.store.intake.ingest import DeviceChanged, KeptChanging
from app.store.people.users import TooManyUsers
from app.store.spool.spool import Spool, Spooled, SpoolFull, Unstorable

log = logging.getLogger("relay.callback")

_RETRY_STORE_SECONDS = 0.5
_RETRY_PARKED_SECONDS = 30.0
_STALLED_SECONDS = 60.0
_DROPPED = "spool_dropped"  # a counter: see `cams_relay_spool_dropped_total`
_TRIES = 5
_LOOK_SECONDS = 5.0  # after this, there may be another store


def _means_away(error: Exception) -> bool:
    """Return whether an error means that the store is away, rather than a lasting problem."""
    return isinstance(error, StoreAway) or is_away(error)


def _reason(error: Exception) -> str:
    """Return why something can't be stored, without quoting any of it."""
    if isinstance(error, redis.ResponseError):
        return f"the store refuses its callbacks: {str(error).partition(' script:')[0][:120]}"
    if isinstance(error, TooManyUsers):
        return "the device has as many users as RELAY_DEVICE_USERS allows"
    if isinstance(error, KeptChanging):
        return str(error)
    if isinstance(error, SealError):
        return "the device's stored data can't be decrypted"
    return f"storing its callbacks fails: {type(error).__name__}"


class Receiver:
    """Receives callbacks for one process."""

    def __init__(self, store: Store, spool: Spool | None) -> None:
        self._store = store
        self._spool = spool
        self._authenticator = Authenticator(store.devices, store.settings.limits.devices_without_hint)
        self.quotas = Quotas(store.settings.limits)
        self._away_until = 0.0
        self._listened = -math.inf
        self._once = OnceAMinute()
        self._parked_tried: tuple[float, int] = (-math.inf, 0)  # when, and `changes_seen`
        self._looked = -math.inf
        self._stopped = threading.Event()
        self._absence = Absence(log, self._meanwhile)

    # Watching the store

    def start(self) -> None:
        """Start three threads, which read changes of devices, check the spool's files, and store spooled callbacks.

        Storing spooled callbacks may take long. A device that is registered meanwhile must be known before the store
        is away again.
        """
        jobs = [("devices", self._keep_up)]
        if self._spool is not None:
            jobs += [("spool files", self._check_files), ("spool", self._replay)]
        for name, job in jobs:
            loop = LOOPS.get(name, _STALLED_SECONDS)
            threading.Thread(target=self._repeat, args=(loop, job), name=name, daemon=True).start()

    @property
    def store_away_since(self) -> float | None:
        """When the store went away (seconds since 1970); None if it is there, as far as is known."""
        return self._absence.since

    def _meanwhile(self) -> str:
        """Return what happens to callbacks while the store is away, for the log."""
        if self._spool is None or not self._spool.writable():
            return "callbacks are refused, and the gateway sends them again"
        if not self._store.devices.knows_any:
            return "callbacks are refused, because this process has read no devices yet; the gateway sends them again"
        return "callbacks are kept on disk until it is back"

    def stop(self) -> None:
        self._stopped.set()

    def _repeat(self, loop: Loop, job: Callable[[], None]) -> None:
        while not self._stopped.is_set():
            try:
                job()
                loop.worked()
                if job == self._keep_up:
                    self._absence.end()
            except Exception as error:
                if _means_away(error):
                    self._store.identity.verified = False
                    loop.waited()
                    if job == self._keep_up:  # one thread reports it for all
                        self._absence.note(error)
                else:
                    loop.failed(error, explained=isinstance(error, SpoolFull))
            self._stopped.wait(_RETRY_STORE_SECONDS)

    def _keep_up(self) -> None:
        if not self._store.admission.admitted or time.monotonic() - self._looked > _LOOK_SECONDS:
            self._looked = time.monotonic()
            self._store.admission.look()
        if not self._store.admission.admitted or not self._is_our_store():
            return
        if time.monotonic() - self._listened > LISTEN_SECONDS:
            self._store.alerts.listening()
            self._listened = time.monotonic()
        self._store.devices.keep_up()
        self._make_first_key()

    def _make_first_key(self) -> None:
        """Create the first API key if the store was away when the process started."""
        try:
            self._store.api_keys.make_first()
        except OSError as error:
            self._once.say_failure(log, error, "the first API key can't be saved")

    def _is_our_store(self) -> bool:
        """Check the store's ID, and log once a minute if it is another store. Raises redis errors."""
        identity = self._store.identity
        identity.check()
        if identity.foreign is not None and self._once.may_say("foreign"):
            log.error("%s", identity.foreign)
        return identity.foreign is None

    # Spooled callbacks

    def _check_files(self) -> None:
        """Write files again that were removed from the spool's folder while in use."""
        if self._spool is not None:
            self._spool.check()
            self._store.identity.write_again()

    def _replay(self) -> None:
        if self._spool is None or not self._store.admission.admitted or not self._is_our_store():
            return
        count = self._spool.replay(self._store_spooled)
        if count:
            log.info("spooled callbacks that were stored or parked: %d", count)
        tried_at, known = self._parked_tried
        changes = self._store.devices.changes_seen
        if changes != known or time.monotonic() - tried_at >= _RETRY_PARKED_SECONDS:
            self._parked_tried = (time.monotonic(), changes)
            count = self._spool.retry_parked(self._store_spooled)
            if count:
                log.info("parked callbacks that were stored: %d", count)

    def _store_spooled(self, item: Spooled) -> None:
        """Store a spooled callback. Raises Unstorable if the store doesn't accept it, and other errors if it is away.

        It was authenticated when it arrived, so later changes of the device's secrets don't matter.
        """
        try:
            if self._is_stored(item):
                return
            removed_at = self._store.devices.removed_at(item.device_id)
            if removed_at is not None and removed_at >= item.received_at:
                self._store.relay_events.count(_DROPPED)
                log.warning(
                    "dropped a spooled callback from device %s, because the device was removed after the callback "
                    "arrived",
                    item.device_id,
                )
                return
        except Exception as error:
            if _means_away(error) or isinstance(error, Unconfirmed):
                raise
            self._once.say_failure(log, error, "a spooled callback can't be stored")
            raise Unstorable(_reason(error)) from error
        if not self._is_our_store():
            raise StoreAway("another store is in its place")
        raise Unstorable("the store doesn't have this device", try_again=False)

    def _is_stored(self, item: Spooled) -> bool:
        """Store it; False if the store doesn't have the device."""
        received_at = datetime.fromtimestamp(item.received_at, UTC)
        device = self._store.devices.get(item.device_id)
        for _ in range(_TRIES):
            if device is None:
                return False
            with suppress(DeviceChanged):
                authentic = authentic_anyhow(device, item.body)
                self._keep(authentic, self._receipt(device, received_at, item.base_url))
                LOOPS.get("spool").worked()  # there may be very many
                return True
            device = self._store.devices.refresh(item.device_id)
        raise DeviceChanged(item.device_id)

    # Receiving a callback

    def receive(
        self, body: bytes, hints: list[str], base_url: str, secret: str = "", caller: Caller | None = None
    ) -> None:
        """Receive a callback, and return once it is kept. Raises Refused.

        `hints` are device IDs from the URL, which must all be the device's; `secret` is the URL's callback secret.
        If the callback is genuine, `caller` is informed.
        """
        for tried in range(_TRIES):
            with suppress(DeviceChanged):
                self._receive(body, hints, base_url, secret, caller, is_first_try=tried == 0)
                return
        raise Refused(503, "unavailable", "The device is being changed. Send the callback again.")

    def _receive(
        self,
        body: bytes,
        hints: list[str],
        base_url: str,
        secret: str,
        caller: Caller | None,
        *,
        is_first_try: bool,
    ) -> None:
        if not self._store.admission.admitted:
            self._refuse_wrong_store()
        authentic = self._authenticated(body, hints, secret, trusted=caller is not None and caller.is_trusted)
        if caller is not None:
            caller.is_genuine()
        if is_first_try:
            events = max(1, len(authentic.callback.facts))
            self.quotas.charge(authentic.device.id, events, len(authentic.body))
        received_at = datetime.now(UTC)
        if self._must_wait(authentic.device):
            self._spool_it(authentic, received_at, base_url)
            return
        try:
            self._keep(authentic, self._receipt(authentic.device, received_at, base_url))
        except DeviceChanged:
            if not self._has_vanished(authentic.device):
                raise
            self._spool_it(authentic, received_at, base_url)
        except KeptChanging:
            self._spool_it(authentic, received_at, base_url)
        except TooManyUsers as error:
            raise self.quotas.refused(authentic.device.id, "RELAY_DEVICE_USERS") from error
        except Unconfirmed as error:
            # It isn't spooled, because it could never leave the spool.
            if self._once.may_say("unconfirmed"):
                log.error("%s", error)
            raise Refused(503, "unavailable", str(error)) from None
        except Exception as error:
            if _means_away(error):
                self._away_until = time.monotonic() + _RETRY_STORE_SECONDS
                self._spool_it(authentic, received_at, base_url)
            else:
                # The device's stored data or our code is at fault. Other devices must not have to wait.
                self._once.say_failure(log, error, "a callback could not be stored and is parked")
                self._spool_it(authentic, received_at, base_url, parked=_reason(error))

    def _authenticated(self, body: bytes, hints: list[str], secret: str, *, trusted: bool) -> Authentic:
        """Authenticate a callback. Raises Refused, with 503 if the store may be another one, without devices."""
        try:
            try:
                return self._authenticator.authenticate(body, hints, secret, trusted=trusted)
            except Refused as refused:
                if refused.counter not in ("unauthorised", "undecryptable"):
                    raise
                if not self._store.identity.is_foreign():
                    raise
                raise Refused(
                    503,
                    "unavailable",
                    "The relay is connected to a store that isn't the one in which its devices are registered.",
                ) from None
        except StoreAway:
            raise Refused(
                503,
                "unavailable",
                "The store can't be reached, and this process hasn't read the device's data yet.",
            ) from None
        except (Unreadable, SealError, ValueError) as error:
            if self._once.may_say("unreadable device"):
                log.error("a callback can't be authenticated: %s", type(error).__name__)
            raise Refused(503, "unavailable", "The device's stored data can't be read.") from None
        except (redis.RedisError, OSError) as error:
            if not _means_away(error):
                self._once.say_failure(log, error, "a callback can't be authenticated")
            raise Refused(503, "unavailable", "The store can't be reached.") from None

    def _must_wait(self, device: Device) -> bool:
        """Return whether the callback goes to disk: the store isn't usable, or the disk has others of the device."""
        if time.monotonic() < self._away_until or self._store.identity.foreign is not None:
            return True
        if self._spool is None:
            return False
        try:
            return self._spool.holds(device.id)
        except OSError as error:
            log.error("the spool can't be read: %s", error)
            return True

    def _has_vanished(self, device: Device) -> bool:
        """Read a changed device again; return whether it is missing from the store without having been removed."""
        try:
            self._store.devices.refresh(device.id)
            self._store.devices.by_token(device.auth_token, anew=True)
        except (redis.RedisError, OSError, StoreAway, Unreadable, SealError, ValueError) as error:
            if _means_away(error):
                return False
            log.error("the stored data of device %s can't be read: %s", device.id, type(error).__name__)
            return True
        return self._store.devices.vanished(device.id)

    def _refuse_wrong_store(self) -> None:
        """Refuse a callback with 503 if the store has another key: otherwise, all would get 401. Raises Refused."""
        with suppress(redis.RedisError, OSError):  # away: a known device's callback is spooled
            self._store.admission.look()
        if self._store.admission.problem is not None:
            raise Refused(503, "unavailable", self._store.admission.problem)

    def _keep(self, authentic: Authentic, receipt: Receipt) -> None:
        ingest = self._store.ingest
        device, callback, document = authentic.device, authentic.callback, authentic.document
        try:
            outcome = ingest.store(device, callback, document, authentic.body, receipt)
        except (redis.RedisError, OSError, DeviceChanged, KeptChanging, Unconfirmed, TooManyUsers):
            raise
        except Exception as error:
            # A bug of ours must not hold up a device: keep the whole body, and publish an event about it.
            self._once.say_failure(log, error, "a callback could not be read and is kept as it is")
            callback.facts.clear()
            callback.problems[:] = ["The relay could not process this callback. Please report this as a bug."]
            outcome = ingest.store(device, callback, document, authentic.body, receipt)
        note_stored(device, outcome, callback.operation, receipt.received_at)

    def _spool_it(
        self, authentic: Authentic, received_at: datetime, base_url: str, *, parked: str | None = None
    ) -> None:
        """Spool a callback. Failure policy: without a spool or space in it, 503, and the gateway keeps the callback.

        `parked` is why the store doesn't accept it; without a reason, it waits in the queue.
        """
        if self._spool is None:
            raise Refused(503, "unavailable", "The store can't save the callback, and RELAY_SPOOL is off.")
        item = Spooled(authentic.device.id, received_at.timestamp(), base_url, authentic.body)
        try:
            if parked is None:
                self._spool.append(item)
            else:
                self._spool.park(item, parked)
        except SpoolFull as error:
            if self._once.may_say(str(error)):
                log.error("%s", error)
            raise Refused(
                503, "unavailable", "The store can't save the callback, and the spool can't be written."
            ) from None

    def _receipt(self, device: Device, received_at: datetime, base_url: str) -> Receipt:
        return Receipt(
            device_id=device.id,
            device_label=device.record["label"],
            device_serial=device.record["serial_number"],
            received_at=received_at,
            retention=self._store.ingest.retention,
            base_url=base_url,
        )
