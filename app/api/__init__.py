"""The HTTP API, as thin Flask blueprints: each view reads the request, calls the store or a package, and responds."""

from __future__ import annotations

import os
from typing import Any

from flask import Flask
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.routing import PathConverter

from app.api import (
    actions,
    api_keys,
    attendance,
    audit,
    callback,
    compression,
    corrections,
    deliveries,
    deprecation_headers,
    descriptions,
    devices,
    employees,
    events,
    health_and_metrics,
    idempotency,
    problems,
    rate_limits,
    refused,
    replays,
    request_ids,
    signed_files,
    signing_keys,
    subscriptions,
    users,
)
from app.base.addresses import AddressGuard
from app.callbacks.receiver import Receiver
from app.callbacks.refusals import Refusals
from app.limits.callers import Callers
from app.limits.connections import Connections
from app.limits.key_quotas import KeyQuotas
from app.limits.streams import Streams
from app.live.command_waiter import CommandWaiter
from app.live.event_feed import EventFeed
from app.settings.table import Settings
from app.store import Store
from app.store.spool.spool import Spool


class AnyText(PathConverter):
    """Matches the rest of a path, including line breaks, because a user ID may contain them."""

    regex = "(?s:[^/].*?)"


def create_app(settings: Settings, sync: Any = os.fsync) -> Flask:
    """Return the web application. `sync` flushes a file to disk; under gevent, it is a function that doesn't block."""
    app = Flask(__name__, static_folder=None)
    app.url_map.converters["path"] = AnyText
    store = Store(settings)
    spool = Spool(settings.data_dir / "spool", store.vault, sync) if settings.spool else None
    app.extensions["store"] = store
    app.extensions["spool"] = spool
    app.extensions["guard"] = AddressGuard(settings.allow_private_targets)
    app.extensions["connections"] = Connections(
        settings.limits, Callers(), by_proxy=settings.trusted_proxies > 0
    )
    app.extensions["streams"] = Streams(settings.limits)
    app.extensions["key_quotas"] = KeyQuotas(settings.limits)
    app.extensions["receiver"] = Receiver(store, spool)
    app.extensions["refusals"] = Refusals(store)
    app.extensions["event_feed"] = EventFeed(store)
    app.extensions["waiter"] = CommandWaiter(store)
    compression.register(app)
    problems.register(app)
    request_ids.register(app)
    idempotency.register(app)
    rate_limits.register(app)
    deprecation_headers.register(app)
    for module in (
        callback,
        subscriptions,
        deliveries,
        replays,
        events,
        devices,
        users,
        attendance,
        corrections,
        employees,
        actions,
        api_keys,
        audit,
        refused,
        signed_files,
        signing_keys,
        health_and_metrics,
        descriptions,
    ):
        app.register_blueprint(module.blueprint)
    proxies = settings.trusted_proxies
    if proxies:
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=proxies, x_proto=proxies, x_host=proxies)  # type: ignore[method-assign]
    return app
