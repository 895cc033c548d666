"""`/v1/refused`: refused callbacks by source. Their content isn't stored."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response

from app.api import cursors
from app.api.auth import needs, store
from app.api.query_parameters import takes
from app.api.request_helpers import limit, page
from app.health.refused_causes import explanations
from app.store.access.scopes import REFUSED_READERS
from app.store.alerts.refused import Source
from app.store.alerts.refused_events import event_fields

blueprint = Blueprint("refused", __name__, url_prefix="/v1/refused")


@blueprint.get("")
@needs(*REFUSED_READERS)
@takes("limit", "cursor")
def show_all() -> Response:
    """Lists the sources of callbacks refused in the last seven days, latest first."""
    count, sources = limit(), store().refused.all()
    place = cursors.after()
    if place:
        after = _position(place)
        sources = [source for source in sources if _key(source) > after]
    shown = sources[:count]
    registered = store().refused.registered(shown)
    why = explanations(store(), shown)
    rows = [_shown(source, registered.get(source.id, []), why[source.id]) for source in shown]
    return page(rows, _place(shown[-1]) if len(sources) > count else None)


def _shown(source: Source, registered: list[str], why: str) -> dict[str, Any]:
    """Return a source as the API shows it. `registered` are IDs of devices registered with the callbacks' AuthToken."""
    return {
        "id": source.id,
        **event_fields(source),
        "message": why,
        "registered_device_id": registered[0] if len(registered) == 1 else None,
    }


def _key(source: Source) -> tuple[int, str]:
    """Return the sort key of the list."""
    return -round(source.latest.at * 1000), source.id


def _place(source: Source) -> str:
    return f"{-_key(source)[0]}-{source.id}"


def _position(place: str) -> tuple[int, str]:
    at, _, source_id = place.partition("-")
    return -int(at), source_id
