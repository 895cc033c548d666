"""Live: new events, and a single event with all its details."""

from __future__ import annotations

import time
from typing import Any
from urllib.parse import urlsplit

import orjson
from flask import Blueprint, Response, request
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import NotFound

from app.api import devices as devices_api
from app.api import events as events_api
from app.api.auth import PUBLIC, caller, check_all_devices, needs, store
from app.api.own_url import base_url
from app.api.problems import Problem
from app.api.query_parameters import parameters_of
from app.base import simulated_device_request
from app.console.frame import api, first_page, go_to, page, wants_page
from app.console.texts import text
from app.events.types import EVENT_TYPES
from app.store.access.scopes import SUBSCRIPTION_READERS

blueprint = Blueprint("live", __name__)

_LINKS = {"attendance.photo": "photo_url", "callback.unrecognised": "body_url"}
_WISH_SECONDS = 8.0


@blueprint.get("/")
@needs(PUBLIC)
def show() -> ResponseReturnValue:
    """Show the newest events. Programs get 404 at `/`."""
    if not wants_page() and "HX-Request" not in request.headers:
        raise NotFound()
    check_all_devices()
    if not caller().may("events:read"):
        first = first_page()
        if first is None:
            raise Problem(403, text("problem.no_scope"))
        return go_to(first)
    found = api(events_api.show_page)
    device_ids = store().devices.ids()
    is_first_run = not (device_ids or _has_events(found["data"]) or request.args or store().identity.foreign)
    return page(
        "live",
        events=found["data"],
        more=_link(found["next_cursor"]) if found["next_cursor"] else None,
        types=EVENT_TYPES,
        device_ids=device_ids,
        chosen=_chosen(),
        filters={name: value for name, value in _chosen().items() if name != "cursor"},
        first_run=is_first_run,
        are_refused=is_first_run and bool(store().refused.all()),
        can_start_virtual=simulated_device_request.can_be_granted(),
        callback_url=f"{base_url()}/callback",
    )


def _chosen() -> dict[str, str]:
    """Return the filters in the page's URL for links to the API, and the page of the list."""
    names = [name for name in parameters_of(events_api.show_page) if name != "limit"]
    return {name: value for name in names if (value := request.args.get(name))}


def _has_events(events: list[dict[str, Any]]) -> bool:
    """Return whether anything has arrived. A refused callback shows that a step is missing."""
    return any(event["type"] != "callback.refused" for event in events)


def _link(cursor: str) -> dict[str, str]:
    return {**{name: value for name, value in request.args.items() if value}, "cursor": cursor}


@blueprint.get("/console/events/<event_id>")
@needs("events:read")
def event(event_id: str) -> Response:
    """Show an event: its fields, photo, deliveries, and the callback it came from."""
    found = api(events_api.show, event_id=event_id)
    link = _LINKS.get(found["type"])
    return page(
        "event_part" if "HX-Request" in request.headers else "event",
        event=found,
        shown=_pretty({**found, **({link: text("event.link_hidden")} if link else {})}),
        link=_path(found[link]) if link else None,
        deliveries=_deliveries(found) if any(map(caller().may, SUBSCRIPTION_READERS)) else None,
        raw=_raw(event_id),
    )


def _path(url: str) -> str:
    """Return a signed link without its host, because the page may only load from its own host."""
    parts = urlsplit(url)
    return f"{parts.path}?{parts.query}"


def _raw(event_id: str) -> str | None:
    raw = store().events.raw(event_id)
    return _pretty(orjson.loads(raw)) if raw else None


def _pretty(value: Any) -> str:
    return orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()


def _deliveries(found: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the state of the event's delivery for each subscription that matches it."""
    rows = []
    for subscription in store().subscriptions.all():
        if subscription.takes(found):
            delivery = store().delivery_log.of_event(subscription, found["id"])
            rows.append({"subscription": subscription, "delivery": delivery})
    return rows


@blueprint.post("/console/simulator/clear")
@needs("devices:write")
def clear_simulator() -> ResponseReturnValue:
    """Make `cams-relay up` stop its simulated device, and remove all simulated devices with their users."""
    if simulated_device_request.can_be_granted() and not simulated_device_request.stop(
        store().settings.data_dir
    ):
        raise Problem(503, text("devices.clear_busy"))
    simulated = store().devices.simulated.ids()
    for device_id in store().devices.ids():
        if device_id in simulated:
            devices_api.remove_confirmed(device_id=device_id)
    return Response(status=204)


@blueprint.post("/console/virtual-device")
@needs("devices:write")
def start_virtual_device() -> ResponseReturnValue:
    """Make `cams-relay up` start its simulated device, and wait until it is registered."""
    if not simulated_device_request.can_be_granted():
        raise Problem(409, text("first_run.not_here"))
    simulated_device_request.make(store().settings.data_dir)
    deadline = time.monotonic() + _WISH_SECONDS
    while time.monotonic() < deadline:
        if store().devices.ids():
            return Response(status=204)
        time.sleep(0.1)
    raise Problem(503, text("first_run.did_not_start"))
