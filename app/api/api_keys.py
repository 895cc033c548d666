"""`/v1/api-keys` and `/v1/me`. A key has scopes, is shown once, and is stored as a digest."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta
from typing import Any

from flask import Blueprint, Response, request

from app import __version__
from app.api import cursors, etags
from app.api.auth import ANY_KEY, audited, caller, limited_by_device, needs, store
from app.api.problems import Problem, wrong
from app.api.query_parameters import takes
from app.api.request_helpers import answer, body, created, limit, page
from app.events.flatten import received_iso
from app.schemas.api_keys import KeyBody, KeyRotation
from app.store.access.api_key_records import StoredKey
from app.store.access.api_keys import KeyExpired
from app.store.subscriptions.records import Unreadable

blueprint = Blueprint("api_keys", __name__, url_prefix="/v1")


@blueprint.get("/me")
@needs(ANY_KEY)
@limited_by_device
def me() -> Response:
    """Returns the name and scopes of the API key. Platforms call this to test a connection."""
    key = caller()
    return answer(
        {
            "id": key.id,
            "name": key.name,
            "scopes": sorted(key.scopes),
            "device_ids": None if key.device_ids is None else sorted(key.device_ids),
            "version": __version__,
            "day_starts_minutes": store().settings.day_starts,
        }
    )


@blueprint.post("/api-keys")
@needs("admin")
@audited("api_key.created")
def create() -> Response:
    """Creates a key, which is shown only once."""
    values = body(KeyBody())
    unknown = set(values["device_ids"] or ()).difference(store().devices.ids())
    if unknown:
        raise wrong("device_ids", f"{min(unknown)!r} is not a registered device")
    most = store().settings.limits.most_api_keys
    if store().api_keys.count() >= most:
        raise Problem(
            409,
            f"There are already {most} API keys, the maximum set by RELAY_MOST_API_KEYS. Delete unused keys or "
            "raise the limit.",
        )
    key, record = store().api_keys.create(**values)
    return created({**_shown(record, {}), "key": key}, f"/v1/api-keys/{record['id']}")


@blueprint.get("/api-keys")
@needs("admin")
@takes("limit", "cursor")
def show_all() -> Response:
    """Lists the API keys, without the keys themselves."""
    count, after = limit(), cursors.after() or ""
    records = [record for record in store().api_keys.all() if _place(record) > after]
    used = store().api_keys.use.all()
    return page(
        [_shown(record, used) for record in records[:count]],
        _place(records[count - 1]) if len(records) > count else None,
    )


def _place(record: dict[str, Any]) -> str:
    """Return a key's place in the list. A cursor made from it stays valid if the key is deleted."""
    return f"{record['created_at']}~{record['id']}"


def _shown(record: dict[str, Any], used: dict[str, str]) -> dict[str, Any]:
    """Return a key as the API shows it. `used` says when each key was last used."""
    return {**record, "last_used_at": used.get(record["id"])}


def _shown_now(key: StoredKey) -> dict[str, Any]:
    return _shown(key.record, store().api_keys.use.all())


def _no_key() -> Problem:
    return Problem(404, "There is no API key with this ID.")


def _check_match(key: StoredKey) -> None:
    etags.check(etags.of_api_key(key))


@blueprint.get("/api-keys/<key_id>")
@needs("admin")
def show(key_id: str) -> Response:
    """Returns an API key, without the key itself."""
    key = store().api_keys.find(key_id)
    if key is None:
        raise _no_key()
    return etags.shown(_shown_now(key), etags.of_api_key(key))


@blueprint.patch("/api-keys/<key_id>")
@needs("admin")
@audited("api_key.changed", "key_id")
def change(key_id: str) -> Response:
    """Changes the name of a key, or when it expires. Its scopes stay the same."""
    values = body(KeyBody(exclude=("scopes", "device_ids")), partial=True)
    if "expires_at" in values:
        values["expires_at"] = received_iso(values["expires_at"]) if values["expires_at"] else None
    key = store().api_keys.change(key_id, values, _check_match)
    if key is None:
        raise _no_key()
    return etags.shown(_shown_now(key), etags.of_api_key(key))


@blueprint.post("/api-keys/<key_id>/rotate")
@needs("admin")
def rotate(key_id: str) -> Response:
    """Gives a key a new secret, shown only once. The previous one stays valid for a while."""
    seconds = body(KeyRotation())["previous_key_expires_in"]
    try:
        rotated = store().api_keys.rotate(key_id, timedelta(seconds=seconds), _check_match)
    except KeyExpired:
        raise Problem(
            409,
            "This API key has expired, and so would the new one. Change expires_at first, or create another key.",
        ) from None
    if rotated is None:
        raise _no_key()
    key, record = rotated
    until = record.record["previous_key_expires_at"]
    end = f"valid until {until}" if until else "no longer valid"
    store().audit.record(caller().id, "api_key.rotated", subject=key_id, detail=f"the previous key is {end}")
    shown = {**_shown_now(record), "key": key}
    return answer(shown, ETag=etags.of_api_key(record))


@blueprint.delete("/api-keys/<key_id>")
@needs("admin")
@takes("subscriptions")
@audited("api_key.deleted", "key_id")
def delete(key_id: str) -> Response:
    """Deletes a key, which stops working immediately, and with `subscriptions=delete` the subscriptions it created."""
    subscriptions = request.args.get("subscriptions", "keep")
    if subscriptions not in ("keep", "delete"):
        raise wrong("subscriptions", "must be keep or delete, e.g. subscriptions=delete")
    if not store().api_keys.delete(key_id, _check_match):
        raise _no_key()
    if subscriptions == "delete":
        _delete_subscriptions_of(key_id)
    return Response(status=204)


def _delete_subscriptions_of(key_id: str) -> None:
    """Delete the subscriptions that a key created. The key is already deleted, so it can't create more."""
    kept = store()
    for subscription in kept.subscriptions.all():
        if subscription.created_by == key_id:
            with suppress(Unreadable):  # it has just become damaged; `doctor` reports it
                if kept.subscriptions.delete(subscription.id) is not None:
                    kept.audit.record(caller().id, "subscription.deleted", subject=subscription.id)
