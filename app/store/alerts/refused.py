"""Refused callbacks, grouped by source: collected in the process, and written to the store at most once a second.

A source is an address together with the claims of its callbacks (a device ID in the URL, an AuthToken) and the reason
for the refusal. Only the keyed digest and the last four characters of an AuthToken are kept. Both the process and the
store keep a limited number of sources, even during a flood.
"""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from dataclasses import asdict, dataclass, replace
from typing import Any

import orjson

from app.store.access.failed_attempts import network_of
from app.store.server.connection import Connection
from app.store.server.damage import left_out, number
from app.store.server.keys import REFUSED, token
from app.store.server.pipelines import asked

MOST_SOURCES = 200
MOST_OF_A_NETWORK = 100  # the gateway sends the callbacks of all devices from a few addresses
KEPT_SECONDS = 7 * 86_400
_WRITE_SECONDS = 1.0
NO_DEVICE = "No device has this AuthToken, or the URL is for a different device."  # a `detail` with an advice
_COUNT = ":count"  # suffix of a source's ID: the field with the number of its callbacks
# If no device is named, callbacks with these reasons come from internet scanners.
_NOISE = ("malformed", "unauthorised", "too_large")


@dataclass(frozen=True, slots=True)
class Refusal:
    """A refused callback. `token` is the keyed digest of the AuthToken; it, device ID and hint are empty if unknown.

    `at` is in seconds since 1970, `status` the HTTP status, `reason` its counter. `registered`: whether it claims to
    come from a registered device. Those take precedence when space is limited.
    """

    at: float
    address: str
    device_id: str
    token: str
    token_hint: str
    status: int
    reason: str
    detail: str
    size: int
    registered: bool = False


@dataclass(frozen=True, slots=True)
class Source:
    """The refused callbacks of one source: the latest one, their number, and the time of the first."""

    id: str
    network: str
    count: int
    first_at: float
    latest: Refusal

    @property
    def names_a_device(self) -> bool:
        return bool(self.latest.device_id or self.latest.token)

    @property
    def is_noise(self) -> bool:
        """Return whether it names no device, like scanners. It is then listed, but causes no event and no warning."""
        return not self.names_a_device and self.latest.reason in _NOISE

    def and_later(self, later: Source) -> Source:
        """Return the source with later callbacks added."""
        return replace(self, count=self.count + later.count, latest=later.latest)


class RefusedCallbacks:
    """The refused callbacks that one process has collected, and those that all processes have written."""

    def __init__(self, connection: Connection, clock: Callable[[], float] = time.monotonic) -> None:
        self._connection = connection
        self._clock = clock
        self._waiting: dict[str, Source] = {}
        self._written_at = clock() - _WRITE_SECONDS

    # Writing

    def note(self, refusal: Refusal) -> None:
        """Note a callback. The first within a second is written at once. If that raises redis errors, it is kept."""
        self._gather([_source(refusal)])
        if self._clock() - self._written_at >= _WRITE_SECONDS:
            self.write()

    def write(self) -> None:
        """Write the waiting ones. If this raises redis errors, they are kept."""
        self._written_at = self._clock()
        writing, self._waiting = self._waiting, {}
        if not writing:
            return
        try:
            self._write(list(writing.values()))
        except BaseException:
            later, self._waiting = self._waiting, writing
            self._gather(later.values())
            raise

    def _gather(self, sources: Iterable[Source]) -> None:
        for source in sources:
            source = _bounded(source, self._waiting)
            before = self._waiting.get(source.id)
            if before is not None:
                self._waiting[source.id] = before.and_later(source)
            elif len(self._waiting) < MOST_SOURCES or (source.latest.registered and self._make_room()):
                self._waiting[source.id] = source

    def _make_room(self) -> bool:
        """Drop a waiting source that claims no registered device, if there is one."""
        for source_id, source in self._waiting.items():
            if not source.latest.registered:
                del self._waiting[source_id]
                return True
        return False

    def _write(self, new: list[Source]) -> None:
        client = self._connection.redis
        kept, unreadable = self._read()
        changed: dict[str, Source] = {}
        grown: Counter[str] = Counter()
        for source in new:
            source = _bounded(source, kept)
            grown[source.id] += source.count
            before = kept.get(source.id)
            kept[source.id] = changed[source.id] = before.and_later(source) if before else source
        gone = _superfluous(kept.values())
        pipeline = client.pipeline(transaction=False)
        for source_id, source in changed.items():
            if source_id not in gone:
                pipeline.hset(REFUSED, source_id, _dump(source))
                pipeline.hincrby(REFUSED, source_id + _COUNT, grown[source_id])
        gone_fields = [*unreadable, *gone, *(source_id + _COUNT for source_id in gone)]
        if gone_fields:
            pipeline.hdel(REFUSED, *gone_fields)
        pipeline.expire(REFUSED, KEPT_SECONDS)
        pipeline.execute()

    # Reading

    def all(self) -> list[Source]:
        """Return the sources of the last seven days, the latest first."""
        kept, _ = self._read()
        oldest = time.time() - KEPT_SECONDS
        found = [source for source in kept.values() if source.latest.at >= oldest]
        return sorted(found, key=lambda source: (-round(source.latest.at * 1000), source.id))

    def registered(self, sources: Iterable[Source]) -> dict[str, list[str]]:
        """Return source → the devices registered with the AuthToken that it claims, if there are any."""
        claiming = [source for source in sources if source.latest.token]
        answers = asked(
            self._connection.redis,
            claiming,
            lambda pipeline, source: pipeline.smembers(token(source.latest.token)),
            raise_on_error=False,
        )
        return {
            source.id: sorted(name.decode(errors="replace") for name in names)
            for source, names in answers
            if not isinstance(names, Exception) and names
        }

    def _read(self) -> tuple[dict[str, Source], list[str]]:
        """Return the sources by ID, and the fields that belong to none."""
        found: dict[str, Source] = {}
        stored: dict[bytes, bytes] = {}
        with left_out("refused callbacks"):
            stored = self._connection.redis.hgetall(REFUSED)
        names = {field.decode(errors="replace"): value for field, value in stored.items()}
        for name, value in names.items():
            if not name.endswith(_COUNT):
                with left_out("a source of refused callbacks"):
                    found[name] = _load(name, value, names.get(name + _COUNT))
        return found, [name for name in names if name.removesuffix(_COUNT) not in found]


