"""Records refused callbacks: where they came from and which device they claim, but never an AuthToken.

Each source gets at most one log line per minute, and the total is limited, so that a flood can't fill the disk.
"""

from __future__ import annotations

import logging
import re
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from contextlib import suppress

from redis import RedisError

from app.base.vault import SealError
from app.callbacks.body import Refused
from app.callbacks.token_search import tokens_in
from app.store import Store
from app.store.access.failed_attempts import network_of, plain_address
from app.store.alerts.refused import MOST_SOURCES, Refusal

log = logging.getLogger("relay.callback")

_DEVICE_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_LONGEST_SEARCHED = 16 * 1024  # bytes at each end of a body, where the AuthToken usually is
_TOKEN_LENGTH = 32
_SHORTEST_HINTED = 16  # four characters of a shorter text would reveal too much
_SECRET = re.compile(
    r"[A-Za-z0-9+/=_-]{20,}"
)  # longer than device IDs are: a token or secret pasted into the URL
_LARGEST_SIZE = 2**53 - 1  # JSON numbers; Content-Length may announce more
_LOG_SECONDS = 60.0
_MOST_LINES = 20  # per minute, and as many again about registered devices


class Refusals:
    """Records refused callbacks for one process."""

    def __init__(self, store: Store, clock: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._log = RefusalLog(clock)

    def note(self, refused: Refused, address: str, hints: list[str], body: bytes, size: int) -> None:
        """Count, list and log a refused callback. `hints` are the device IDs in its URL.

        Raises redis errors if the store can't be written to now. The record is then written later.
        """
        refusal = self._refusal(refused, address, hints, body, size)
        self._log.note(refusal)
        try:
            self._store.refused.note(refusal)
        finally:
            self._store.counts.add(f"callbacks_{refused.counter}")

    def _refusal(self, refused: Refused, address: str, hints: list[str], body: bytes, size: int) -> Refusal:
        auth_token = refused.auth_token or _token_in(body)
        device_id = refused.device_id or next(iter(hints), "")
        if len(device_id) == _TOKEN_LENGTH and self._store.devices.known(device_id) is None:
            auth_token = auth_token or device_id  # somebody has put it into the URL
            device_id = ""
        registered = self._is_registered(device_id, auth_token)
        if not self._may_be_shown(device_id, auth_token):
            device_id = ""
        return Refusal(
            at=time.time(),
            address=plain_address(address),
            device_id=device_id,
            token=self._digest(auth_token),
            token_hint=_hint(auth_token),
            status=refused.status,
            reason=refused.counter,
            detail=refused.detail,
            size=min(max(size, 0), _LARGEST_SIZE),
            registered=registered,
        )

    def _is_registered(self, device_id: str, auth_token: str | None) -> bool:
        """Return whether the ID or the AuthToken belongs to a device that this process knows."""
        if self._store.devices.known(device_id) is not None:
            return True
        with suppress(SealError, RedisError, OSError):
            return bool(auth_token and self._store.devices.known_by_token(auth_token))
        return False

    def _may_be_shown(self, device_id: str, auth_token: str | None) -> bool:
        if self._store.devices.known(device_id) is not None:
            return True
        return (
            bool(_DEVICE_ID.fullmatch(device_id))
            and device_id != auth_token
            and not _SECRET.search(device_id)
        )

    def _digest(self, auth_token: str | None) -> str:
        """Return the keyed digest; empty without a token, and while the digest's key can't be read from the store."""
        if not auth_token:
            return ""
        with suppress(SealError, RedisError, OSError):
            return self._store.vault.digest("token", auth_token)
        return ""


class RefusalLog:
    """Logs each source of refused callbacks at most once a minute."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._sources: OrderedDict[tuple[str, ...], tuple[float, int]] = (
            OrderedDict()
        )  # when it was last logged, and how many came since
        self._minute, self._left_out = clock(), 0
        self._lines = {True: 0, False: 0}  # by whether it claims a registered device

    def note(self, refusal: Refusal) -> None:
        """Log a refused callback, or count it for the next line."""
        now = self._clock()
        if now - self._minute >= _LOG_SECONDS:
            if self._left_out:
                log.warning("%d more callbacks from other sources were refused", self._left_out)
            self._minute, self._left_out = now, 0
            self._lines = {True: 0, False: 0}
        source = (network_of(refusal.address), refusal.device_id, refusal.token, refusal.reason)
        logged_at, count = self._sources.get(source, (now - _LOG_SECONDS, 0))
        if now - logged_at < _LOG_SECONDS:
            self._sources[source] = logged_at, count + 1
            return
        if self._lines[refusal.registered] >= _MOST_LINES:
            self._left_out += 1
            return
        self._lines[refusal.registered] += 1
        self._sources[source] = now, 0
        self._sources.move_to_end(source)
        if len(self._sources) > MOST_SOURCES:
            self._sources.popitem(last=False)
        log.warning(
            "refused %s from %s%s: %d %s",
            "a callback" if count == 0 else f"{count + 1} callbacks",
            refusal.address,
            claim(refusal),
            refusal.status,
            refusal.detail,
        )


def claim(refusal: Refusal) -> str:
    """Return what a refused callback claims about its device, to be shown after an address; empty if nothing."""
    said = [f"for device {refusal.device_id}"] if refusal.device_id else []
    if refusal.token_hint:
        said.append(f"with an AuthToken that ends in {refusal.token_hint}")
    return "".join(f" {part}" for part in said)


def _token_in(body: bytes) -> str | None:
    """Return the first AuthToken near either end of a body."""
    ends: Iterable[bytes] = (body,)
    if len(body) > 2 * _LONGEST_SEARCHED:
        ends = (body[:_LONGEST_SEARCHED], body[-_LONGEST_SEARCHED:])
    return next((found for end in ends for found in tokens_in(end) if found), None)


def _hint(auth_token: str | None) -> str:
    """Return the last four characters of a possible AuthToken."""
    if not auth_token or len(auth_token) < _SHORTEST_HINTED:
        return ""
    return auth_token[-4:] if auth_token.isascii() and auth_token.isprintable() else ""
