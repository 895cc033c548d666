"""`/v1/audit`: the audit log, for admins."""

from __future__ import annotations

from flask import Blueprint, Response

from app.api import cursors
from app.api.auth import needs, store
from app.api.query_parameters import takes
from app.api.request_helpers import limit, page

blueprint = Blueprint("audit", __name__, url_prefix="/v1/audit")


@blueprint.get("")
@needs("admin")
@takes("limit", "cursor")
def show_all() -> Response:
    """Returns the audit log, newest first. It records template reads and changes to keys, devices and subscriptions."""
    try:
        rows, more = store().audit.page(limit(), cursors.after())
    except ValueError:
        raise cursors.invalid() from None
    return page(rows, more)
