"""`/health` and `/metrics`."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import redis
from flask import Blueprint, Response, current_app
from prometheus_client.core import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from app import __version__
from app.api.auth import PUBLIC, check, check_all_devices, needs, store
from app.api.metrics import Collector
from app.api.process_metrics import ProcessCollector
from app.api.request_helpers import answer
from app.base.loops import LOOPS
from app.base.store_errors import is_wrong_type
from app.callbacks.receiver import Receiver
from app.events.flatten import received_iso
from app.health.backup_checks import newest_backup
from app.health.checks import HEALTH_CHECKS, SLOW_HEALTH_CHECKS
from app.health.damage_checks import readable_warnings
from app.health.disk_checks import disk_warnings
from app.health.findings import Problem, problems
from app.health.public_url import instance
from app.health.spool_checks import spool_warnings
from app.store.spool.spool import Spool

blueprint = Blueprint("system", __name__)

_WARNINGS_SECONDS = 60.0


@blueprint.get("/health")
@needs(PUBLIC)
def health() -> Response:
    """Returns 200 if callbacks can be accepted (on disk if necessary), otherwise 503."""
    spool: Spool | None = current_app.extensions["spool"]
    try:
        store().connection.redis.ping()
        if not store().admission.admitted:
            store().admission.look()
        away = False
    except (redis.RedisError, OSError) as error:
        # A key of the wrong type is reported below, and callbacks are still accepted.
        away = not is_wrong_type(error)
    foreign = not away and store().identity.foreign is not None
    spooled = spool.size() if spool is not None else 0
    refused = store().admission.problem
    healthy = refused is None and (not (away or foreign) or _takes_to_disk(spool))
    found = [Problem(refused)] if refused else _findings(away, spool)
    body = {
        "status": "ok" if healthy else "unavailable",
        "version": __version__,
        "store": "away" if away else "refused" if refused else "foreign" if foreign else "ok",
        "store_away_since": _away_since() if away else None,
        "spooled_bytes": spooled,
        "newest_backup_at": None if away else _newest_backup(),
        "instance": instance(store().vault),
        "store_id": None if away else _store_id(),
        "problems": problems(found),
        "warnings": found,
    }
    return answer(body, 200 if healthy else 503)


def _newest_backup() -> str | None:
    """Return when the relay made its newest automatic backup; None if it is unknown."""
    try:
        return newest_backup(store())
    except (redis.RedisError, OSError):  # the store has just gone away
        return None


def _store_id() -> str | None:
    """Return a digest of the store's ID; None if it is unknown."""
    try:
        found = store().identity.store_id()
    except (redis.RedisError, OSError):  # the store has just gone away
        return None
    return None if found is None else store().vault.digest("store", found)[:16]


def _away_since() -> str | None:
    """Return since when the store has been away, in ISO 8601; None if this process hasn't noticed yet."""
    receiver: Receiver = current_app.extensions["receiver"]
    since = receiver.store_away_since
    return None if since is None else received_iso(datetime.fromtimestamp(since, UTC))


def _takes_to_disk(spool: Spool | None) -> bool:
    """Return whether this process can accept callbacks without the store: it needs known devices and disk space."""
    return spool is not None and store().devices.knows_any and spool.writable()


def _findings(away: bool, spool: Spool | None) -> list[str]:
    """Return the problems of the background loops, the spool, the store, targets and devices."""
    identity = store().identity.foreign
    disk = disk_warnings(store()) if away else []
    here = [
        *([Problem(_away_text(spool, disk_is_full=bool(problems(disk)))), *disk] if away else []),
        *map(Problem, LOOPS.troubles().values()),
        *([] if identity is None else [Problem(identity)]),
        *([] if spool is None else spool_warnings(spool)),
    ]
    if away:
        return here
    anywhere = [found for check in HEALTH_CHECKS for found in readable_warnings(check, store())]
    return list(dict.fromkeys((*here, *anywhere, *_slow_findings())))


def _away_text(spool: Spool | None, *, disk_is_full: bool) -> str:
    """Return a text that says what happens to callbacks in this process while the store is away."""
    if spool is None:
        kept = "RELAY_SPOOL is off, so callbacks are answered with 503, and the gateway keeps them."
    elif not store().devices.knows_any:
        kept = "This process has read no devices yet, so callbacks are answered with 503, and the gateway keeps them."
    elif not spool.writable():
        kept = (
            "Callbacks can't be written to this machine's disk either, so they are answered with 503, and the "
            "gateway keeps them. Check the disk of RELAY_DATA_DIR."
        )
    else:
        kept = "Callbacks are kept on this machine's disk and stored once it is back. Deliveries and commands wait."
    if (
        disk_is_full and store().settings.redis_url is None
    ):  # the embedded store waits for space, and starts itself
        return f"The store can't be reached. {kept}"
    return f"The store can't be reached. {kept} If the store doesn't recover automatically, start it again."


def _slow_findings() -> list[str]:
    """Return the findings of the slow checks, which run at most once a minute."""
    asked_at, found = current_app.extensions.get("findings", (0.0, []))
    if time.monotonic() - asked_at > _WARNINGS_SECONDS or not asked_at:
        found = [one for check in SLOW_HEALTH_CHECKS for one in readable_warnings(check, store())]
        current_app.extensions["findings"] = (time.monotonic(), found)
    return list(found)


@blueprint.get("/metrics")
@needs(PUBLIC)
def metrics() -> Response:
    """Returns metrics in the Prometheus text format."""
    if not store().settings.metrics_open:
        check("metrics:read")
        check_all_devices()
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Collector(store(), current_app.extensions["spool"]))
    registry.register(ProcessCollector(current_app.extensions))
    return Response(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)
