"""Checks whether RELAY_PUBLIC_URL leads to this relay.

`doctor` does this itself. `/health` and `/metrics` make no calls: they read the report of a worker, which checks every
few minutes.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import orjson

from app.base.addresses import AddressGuard, UrlRefused
from app.base.vault import Vault
from app.health.findings import Problem, problems
from app.settings.table import Settings
from app.store import Store
from app.store.upkeep.public_url_reports import PublicUrlReport

if TYPE_CHECKING:
    import requests

_SECONDS = 10.0  # for each wait, and for the whole body
_LONGEST_ANSWER = 64 * 1024
_STOPPED_SECONDS = 1_800.0  # a report of this age means nothing, because no worker checks any more


class WrongAnswer(Problem):
    """Something else than this relay answers at the public URL."""


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
            status, body = answer.status_code, _body(answer)
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
        WrongAnswer(
            f"{name}: {what} at this URL, so callbacks don't arrive here. Correct RELAY_PUBLIC_URL and the Callback "
            "URL in the API Monitor, or the proxy or tunnel."
        )
    ]


def check_public_url(store: Store, now: float | None = None) -> bool:
    """Check the public URL, and write the report; return whether there is no problem. Raises redis errors."""
    now = time.time() if now is None else now
    url = store.settings.public_url
    if url is None:
        return True
    found = problems(public_url_problems(store.settings, store.vault))
    if not found:
        store.public_url_reports.write(PublicUrlReport(now, url))
        return True
    before = store.public_url_reports.read()
    since = before.failing_since if before is not None and before.url == url else None
    since = now if since is None else since
    heard = store.devices.heard_since(since, store.devices.simulated.ids())
    store.public_url_reports.write(
        PublicUrlReport(now, url, found[0], since, heard, isinstance(found[0], WrongAnswer))
    )
    return False


def public_url_warnings(store: Store, now: float | None = None) -> list[str]:
    """Return what a worker's latest check found. If callbacks arrive all the same, it is only a warning."""
    report = _latest(store, now)
    if report is None or report.problem is None or report.failing_since is None:
        return []
    since = f"{datetime.fromtimestamp(report.failing_since, UTC):%Y-%m-%d %H:%M} UTC"
    text = f"Since {since}: {report.problem}"
    if report.heard:
        return [
            f"{text} Callbacks still arrive, so perhaps only this machine can't reach its own public URL. Then you "
            "can ignore this."
        ]
    return [Problem(text)]


def public_url_up(store: Store, now: float | None = None) -> bool | None:
    """Return whether `public_url_warnings` has no problem; None if the URL isn't set, or wasn't checked recently."""
    if _latest(store, now) is None:
        return None
    return not problems(public_url_warnings(store, now))


def _latest(store: Store, now: float | None) -> PublicUrlReport | None:
    """Return the report of a recent check of the URL that is set now."""
    if store.settings.public_url is None:
        return None
    report = store.public_url_reports.read()
    now = time.time() if now is None else now
    if report is None or report.url != store.settings.public_url or now - report.at > _STOPPED_SECONDS:
        return None
    return report


def _body(answer: requests.Response) -> bytes:
    """Return the body, or as much of it as is small enough and comes soon enough. Raises requests.RequestException."""
    until = time.monotonic() + _SECONDS
    body = bytearray()
    for byte in answer.iter_content(1):  # a longer piece would wait for each byte of a slow server
        body += byte
        if len(body) >= _LONGEST_ANSWER or time.monotonic() > until:
            break
    return bytes(body)


def _instance_in(body: bytes) -> str | None:
    try:
        found = orjson.loads(body)["instance"]
    except (ValueError, KeyError, TypeError):
        return None
    return found if isinstance(found, str) else None
