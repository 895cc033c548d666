"""The HTTP API: thin Flask blueprints that read, call and answer."""

from __future__ import annotations

import os
from typing import Any

from flask import Flask
from werkzeug.middleware.proxy_fix import ProxyFix

from app.addresses import AddressGuard
from app.api import (
    actions,
    api_keys,
    attendance,
    audit,
    callback,
    descriptions,
    devices,
    employees,
    events,
    files,
    problems,
    requests,
    subscriptions,
    system,
    users,
)
from app.follower import Follower
from app.receiver import Receiver
from app.settings import Settings
from app.store import Store
from app.store.spool import Spool
from app.waiter import CommandWaiter


def create_app(settings: Settings, sync: Any = os.fsync) -> Flask:
    """The web application. `sync` flushes a file to disk (a gevent server passes one that doesn't block it)."""
    app = Flask(__name__, static_folder=None)
    store = Store(settings)
    spool = Spool(settings.data_dir / "spool", store.vault, sync) if settings.spool else None
    app.extensions["store"] = store
    app.extensions["spool"] = spool
    app.extensions["guard"] = AddressGuard(settings.allow_private_targets)
    app.extensions["receiver"] = Receiver(store, spool)
    app.extensions["follower"] = Follower(store)
    app.extensions["waiter"] = CommandWaiter(store)
    problems.register(app)
    requests.register(app)
    for module in (
        callback,
        subscriptions,
        events,
        devices,
        users,
        attendance,
        employees,
        actions,
        api_keys,
        audit,
        files,
        system,
        descriptions,
    ):
        app.register_blueprint(module.blueprint)
    proxies = settings.trusted_proxies
    if proxies:
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=proxies, x_proto=proxies, x_host=proxies)  # type: ignore[method-assign]
    return app
