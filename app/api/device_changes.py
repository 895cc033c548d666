"""Checks device changes that need the AuthToken, so that a key with only `devices:write` can't read secrets.

Commands carry the AuthToken, PINs and templates to `gateway_url`, encrypted with `security_key`. A caller who changes
the origin or removes the encryption would learn these secrets, so the caller must already know the AuthToken.
"""

from __future__ import annotations

import hmac
from typing import Any

from app.api.auth import caller, store
from app.api.problems import Problem, wrong
from app.base.addresses import UrlRefused, origin
from app.store.devices.former import origin_or_empty
from app.store.devices.record import Secrets, device_of
from app.store.server.keys import Shard

_REMOVED = "none"


def check(
    device_id: str, record: dict[str, Any], wanted: dict[str, Any], secrets: Secrets, kept: Secrets
) -> None:
    """Raise a 403 Problem if the change needs the current AuthToken and the body doesn't contain it.

    `record` and `kept` are the stored record and secrets. `wanted` and `secrets` are their changes in the body.
    """
    _check_old_until(device_id, record, secrets, kept)
    _check_version_1(record | wanted)
    field = _protected(record, wanted, secrets, kept)
    if field is None:
        return
    offered = secrets.get("auth_token")
    if offered is None or not hmac.compare_digest(offered.encode(), kept["auth_token"].encode()):
        raise Problem(
            403,
            f"Nothing was changed. To change {field}, send the device's current auth_token in the same "
            "request. This change affects where or how the device's secrets are sent.",
            [("auth_token", "must be the device's current AuthToken")],
        )
    if kept.get("auth_token_unproven") and not caller().may("admin"):
        raise Problem(
            403,
            "Nothing was changed. The device's auth_token was replaced by an API key without the scope admin. "
            f"Since then, changing {field} requires a key with admin.",
            [("auth_token", "was replaced; a key with the scope admin is required")],
        )


def check_registered_anew(device_id: str, gateway_url: str | None, auth_token: str) -> bool:
    """Return whether the AuthToken counts as proven when the device is changed later.

    A device ID that was removed can only be registered with another gateway by a key with `admin`, or with its former
    AuthToken. Otherwise, a 403 Problem is raised, because commands that others still send to this ID would reach a
    gateway that the caller chose.
    """
    former = store().devices.former.of(device_id)
    if former is None or caller().may("admin"):
        return True
    if hmac.compare_digest(former.token, store().devices.former.digest(auth_token)):
        return True
    if gateway_url and origin_or_empty(gateway_url) != former.origin:
        raise Problem(
            403,
            "A device with this ID was removed. To register it again with a gateway_url on a different host, "
            "scheme or port, send its previous auth_token, or use an API key with the scope admin.",
            [("auth_token", "must be the AuthToken of the removed device")],
        )
    return False


def _protected(record: dict[str, Any], wanted: dict[str, Any], secrets: Secrets, kept: Secrets) -> str | None:
    """Return the part of the change that needs the AuthToken, as text for an error; None if no part does."""
    url = wanted.get("gateway_url")
    if url and _origin(url) != _origin(record["gateway_url"]):
        return f"gateway_url to another origin (here {host(url)})"
    key = kept["security_key"]
    if key and "security_key" in secrets and secrets["security_key"] != key:
        return "security_key" if secrets["security_key"] else "security_key to none"
    if record.get("require_callback_secret") and wanted.get("require_callback_secret") is False:
        return "require_callback_secret to false"
    return None


def _origin(url: str | None) -> str | None:
    """Return the URL's origin; None without a URL, or for one that only an earlier version accepted."""
    try:
        return origin(url) if url else None
    except UrlRefused:
        return None


def host(url: str | None) -> str:
    """Return the URL's origin for the audit log, which never contains a path or a query."""
    return _origin(url) or _REMOVED


def _check_version_1(record: dict[str, Any]) -> None:
    if record.get("legacy_callbacks") == "1.0" and record.get("require_callback_secret") is False:
        raise wrong(
            "require_callback_secret",
            'can\'t be false while legacy_callbacks is "1.0", because callbacks of version 1.0 have no AuthToken',
        )


def _check_old_until(device_id: str, record: dict[str, Any], secrets: Secrets, kept: Secrets) -> None:
    """Raise a 422 Problem if the date is sent, but there is no previous Security Key that it could apply to."""
    if "previous_security_key_until" not in secrets:
        return
    key = kept["security_key"]
    replaced = key and secrets.get("security_key") not in (None, key) and "security_key" in secrets
    if not replaced and len(device_of(device_id, Shard(0), "", "", record, kept).keys) < 2:
        raise wrong(
            "security_key_old_until", "can't be set, because this device has no previous Security Key"
        )


def note(device_id: str, before: dict[str, Any], after: dict[str, Any], replaced: list[str]) -> None:
    """Write the former and new origin of the gateway and the names of the `replaced` secrets to the audit log."""
    old, new = host(before["gateway_url"]), host(after["gateway_url"])
    audit, key = store().audit, caller().id
    if old != new:
        audit.record(key, "device.gateway_changed", device_id=device_id, detail=f"from {old} to {new}")
    if replaced:
        audit.record(key, "device.secrets_changed", device_id=device_id, detail=", ".join(replaced))


def replaced_by(secrets: Secrets, kept: Secrets) -> list[str]:
    """Return the names of the secrets that a body changes."""
    return [name for name in ("auth_token", "security_key") if secrets.get(name, kept[name]) != kept[name]]
