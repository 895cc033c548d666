"""`/v1/api-keys` and `/v1/me`: keys with scopes, shown once and stored by their digest."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from flask import Blueprint, Response, request
from marshmallow import RAISE, Schema, ValidationError, fields, validate

from app import __version__
from app.api.auth import ANY_KEY, audited, caller, needs, store
from app.api.io import answer, body, created, limit, page
from app.api.problems import Problem
from app.store.api_keys import SCOPES

blueprint = Blueprint("api_keys", __name__, url_prefix="/v1")


def _in_future(value: datetime) -> None:
    try:
        value.astimezone(UTC)
    except OverflowError:
        raise ValidationError("is too far away; leave it out for a key that doesn't expire") from None
    if value <= datetime.now(UTC):
        raise ValidationError("is in the past; leave it out for a key that doesn't expire")


class KeyBody(Schema):
    """What is sent to make a key."""

    class Meta:
        unknown = RAISE

    name = fields.String(required=True, validate=validate.Length(1, 100))
    scopes = fields.List(
        fields.String(validate=validate.OneOf(SCOPES)), required=True, validate=validate.Length(1)
    )
    expires_at = fields.AwareDateTime(
        load_default=None, allow_none=True, default_timezone=UTC, validate=_in_future
    )


@blueprint.get("/me")
@needs(ANY_KEY)
def me() -> Response:
    """Whose key it is: what platforms call to test a connection."""
    key = caller()
    return answer(
        {
            "id": key.id,
            "name": key.name,
            "scopes": sorted(key.scopes),
            "version": __version__,
            "day_starts_minutes": store().settings.day_starts,
        }
    )


@blueprint.post("/api-keys")
@needs("admin")
@audited("api_key.created")
def create() -> Response:
    """Makes a key, shown this once."""
    values = body(KeyBody())
    key, record = store().api_keys.create(**values)
    return created({**record, "key": key}, f"/v1/api-keys/{record['id']}")


@blueprint.get("/api-keys")
@needs("admin")
def show_all() -> Response:
    """The keys, without themselves."""
    count, after = limit(), request.args.get("cursor", "")
    records = [record for record in store().api_keys.all() if _place(record) > after]
    return page(records[:count], _place(records[count - 1]) if len(records) > count else None)


def _place(record: dict[str, Any]) -> str:
    """Where a key is in the list; as a cursor it holds though the key is deleted meanwhile."""
    return f"{record['created_at']}~{record['id']}"


@blueprint.delete("/api-keys/<key_id>")
@needs("admin")
@audited("api_key.deleted", "key_id")
def delete(key_id: str) -> Response:
    """Deletes a key; it ends working at once."""
    if not store().api_keys.delete(key_id):
        raise Problem(404, "There is no key with this id.")
    return Response(status=204)
