"""Live: events as they come, and one of them with all that belongs to it."""

from __future__ import annotations

import time
from typing import Any
from urllib.parse import urlsplit

import orjson
from flask import Blueprint, Response, redirect, request
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import NotFound

from app import wish
from app.api import events as events_api
from app.api.auth import PUBLIC, caller, needs, store
from app.api.io import base_url
from app.api.problems import Problem
from app.console.frame import api, first_page, page, wants_page
from app.console.texts import text
from app.events.types import EVENT_TYPES

blueprint = Blueprint("live", __name__)

_LINKS = {"attendance.photo": "photo_url", "callback.unrecognised": "body_url"}
_WISH_SECONDS = 8.0


@blueprint.get("/")
@needs(PUBLIC)
def show() -> ResponseReturnValue:
    """The newest events; a program finds nothing at `/`."""
    if not wants_page() and "HX-Request" not in request.headers:
        raise NotFound()
    if not caller().may("events:read"):
        first = first_page()
        if first is None:
            raise Problem(403, text("problem.no_scope"))
        return redirect(first, 303)
    found = api(events_api.show_page)
    device_ids = store().devices.ids()
    return page(
        "live",
        events=found["data"],
        more=_link(found["next_cursor"]) if found["next_cursor"] else None,
        types=EVENT_TYPES,
        device_ids=device_ids,
        chosen=request.args,
        first_run=not device_ids and not found["data"] and not request.args,
        can_start_virtual=wish.can_be_granted(),
        callback_url=f"{base_url()}/callback",
    )


def _link(cursor: str) -> dict[str, str]:
    return {**{name: value for name, value in request.args.items() if value}, "cursor": cursor}


@blueprint.get("/console/events/<event_id>")
@needs("events:read")
def event(event_id: str) -> Response:
    """One event: its fields, photo, deliveries and the callback it came from."""
    found = api(events_api.show, event_id=event_id)
    link = _LINKS.get(found["type"])
    return page(
        "event_part" if "HX-Request" in request.headers else "event",
        event=found,
        shown=_pretty({**found, **({link: text("event.link_hidden")} if link else {})}),
        link=_path(found[link]) if link else None,
        deliveries=_deliveries(found) if caller().may("subscriptions:write") else None,
        raw=_raw(event_id),
    )


def _path(url: str) -> str:
    """A signed link without its host: the page may show only what comes from its own."""
    parts = urlsplit(url)
    return f"{parts.path}?{parts.query}"


def _raw(event_id: str) -> str | None:
    raw = store().events.raw(event_id)
    return _pretty(orjson.loads(raw)) if raw else None


def _pretty(value: Any) -> str:
    return orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()


def _deliveries(found: dict[str, Any]) -> list[dict[str, Any]]:
    """For each subscription that takes the event: how its delivery stands."""
    rows = []
    for subscription in store().subscriptions.all():
        if subscription.takes(found):
            delivery = store().deliveries.of_event(subscription, found["id"])
            rows.append({"subscription": subscription, "delivery": delivery})
    return rows


@blueprint.post("/console/virtual-device")
@needs("devices:write")
def start_virtual_device() -> ResponseReturnValue:
    """Has `cams-relay up` start its virtual device, and waits until it is registered."""
    if not wish.can_be_granted():
        raise Problem(409, text("first_run.not_here"))
    wish.make(store().settings.data_dir)
    deadline = time.monotonic() + _WISH_SECONDS
    while time.monotonic() < deadline:
        if store().devices.ids():
            return Response(status=204)
        time.sleep(0.1)
    raise Problem(503, text("first_run.did_not_start"))