def _source(refusal: Refusal) -> Source:
    network = network_of(refusal.address)
    identity = orjson.dumps([network, refusal.device_id, refusal.token, refusal.reason, refusal.status])
    source_id = "ref_" + hashlib.blake2b(identity, digest_size=12).hexdigest()
    return Source(source_id, network, 1, refusal.at, refusal)


def _bounded(source: Source, known: dict[str, Source]) -> Source:
    """Return the source or, if its network already has too many, the network without the claims."""
    if source.id in known or not source.names_a_device or source.latest.registered:
        return source
    if sum(other.network == source.network for other in known.values()) < MOST_OF_A_NETWORK:
        return source
    unnamed = _source(replace(source.latest, device_id="", token="", token_hint=""))
    return replace(unnamed, count=source.count, first_at=source.first_at)


def _superfluous(sources: Collection[Source]) -> set[str]:
    """Return the sources to remove, because they are too old or too many.

    If there are too many, those that name no device are removed first, then those of the network with the most
    sources, the least frequent first. Those that claim a registered device are removed last.
    """
    oldest = time.time() - KEPT_SECONDS
    of_network: Counter[str] = Counter()
    place = {}  # rank within its network
    for source in sorted(sources, key=lambda one: (-one.count, -one.latest.at)):
        place[source.id] = of_network[source.network]
        of_network[source.network] += 1

    def worth(source: Source) -> tuple[bool, bool, bool, int, int, float]:
        latest = source.latest
        fresh = latest.at >= oldest
        return fresh, latest.registered, not source.is_noise, -place[source.id], source.count, latest.at

    ranked = sorted(sources, key=worth)
    too_many = max(0, len(ranked) - MOST_SOURCES)
    return {source.id for rank, source in enumerate(ranked) if rank < too_many or source.latest.at < oldest}


def _dump(source: Source) -> bytes:
    return orjson.dumps({"first_at": source.first_at, **asdict(source.latest)})


def _load(source_id: str, stored: bytes, count: bytes | None) -> Source:
    """Read a source. Raises what reading a damaged value raises."""
    fields: dict[str, Any] = orjson.loads(stored)
    first_at = float(fields.pop("first_at"))
    latest = Refusal(**fields)
    if not all(
        isinstance(getattr(latest, name), str) for name in ("address", "device_id", "token", "token_hint")
    ):
        raise ValueError("no text")
    (
        float(latest.at),
        int(latest.status),
        int(latest.size),
        str.encode(latest.reason),
        str.encode(latest.detail),
        bool(latest.registered),
    )
    return Source(source_id, network_of(latest.address), max(1, int(number(count))), first_at, latest)
