"""`POST /callback`: where the gateway delivers a machine's events."""

from __future__ import annotations

import logging
from contextlib import suppress

from flask import Blueprint, Response, current_app, request
from redis import RedisError

from app.api.auth import PUBLIC, needs, store
from app.api.io import base_url, raw_body
from app.api.problems import respond
from app.callback_body import Refused
from app.receiver import Receiver

log = logging.getLogger("relay.callback")

blueprint = Blueprint("callback", __name__)

DONE = b'{"status":"done"}'


@blueprint.post("/callback", strict_slashes=False)  # the gateway follows no redirect to another spelling
@blueprint.post("/callback/<device_id>", strict_slashes=False)
@needs(PUBLIC)
def callback(device_id: str | None = None) -> Response:
    """Its AuthToken says whose it is; the id in the path or `?stgid=` must then match. Contract §2."""
    refused: Refused | None = getattr(
        request.environ["wsgi.input"], "refused", None
    )  # by app.shortcut, before
    if refused is None:
        receiver: Receiver = current_app.extensions["receiver"]
        try:
            receiver.receive(raw_body(), _hints(device_id), base_url())
        except Refused as error:
            refused = error
    if refused is not None:
        log.info("a callback was refused: %d %s", refused.status, refused.detail)
        with suppress(RedisError, OSError):
            store().relay_events.count(f"callbacks_{refused.counter}")
        return respond(refused.status, refused.detail)
    return Response(DONE, content_type="application/json")


def _hints(device_id: str | None) -> list[str]:
    """Device ids from the URL. The gateway was seen to append `?stgid=` to a URL that had one already."""
    hints = [] if device_id is None else [device_id]
    for value in request.args.getlist("stgid"):
        hints.extend(part for part in value.replace("?stgid=", "&").split("&") if part)
    return hints
