"""`/v1/events`: stored events as pages, CSV, samples and a stream."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice

import orjson
from flask import Blueprint, Response, current_app, request

from app.api import cursors, tables
from app.api.accept import represented_as
from app.api.auth import caller, limited_by_device, needs, still_may, store
from app.api.id_filters import device_ids, user_ids
from app.api.problems import Problem, wrong
from app.api.query_parameters import takes
from app.api.request_helpers import answer, limit, moment, page, time_range
from app.archive import ArchiveAway, ArchiveRefused
from app.base import ids
from app.events.samples import sample
from app.events.types import EVENT_TYPES, FIELDS, is_pattern, matches
from app.limits.callers import network
from app.limits.streams import Streams, TooManyStreams
from app.live.event_feed import EventFeed
from app.store.events.query import Query

blueprint = Blueprint("events", __name__, url_prefix="/v1")

_SAMPLES = 3
# Events of a device whose clock is further ahead are left out if the query is about their own time.
_CLOCK_AHEAD_MS = 2 * 24 * 3_600_000
OCCURRED = ("occurred_since", "occurred_until")
_ORDER = ("order", "after")
_HEARTBEAT_SECONDS = 15.0
_CHECK_SECONDS = 2.0  # how often a stream checks that its key or session is still valid


def query() -> Query:
    """Return the filters in the parameters."""
    types = tuple(part.strip() for part in request.args.get("type", "").split(",") if part.strip())
    for pattern in types:
        if not is_pattern(pattern):
            raise wrong(
                "type", f"{pattern[:64]!r} is not an event type. Use one of: {', '.join(EVENT_TYPES)}"
            )
    since, until = time_range()
    occurred_since, occurred_until = time_range("occurred_")
    if occurred_since is not None:  # an event is rarely received before it occurs
        since = max(since or 0, occurred_since - _CLOCK_AHEAD_MS)
    return Query(
        types=() if "*" in types else types,
        device_ids=device_ids(),
        user_ids=user_ids(),
        since=since,
        until=until,
        occurred_since=occurred_since,
        occurred_until=occurred_until,
    )


def _is_oldest_first() -> bool:
    order = request.args.get("order") or "desc"
    if order not in ("asc", "desc"):
        raise wrong("order", "must be asc (oldest first) or desc (newest first)")
    return order == "asc"


def _after() -> str | None:
    """Return the parameter `after`: the ID of the event after which a list begins."""
    event_id = request.args.get("after")
    if not event_id:
        return None
    if not _is_oldest_first():
        raise wrong("after", "needs order=asc, because it selects the events that came after this one")
    if ids.event_place(event_id) is None:
        raise wrong("after", "is not an event ID, e.g. evt_01kay8ds0r000000")
    return event_id


@blueprint.get("/events")
@needs("events:read")
@limited_by_device
@takes("type", "device_id", "user_id", "since", "until", *OCCURRED, *_ORDER, "limit", "cursor")
def show_page() -> Response:
    """Lists events, newest first, or with `order=asc`, oldest first."""
    wanted, oldest_first, after = query(), _is_oldest_first(), _after()
    try:
        place = cursors.after() or after
        found = store().events.page(wanted, limit(), place, oldest_first=oldest_first)
    except ValueError:
        raise cursors.invalid() from None
    return page(found.events, found.next_cursor)


@blueprint.get("/events/<event_id>")
@needs("events:read")
@limited_by_device
def show(event_id: str) -> Response:
    """Returns an event."""
    event = store().events.get(event_id)
    if event is None or not caller().sees(event["device_id"]):
        raise Problem(
            404,
            "There is no event with this ID, or it has been removed because it was older than "
            "the retention period.",
        )
    return answer(event)


@blueprint.get("/events/samples")
@needs("events:read")
@limited_by_device
@takes("type")
def samples() -> Response:
    """Returns one to three events of a type as a plain array. If there are no real events yet, returns a sample."""
    event_type = request.args.get("type") or "attendance.punch"
    if not is_pattern(event_type):
        raise wrong("type", f"is not an event type. Use one of: {', '.join(EVENT_TYPES)}")
    try:
        found = store().events.page(Query(types=(event_type,), device_ids=device_ids()), _SAMPLES).events
    except (ArchiveAway, ArchiveRefused):
        found = []
    made = [sample(name) for name in EVENT_TYPES if matches(event_type, name)]
    return answer(found or made[:_SAMPLES])


@blueprint.get("/events.csv")
@needs("events:read")
@limited_by_device
@represented_as("text/csv")
@takes("type", "device_id", "user_id", "since", "until", *OCCURRED, *_ORDER, "limit", "cursor")
def as_csv() -> Response:
    """Returns events as a CSV file. Without `limit`, it contains all matching events."""
    wanted, oldest_first, after = query(), _is_oldest_first(), _after()
    columns = _columns(wanted)
    most = limit() if "limit" in request.args else None
    try:
        place = cursors.after("/v1/events") or after
        rows = islice(store().events.all(wanted, place, oldest_first=oldest_first), most)
    except ValueError:
        raise cursors.invalid() from None
    return tables.as_csv(columns, rows, "events.csv")


def _columns(wanted: Query) -> list[str]:
    types = [
        event_type
        for event_type in EVENT_TYPES
        if not wanted.types or any(matches(pattern, event_type) for pattern in wanted.types)
    ]
    return list(dict.fromkeys(name for event_type in types for name in FIELDS[event_type]))


@blueprint.get("/events/stream")
@needs("events:read")
@limited_by_device
@represented_as("text/event-stream")
@takes("type", "device_id", "user_id", "since", "until", *OCCURRED, "last_event_id")
def stream() -> Response:
    """Sends new events as server-sent events. With `Last-Event-ID`, the stream resumes after that event."""
    wanted = query()
    after = store().events.last_entries()
    last = request.headers.get("Last-Event-ID") or request.args.get("last_event_id")
    if last:
        place = ids.event_place(last)
        if place is None:
            raise wrong("Last-Event-ID", "is not an event ID, e.g. evt_01kay8ds0r000000")
        # In other shards, start one millisecond earlier: an event may be sent twice, but none is skipped.
        before = f"{max(0, int(place.entry.partition('-')[0]) - 1)}-{2**64 - 1}"
        after = {shard: place.entry if shard == place.shard else before for shard in after}
    elif (since := moment("since")) is not None:
        after = dict.fromkeys(after, f"{max(0, since - 1)}-{2**64 - 1}")
    feed: EventFeed = current_app.extensions["event_feed"]
    close = _counted_stream()
    headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
    content = _stream(feed, wanted, after, still_may("events:read"))
    response = Response(content, content_type="text/event-stream", headers=headers)
    response.call_on_close(close)
    return response


def _counted_stream() -> Callable[[], None]:
    """Count one more stream for the caller, and return the function that removes it from the count.

    Raises a 429 Problem if the caller has too many.
    """
    streams: Streams = current_app.extensions["streams"]
    key_id, address = caller().id, network(request.remote_addr or "")
    try:
        streams.open(key_id, address)
    except TooManyStreams as error:
        raise Problem(429, str(error)) from None
    return partial(streams.close, key_id, address)


def _stream(
    feed: EventFeed, wanted: Query, after: dict[int, str], still_allowed: Callable[[], bool]
) -> Iterator[bytes]:
    # No blank line follows, because it would end an event, and some clients would then report one without data.
    yield b"retry: 2000\n"
    beat = checked = time.monotonic()
    for event in feed.listen(after, _CHECK_SECONDS):
        now = time.monotonic()
        if now - checked >= _CHECK_SECONDS:
            if not still_allowed():
                return
            checked = now
        if event is not None and wanted.takes(event):
            beat = now
            yield b"id: %s\nevent: %s\ndata: %s\n\n" % (
                event["id"].encode(),
                event["type"].encode(),
                orjson.dumps(event),
            )
        elif now - beat >= _HEARTBEAT_SECONDS:
            beat = now
            yield b": still here\n"
