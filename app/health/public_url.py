"""Checks whether RELAY_PUBLIC_URL leads to this relay.

`doctor` does this itself. `/health` and `/metrics` make no calls: they read the report of a worker, which checks every
few minutes.
"""

from __future__ import annotations

import ssl
import time
from datetime import UTC, datetime

import orjson

from app.base.addresses import AddressGuard, UrlRefused
from app.base.vault import Vault
from app.health.findings import Problem, problems
from app.settings.table import Settings
from app.store import Store
from app.store.upkeep.public_url_reports import PublicUrlReport

_SECONDS = 10.0  # for the whole request
_LONGEST_ANSWER = 64 * 1024
_REASONS = {  # by libcurl's error codes
    5: "the proxy's name isn't found",
    6: "its name isn't found",
    7: "the connection was refused",
    28: "it took more than ten seconds",
    35: "TLS failed",
    52: "the answer was empty",
    56: "the connection was closed",
    60: "its certificate isn't valid",
}
_STOPPED_SECONDS = 1_800.0  # a report of this age means nothing, because no worker checks any more


class NoAnswer(Exception):
    """Nothing answers at a URL. The message says why, in a few words."""


class WrongAnswer(Problem):
    """Something else than this relay answers at the public URL."""


def instance(vault: Vault) -> str:
    """Return an ID that distinguishes relays in `/health`. It is the same in all processes, and not secret."""
    return vault.digest("instance", "cams-relay")[:12]


def public_url_problems(settings: Settings, vault: Vault) -> list[str]:
    """Return a problem if another server than this relay answers at RELAY_PUBLIC_URL."""
    if settings.public_url is None:
        return []
    try:
        url = AddressGuard(settings.allow_private_targets).check_url(
            settings.public_url.rstrip("/") + "/health"
        )
    except UrlRefused as error:
        return [f"RELAY_PUBLIC_URL was not checked. {error} The gateway can't reach such an address either."]
    name = f"RELAY_PUBLIC_URL={settings.public_url}"
    try:
        status, body = _fetched(url)
    except NoAnswer as error:
        return [
            Problem(
                f"{name} doesn't answer ({error}), so the gateway can't reach the relay. Check that the relay is "
                "running, and that the proxy or tunnel in front of it is up. A restarted tunnel may have a new URL."
            )
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


def _fetched(url: str) -> tuple[int, bytes]:
    """Return the status and the body, or as much of it as is small enough and comes soon enough. Raises NoAnswer.

    libcurl limits the time of the whole request, however slowly its parts come.
    """
    import certifi  # imported here, because web processes don't need them
    import pycurl

    body = bytearray()

    def take(piece: bytes) -> int:
        body.extend(piece[: _LONGEST_ANSWER - len(body)])
        return len(piece) if len(body) < _LONGEST_ANSWER else 0  # 0 ends the request

    handle = pycurl.Curl()
    try:
        for option, value in (
            (pycurl.URL, url),
            (pycurl.PROTOCOLS, pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS),
            (pycurl.FOLLOWLOCATION, 0),
            (pycurl.NETRC, pycurl.NETRC_IGNORED),
            (pycurl.NOSIGNAL, 1),
            (pycurl.TIMEOUT_MS, int(_SECONDS * 1000)),
            (pycurl.CAINFO, ssl.get_default_verify_paths().cafile or certifi.where()),
            (pycurl.WRITEFUNCTION, take),
        ):
            handle.setopt(option, value)
        try:
            handle.perform()
        except pycurl.error as error:
            if not body:
                raise NoAnswer(_REASONS.get(int(error.args[0]), f"libcurl's error {error.args[0]}")) from None
        return handle.getinfo(pycurl.RESPONSE_CODE), bytes(body)
    finally:
        handle.close()


def _instance_in(body: bytes) -> str | None:
    try:
        found = orjson.loads(body)["instance"]
    except (ValueError, KeyError, TypeError):
        return None
    return found if isinstance(found, str) else None
