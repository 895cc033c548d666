"""Refused callbacks: their origin, the devices they claim, and why they were refused."""

from __future__ import annotations

from flask import Blueprint, Response

from app.api import refused as refused_api
from app.api.auth import needs, store
from app.console.frame import api, page
from app.store.access.scopes import REFUSED_READERS

blueprint = Blueprint("refused", __name__, url_prefix="/console/refused")


@blueprint.get("")
@needs(*REFUSED_READERS)
def show_all() -> Response:
    """Show the sources of refused callbacks, the latest first."""
    found = api(refused_api.show_all)
    claimed = {source["claimed_device_id"] or "" for source in found["data"]}
    return page(
        "refused",
        sources=found["data"],
        registered=store().devices.registered(claimed),
        next_cursor=found["next_cursor"],
    )
