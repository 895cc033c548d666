"""`/v1/devices`: registering devices. Secrets can be set, but are never returned."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

from flask import Blueprint, Response

from app.api import cursors, device_changes, etags
from app.api.auth import audited, caller, limited_by_device, needs, store
from app.api.find_device import find_device
from app.api.own_url import base_url
from app.api.problems import Problem
from app.api.query_parameters import takes
from app.api.request_helpers import answer, body, created, limit, page
from app.api.typed_confirmation import check_typed, names_of
from app.events.flatten import received_iso
from app.health.refused_checks import of_device
from app.schemas.devices import DeviceBody, DeviceChange
from app.store.access.scopes import DEVICE_READERS
from app.store.alerts.refused import Source
from app.store.devices import record as device_record
from app.store.devices.record import Secrets
from app.store.devices.registry import Device, DeviceExists
from app.store.devices.simulated import SimulatedIds
from app.store.server.connection import is_away
from app.store.server.damage import DAMAGED, left_out

blueprint = Blueprint("devices", __name__, url_prefix="/v1/devices")

# For devices that were registered before these fields existed.
_LATER_FIELDS: dict[str, Any] = {
    **dict.fromkeys(("same_visit_seconds", "silent_after_minutes", "working_hours")),
    "direction": "by_type",
    "require_callback_secret": False,
    "legacy_callbacks": "off",
}
_SECRETS = ("auth_token", "security_key")


def without_stgid(url: str) -> str:
    """Return a gateway URL without `?stgid=`, which people often paste and which the relay adds itself."""
    parts = urlsplit(url)
    query = urlencode(
        [pair for pair in parse_qsl(parts.query, keep_blank_values=True) if pair[0].lower() != "stgid"]
    )
    return urlunsplit(parts._replace(query=query))


def _split(values: dict[str, Any]) -> tuple[dict[str, Any], Secrets]:
    """Split the values into the public record and the secrets."""
    secrets = {name: values.pop(name) for name in _SECRETS if name in values}
    if "security_key_old_until" in values:
        until = values.pop("security_key_old_until")
        secrets["previous_security_key_until"] = until.timestamp() if until else None
    if values.get("gateway_url"):
        values["gateway_url"] = without_stgid(values["gateway_url"])
    return values, secrets


def _shown(
    device: Device,
    callback_secret: str | None = None,
    refused: list[Source] | None = None,
    simulated: SimulatedIds | None = None,
) -> dict[str, Any]:
    """Return a device as the API shows it.

    `callback_secret` is only passed when it has just been created, and is then part of `callback_url`. `refused` are
    the sources of refused callbacks, and `simulated` the simulated devices, if they have been read already.
    """
    query = f"?k={callback_secret}" if callback_secret else ""
    former_key_until = device.former_key_until if len(device.keys) > 1 else None
    return {
        "id": device.id,
        **_LATER_FIELDS,
        **device.record,
        "created_at": received_iso(datetime.fromisoformat(device.record["created_at"])),
        "simulated": device.id in (store().devices.simulated.ids() if simulated is None else simulated),
        "has_security_key": bool(device.keys),
        "security_key_old_until": _iso(former_key_until),
        "auth_token_hint": device.auth_token[-4:],
        "callback_url": f"{base_url()}/callback/{quote(device.id)}{query}",
        **store().devices.status(device.id),
        **_refused(device, store().refused.all() if refused is None else refused),
    }


def _refused(device: Device, sources: list[Source]) -> dict[str, Any]:
    """Return a summary of the refused callbacks that may be from the device, even from before it was registered."""
    found = of_device(store(), device, sources)
    return {
        "refused_callbacks": found.callbacks,
        "refused_since": _iso(found.since),
        "refused_note": found.note,
    }


def _iso(seconds: float | None) -> str | None:
    return None if seconds is None else received_iso(datetime.fromtimestamp(seconds, UTC))


def _found(device_id: str) -> Device:
    device = find_device(device_id)
    if device is None:
        raise Problem(404, f"No device {device_id[:64]!r} is registered.")
    return device


@blueprint.post("")
@needs("devices:write")
@audited("device.registered")
def register() -> Response:
    """Registers a device."""
    record, secrets = _split(body(DeviceBody()))
    most = store().settings.limits.most_devices
    if store().devices.count() >= most:
        raise Problem(
            409,
            f"There are already {most} devices, the maximum set by RELAY_MOST_DEVICES. Remove unused devices or raise "
            "the limit.",
        )
    proven = device_changes.check_registered_anew(
        record["device_id"], record["gateway_url"], secrets["auth_token"]
    )
    secrets["auth_token_unproven"] = not proven
    if record["legacy_callbacks"] == "1.0":
        record["require_callback_secret"] = True
    if record["require_callback_secret"]:
        secrets = device_record.with_callback_secret(secrets)
    try:
        store().devices.register(record, secrets)
    except DeviceExists:
        raise Problem(
            409,
            f"Device {record['device_id']} is already registered. Use PATCH to change it.",
            [("device_id", "is already registered")],
        ) from None
    gateway = device_changes.host(record["gateway_url"])
    store().audit.record(
        caller().id, "device.gateway_set", device_id=record["device_id"], detail=f"to {gateway}"
    )
    shown = _shown(_found(record["device_id"]), secrets.get("callback_secret"))
    return created(shown, f"/v1/devices/{quote(record['device_id'])}")


@blueprint.get("")
@needs(*DEVICE_READERS)
@limited_by_device
@takes("limit", "cursor")
def show_all() -> Response:
    """Lists the devices, sorted by ID."""
    count, after = limit(), cursors.after() or ""
    ids = [device_id for device_id in store().devices.ids() if device_id > after and caller().sees(device_id)]
    refused, simulated = store().refused.all(), store().devices.simulated.ids()
    rows = []
    for device_id in ids[:count]:
        with left_out(f"device {device_id}"):
            device = store().devices.refresh(device_id)
            if device is not None:
                rows.append(_shown(device, refused=refused, simulated=simulated))
    return page(rows, ids[count - 1] if len(ids) > count else None)


@blueprint.get("/<device_id>")
@needs(*DEVICE_READERS)
@limited_by_device
def show(device_id: str) -> Response:
    """Returns a device with its counters and when it was last seen."""
    device = _found(device_id)
    return etags.shown(_shown(device), etags.of_device(device))


@blueprint.patch("/<device_id>")
@needs("devices:write")
@limited_by_device
@audited("device.changed", "device_id")
def change(device_id: str) -> Response:
    """Changes a device. A new origin of gateway_url or a new Security Key requires the current AuthToken in the body.

    The previous Security Key can still decrypt callbacks for a day, so that both ends can be changed one by one.
    """
    _found(device_id)
    values = body(DeviceChange(), partial=True)
    record, secrets = _split(values)
    if record.get("legacy_callbacks") == "1.0":
        record.setdefault("require_callback_secret", True)
    secrets["auth_token_unproven"] = not caller().may("admin")
    before: dict[str, Any] = {}
    replaced: list[str] = []

    def check(stored: dict[str, Any], kept: Secrets) -> None:
        device_changes.check(device_id, stored, record, secrets, kept)
        before.update(stored)
        replaced[:] = device_changes.replaced_by(secrets, kept)

    device = store().devices.change(device_id, record, secrets, check, check_version=etags.check_version)
    if device is None:
        raise Problem(404, f"No device {device_id[:64]!r} is registered.")
    device_changes.note(device_id, before, device.record, replaced)
    is_new = device.wants_callback_secret and not before.get("require_callback_secret")
    return etags.shown(_shown(device, device.callback_secret if is_new else None), etags.of_device(device))


@blueprint.post("/<device_id>/rotate-callback-secret")
@needs("devices:write")
@limited_by_device
@audited("device.callback_secret_rotated", "device_id")
def rotate_callback_secret(device_id: str) -> Response:
    """Creates a new callback secret, shown once in callback_url. The previous one is accepted for 24 hours."""
    device = _found(device_id)
    if not device.wants_callback_secret:
        raise Problem(
            409,
            "This device doesn't require a callback secret. To create one, set require_callback_secret to true.",
        )
    rotated = store().devices.rotate_callback_secret(device_id)
    if rotated is None:
        raise Problem(404, f"No device {device_id[:64]!r} is registered.")
    return answer(_shown(rotated, rotated.callback_secret))


@blueprint.delete("/<device_id>")
@needs("devices:write")
def remove(device_id: str) -> Response:
    """Removes a device with its users and their templates. Its events are kept for the retention period."""
    if etags.is_conditional():
        etags.check_version(_found(device_id).version)
    check_typed(_names(device_id))
    return remove_confirmed(device_id=device_id)


@audited("device.removed", "device_id")
def remove_confirmed(device_id: str) -> Response:
    """Remove a device. Raises a 404 Problem if there is none."""
    if not store().devices.remove(device_id):
        raise Problem(404, f"No device {device_id[:64]!r} is registered.")
    return Response(status=204)


def _names(device_id: str) -> list[str]:
    """Return the names by which a user of the console confirms the removal."""
    try:
        device = store().devices.refresh(device_id)
    except DAMAGED as error:
        if is_away(error):
            raise
        return [device_id]
    return names_of(device) if device is not None else [device_id]
