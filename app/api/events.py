"""`/v1/events`: reading stored events as pages, CSV, samples and a stream."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from itertools import islice

import orjson
from flask import Blueprint, Response, current_app, request

from app import ids
from app.api import tables
from app.api.auth import needs, still_may, store
from app.api.io import answer, limit, moment, page
from app.api.problems import Problem, wrong
from app.events.types import EVENT_TYPES, FIELDS, is_pattern, matches, sample
from app.follower import Follower
from app.store.events import Query

blueprint = Blueprint("events", __name__, url_prefix="/v1")

_SAMPLES = 3
_HEARTBEAT_SECONDS = 15.0
_CHECK_SECONDS = 2.0  # a stream outlives its key or session no longer than some of these


def query() -> Query:
    """The filters among the parameters. Times are of receipt."""
    types = tuple(
        part.strip() for value in request.args.getlist("type") for part in value.split(",") if part.strip()
    )
    for pattern in types:
        if not is_pattern(pattern):
            raise wrong("type", f"{pattern[:64]!r} is no event type; there are {', '.join(EVENT_TYPES)}")
    return Query(
        types=() if "*" in types else types,
        device_id=request.args.get("device_id") or None,
        user_id=request.args.get("user_id") or None,
        since=moment("since"),
        until=moment("until"),
    )


@blueprint.get("/events")
@needs("events:read")
def show_page() -> Response:
    """A page of events, newest first."""
    try:
        found = store().events.page(query(), limit(), request.args.get("cursor") or None)
    except ValueError:
        raise wrong("cursor", "is not a next_cursor of this list") from None
    return page(found.events, found.next_cursor)


@blueprint.get("/events/<event_id>")
@needs("events:read")
def show(event_id: str) -> Response:
    """One event."""
    event = store().events.get(event_id)
    if event is None:
        raise Problem(404, "There is no event with this id, or it is older than the retention.")
    return answer(event)


@blueprint.get("/events/samples")
@needs("events:read")
def samples() -> Response:
    """One to three events of a type, as a bare array: real ones, or a made-up one where there is none yet."""
    event_type = request.args.get("type") or "attendance.punch"
    if not is_pattern(event_type):
        raise wrong("type", f"is no event type; there are {', '.join(EVENT_TYPES)}")
    found = store().events.newest(event_type, _SAMPLES)
    made = [sample(name) for name in EVENT_TYPES if matches(event_type, name)]
    return answer(found or made[:_SAMPLES])


@blueprint.get("/events.csv")
@needs("events:read")
def as_csv() -> Response:
    """The same as a CSV file; without `limit` all pages in one."""
    wanted = query()
    columns = _columns(wanted)
    most = limit() if "limit" in request.args else None
    try:
        rows = islice(store().events.all(wanted, request.args.get("cursor") or None), most)
    except ValueError:
        raise wrong("cursor", "is not a next_cursor of this list") from None
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
def stream() -> Response:
    """Server-sent events as they come; with `Last-Event-ID`, those after that one first."""
    wanted = query()
    after = store().events.last_entries()
    last = request.headers.get("Last-Event-ID") or request.args.get("last_event_id")
    if last:
        place = ids.event_place(last)
        if place is None:
            raise wrong("Last-Event-ID", "is not an event's id, e.g. evt_01kay8ds0r000000")
        # Other shards go on from the millisecond before: one that was seen may come again, none is left out.
        before = f"{max(0, int(place.entry.partition('-')[0]) - 1)}-{2**64 - 1}"
        after = {shard: place.entry if shard == place.shard else before for shard in after}
    follower: Follower = current_app.extensions["follower"]
    headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
    content = _stream(follower, wanted, after, still_may("events:read"))
    return Response(content, content_type="text/event-stream", headers=headers)


def _stream(
    follower: Follower, wanted: Query, after: dict[int, str], still_allowed: Callable[[], bool]
) -> Iterator[bytes]:
    yield b"retry: 2000\n\n"
    beat = checked = time.monotonic()
    for event in follower.listen(after, _CHECK_SECONDS):
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
            yield b": still here\n\n"
