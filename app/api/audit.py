"""`/v1/audit`: who did what that matters, for admins."""

from __future__ import annotations

from flask import Blueprint, Response, request

from app.api.auth import needs, store
from app.api.io import limit, page
from app.api.problems import wrong

blueprint = Blueprint("audit", __name__, url_prefix="/v1/audit")


@blueprint.get("")
@needs("admin")
def show_all() -> Response:
    """The audit log, newest first: reads of templates, changes of keys, devices and subscriptions, and the like."""
    try:
        rows, more = store().audit.page(limit(), request.args.get("cursor") or None)
    except ValueError:
        raise wrong("cursor", "is not a next_cursor of this list") from None
    return page(rows, more)
