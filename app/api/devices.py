"""`/v1/devices`: registering machines. Secrets go in and never come back."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit
from zoneinfo import ZoneInfo

from flask import Blueprint, Response, current_app, request
from marshmallow import RAISE, Schema, ValidationError, fields, validate

from app import working_hours
from app.addresses import UrlRefused
from app.api.auth import audited, needs, store
from app.api.io import answer, base_url, body, created, limit, page
from app.api.problems import Problem
from app.gateway.cipher import SecurityKey
from app.store.devices import MODES, Device, DeviceExists

blueprint = Blueprint("devices", __name__, url_prefix="/v1/devices")

# What a device that was registered before there was this has.
_NOT_SAID = dict.fromkeys(("silent_after_minutes", "working_hours"))
_SECRETS = ("auth_token", "security_key")
_ID = re.compile(r"(?!\.)[A-Za-z0-9._-]{1,64}")  # "." and ".." are no segments of a URL


def _check_id(value: str) -> None:
    if not _ID.fullmatch(value):
        raise ValidationError(
            "is not a Service Tag ID: 1 to 64 letters, digits, dots, dashes, e.g. ZHM1100001"
        )


def _check_token(value: str) -> None:
    if len(value) != 32 or not value.isascii() or not value.isprintable():
        raise ValidationError("is not the device's AuthToken: exactly 32 characters, from the API Monitor")


def _check_security_key(value: str) -> None:
    try:
        SecurityKey(value)
    except ValueError as error:
        raise ValidationError(str(error)) from None


def is_timezone(name: str) -> bool:
    """Whether there is a time zone of this name."""
    try:
        ZoneInfo(name)
    except (ValueError, OSError, LookupError):
        return False
    return True


def _check_timezone(value: str) -> None:
    if not is_timezone(value):
        raise ValidationError("is not a time zone's name, e.g. Asia/Kolkata")


def _check_working_hours(value: str) -> None:
    try:
        working_hours.parse(value)
    except ValueError as error:
        raise ValidationError(str(error)) from None


def _check_gateway_url(value: str) -> None:
    try:
        current_app.extensions["guard"].check_url(value)
    except UrlRefused as error:
        raise ValidationError(str(error)) from None


class DeviceBody(Schema):
    """What is sent to register a device."""

    class Meta:
        unknown = RAISE

    device_id = fields.String(required=True, validate=_check_id)
    auth_token = fields.String(required=True, validate=_check_token)
    gateway_url = fields.String(load_default=None, allow_none=True, validate=_check_gateway_url)
    security_key = fields.String(load_default=None, allow_none=True, validate=_check_security_key)
    label = fields.String(load_default=None, allow_none=True, validate=validate.Length(max=200))
    serial_number = fields.String(load_default=None, allow_none=True, validate=validate.Length(max=100))
    mode = fields.String(load_default="native", validate=validate.OneOf(MODES))
    timezone = fields.String(load_default="UTC", validate=_check_timezone)
    silent_after_minutes = fields.Integer(
        load_default=None, allow_none=True, strict=True, validate=validate.Range(0, 43_200)
    )
    working_hours = fields.String(load_default=None, allow_none=True, validate=_check_working_hours)


def without_stgid(url: str) -> str:
    """A gateway URL as people paste it, without the `?stgid=` that is put on when it is used."""
    parts = urlsplit(url)
    query = urlencode(
        [pair for pair in parse_qsl(parts.query, keep_blank_values=True) if pair[0].lower() != "stgid"]
    )
    return urlunsplit(parts._replace(query=query))


def _split(values: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The public record and the secrets."""
    secrets = {name: values.pop(name) for name in _SECRETS if name in values}
    if values.get("gateway_url"):
        values["gateway_url"] = without_stgid(values["gateway_url"])
    return values, secrets


def _shown(device: Device) -> dict[str, Any]:
    return {
        **_NOT_SAID,
        **device.record,
        "has_security_key": bool(device.keys),
        "auth_token_hint": device.auth_token[-4:],
        "callback_url": f"{base_url()}/callback/{quote(device.id)}",
        **store().devices.status(device.id),
    }


def _found(device_id: str) -> Device:
    device = store().devices.refresh(device_id)
    if device is None:
        raise Problem(404, f"No device {device_id[:64]!r} is registered.")
    return device


@blueprint.post("")
@needs("devices:write")
@audited("device.registered")
def register() -> Response:
    """Registers a device."""
    record, secrets = _split(body(DeviceBody()))
    try:
        store().devices.register(record, secrets)
    except DeviceExists:
        raise Problem(
            409,
            f"Device {record['device_id']} is registered already: change it with PATCH.",
            [("device_id", "is registered already")],
        ) from None
    return created(_shown(_found(record["device_id"])), f"/v1/devices/{quote(record['device_id'])}")


@blueprint.get("")
@needs("devices:write", "events:read", "actions:read")
def show_all() -> Response:
    """The devices, by id."""
    count, after = limit(), request.args.get("cursor", "")
    ids = [device_id for device_id in store().devices.ids() if device_id > after]
    devices = [store().devices.refresh(device_id) for device_id in ids[:count]]
    rows = [_shown(device) for device in devices if device is not None]
    return page(rows, ids[count - 1] if len(ids) > count else None)


@blueprint.get("/<device_id>")
@needs("devices:write", "events:read", "actions:read")
def show(device_id: str) -> Response:
    """One device, with when it was last seen and its counters."""
    return answer(_shown(_found(device_id)))


@blueprint.patch("/<device_id>")
@needs("devices:write")
@audited("device.changed", "device_id")
def change(device_id: str) -> Response:
    """Changes a device. The former security key stays valid for reading, so that both ends can be changed in turn."""
    _found(device_id)
    values = body(DeviceBody(exclude=("device_id",)), partial=True)
    for name in ("auth_token", "mode", "timezone"):
        if name in values and values[name] is None:
            raise Problem(422, f"{name}: it can't be removed.", [(name, "It can't be removed.")])
    record, secrets = _split(values)
    device = store().devices.change(device_id, record, secrets)
    if device is None:
        raise Problem(404, f"No device {device_id[:64]!r} is registered.")
    return answer(_shown(device))


@blueprint.delete("/<device_id>")
@needs("devices:write")
@audited("device.removed", "device_id")
def remove(device_id: str) -> Response:
    """Removes a device, its users and their templates. Its events stay until they are too old."""
    if not store().devices.remove(device_id):
        raise Problem(404, f"No device {device_id[:64]!r} is registered.")
    return Response(status=204)
