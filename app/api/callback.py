"""`POST /callback`, which the gateway calls with a machine's events."""

from __future__ import annotations

import logging

from flask import Blueprint, Response, current_app, request
from redis import RedisError
from werkzeug.exceptions import RequestEntityTooLarge

from app.api.auth import PUBLIC, needs
from app.api.own_url import base_url
from app.api.problems import respond
from app.api.request_helpers import EncodedBody, connection, raw_body
from app.base.throttle import OnceAMinute
from app.callbacks.body import Refused
from app.callbacks.receiver import Receiver
from app.callbacks.refusals import Refusals
from app.callbacks.url import form_in, url_parts
from app.gateway.legacy_callbacks import old_version
from app.schemas.lengths import LARGEST_BODY

log = logging.getLogger("relay.callback")
_once = OnceAMinute()
_SEARCHED = 65_536

blueprint = Blueprint("callback", __name__)

DONE = b'{"status":"done"}'
OK = b"ok"  # the response to a callback of version 1.0


@blueprint.post("/callback", strict_slashes=False)  # the gateway doesn't follow redirects
@blueprint.post("/callback/<device_id>", strict_slashes=False)
@needs(PUBLIC)
def callback(device_id: str | None = None) -> Response:
    """Receives a callback. The AuthToken identifies the device; an ID in the URL must match it. Contract §2."""
    query = request.query_string.decode("utf-8", "replace")
    found_in_query, secret = url_parts(query)
    hints = [*filter(None, [device_id]), *found_in_query]
    replayed = request.environ["wsgi.input"]
    refused: Refused | None = getattr(replayed, "refused", None)  # set earlier, by app.web.fast_path
    body = b"" if refused is None else replayed.data
    if refused is None:
        receiver: Receiver = current_app.extensions["receiver"]
        try:
            body = raw_body() or form_in(query)
            receiver.receive(body, hints, base_url(), secret, connection())
        except RequestEntityTooLarge as error:
            too_large = Refused(413, "too_large", error.description or "")
            _note(too_large, hints, b"", request.content_length or LARGEST_BODY)
            raise
        except Refused as error:
            refused = error
        except EncodedBody as error:
            _note(Refused(415, "malformed", error.description or ""), hints, b"", request.content_length or 0)
            raise
    if refused is not None:
        log.debug("a callback was refused: %d %s", refused.status, refused.detail)
        _note(refused, hints, body, len(body))
        return respond(refused.status, refused.detail)
    if is_version_1(body):
        return Response(OK, content_type="text/plain; charset=utf-8")
    return Response(DONE, content_type="application/json")


def is_version_1(body: bytes) -> bool:
    """Return whether an accepted callback is of version 1.0, which expects another response."""
    return body[:1] != b"{" and b"att_time" in body[:_SEARCHED].lower() and old_version(body) == "1.0"


def _note(refused: Refused, hints: list[str], body: bytes, size: int) -> None:
    refusals: Refusals = current_app.extensions["refusals"]
    try:
        refusals.note(refused, request.remote_addr or "unknown", hints, body, size)
    except (RedisError, OSError):
        pass  # the counter is written later
    except Exception as error:  # a bug here must not change the response to the gateway
        _once.say_failure(log, error, "a refused callback could not be noted")
