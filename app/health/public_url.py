"""Checks whether RELAY_PUBLIC_URL leads to this relay. Only `doctor` does this, because `/health` makes no calls."""

from __future__ import annotations

import orjson

from app.base.addresses import AddressGuard, UrlRefused
from app.base.vault import Vault
from app.health.findings import Problem
from app.settings.table import Settings

_SECONDS = 10.0
_LONGEST_ANSWER = 256 * 1024


def instance(vault: Vault) -> str:
    """Return an ID that distinguishes relays in `/health`. It is the same in all processes, and not secret."""
    return vault.digest("instance", "cams-relay")[:12]


def public_url_problems(settings: Settings, vault: Vault) -> list[str]:
    """Return a problem if another server than this relay answers at RELAY_PUBLIC_URL."""
    if settings.public_url is None:
        return []
    import requests  # imported here, because web processes don't need it

    try:
        url = AddressGuard(settings.allow_private_targets).check_url(
            settings.public_url.rstrip("/") + "/health"
        )
    except UrlRefused as error:
        return [f"RELAY_PUBLIC_URL was not checked. {error} The gateway can't reach such an address either."]
    name = f"RELAY_PUBLIC_URL={settings.public_url}"
    try:
        with requests.get(url, timeout=_SECONDS, allow_redirects=False, stream=True) as answer:
            status, body = answer.status_code, answer.raw.read(_LONGEST_ANSWER, decode_content=True)
    except requests.RequestException as error:
        return [
            Problem(
                f"{name} doesn't answer ({type(error).__name__}), so the gateway can't reach the relay. Check that the "
                "relay is running, and that the proxy or tunnel in front of it is up. A restarted tunnel may have a "
                "new URL."
            )
        ]
    except OSError as error:
        return [
            Problem(f"{name} doesn't answer ({type(error).__name__}), so the gateway can't reach the relay.")
        ]
    found = _instance_in(body)
    if found == instance(vault):
        return []
    what = "another relay answers" if found else f"something else answers (status {status})"
    return [
        Problem(
            f"{name}: {what} there, so callbacks don't arrive here. Correct RELAY_PUBLIC_URL and the Callback URL "
            "in the API Monitor, or the proxy or tunnel."
        )
    ]


def _instance_in(body: bytes) -> str | None:
    try:
        found = orjson.loads(body)["instance"]
    except (ValueError, KeyError, TypeError):
        return None
    return found if isinstance(found, str) else None
