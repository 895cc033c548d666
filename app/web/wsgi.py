"""The web process, for gunicorn: `gunicorn -c python:app.web.gunicorn app.web.wsgi:app`."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import redis
from gevent import monkey
from gevent.threadpool import ThreadPool

from app.base.addresses import AddressGuard
from app.base.log import configure
from app.base.loops import LOOPS
from app.base.telemetry import TRACES
from app.health.checks import durability_warnings
from app.limits.loop_guard import LoopGuard
from app.settings.env_file import WITHOUT_ENV_FILE, explain_ignored_env_file
from app.settings.table import current
from app.settings.unknown import unknown_variables
from app.store import StoreRefused
from app.store.server.embedded import EmptyFile
from app.web.application import create_app

if TYPE_CHECKING:
    from app.store import Store

_APP_LOAD_ERROR = 4  # gunicorn doesn't try again after this status
# Separate pools: a call that hangs in one must not hold up callbacks in another. The hub's pool looks up the store.
_syncs = ThreadPool(4)
_look_ups = ThreadPool(10)
_archive = ThreadPool(1)  # one thread, so that gevent's locks in SQLAlchemy are never waited for
_ARCHIVE_SECONDS = 5  # for a statement
_getaddrinfo = monkey.get_original("socket", "getaddrinfo")


def _in(pool: ThreadPool, function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """Call a function in a thread of a pool. Exceptions are passed on here, because gevent would print a traceback."""

    def call() -> tuple[Any, Exception | None]:
        try:
            return function(*arguments, **options), None
        except Exception as error:
            return None, error

    found, error = pool.apply(call)
    if error is not None:
        raise error
    return found


def _sync(descriptor: int) -> Any:
    """Run fsync in a separate thread, so that other requests run meanwhile."""
    return _in(_syncs, os.fsync, descriptor)


def _look_up(*arguments: Any, **options: Any) -> Any:
    """Run getaddrinfo for host names in URLs from callers of the API."""
    return _in(_look_ups, _getaddrinfo, *arguments, **options)


def _read_archive(function: Callable[..., Any], *arguments: Any) -> Any:
    """Read the archive: its library is large, and SQLite doesn't let other greenlets run while it works."""
    return _in(_archive, function, *arguments)


def _create() -> Any:
    """Create the application. Ends the process, and gunicorn, if the store must not be used with these settings."""
    try:
        made = create_app(current(), _sync)
        kept: Store = made.extensions["store"]
        try:
            kept.admission.check()
        except (redis.RedisError, OSError):
            pass  # away: it is checked before the first callback is accepted
        else:
            kept.api_keys.make_first()
    except (StoreRefused, EmptyFile) as error:
        print(error, file=sys.stderr, flush=True)
        sys.exit(_APP_LOAD_ERROR)
    return made


def _report(process: str, troubles: dict[str, str], failures: dict[str, int]) -> None:
    """Write this process's reports and counts to the store."""
    kept: Store = app.extensions["store"]
    kept.loop_reports.write(process, troubles, failures)
    kept.counts.write()
    try:
        kept.refused.write()
    finally:  # events from what other processes have written are published anyway
        kept.refused_events.publish()


_ignored = explain_ignored_env_file()
if _ignored:
    print(f"{_ignored} {WITHOUT_ENV_FILE}", file=sys.stderr, flush=True)
    sys.exit(_APP_LOAD_ERROR)
configure(current().log_level, current().log_format)
for _problem in unknown_variables():
    logging.getLogger("relay.settings").warning(_problem)
app = _create()
with suppress(redis.RedisError, OSError):  # away: /health and doctor report it later
    for _problem in durability_warnings(app.extensions["store"]):
        logging.getLogger("relay.settings").warning(_problem)
app.extensions["store"].past.run = _read_archive
if app.extensions["store"].past.archive is not None:
    app.extensions["store"].past.archive.limit_reads(_ARCHIVE_SECONDS)
app.extensions["guard"] = AddressGuard(current().allow_private_targets, _look_up)
TRACES.start("web", app.extensions["store"].vault)
app.extensions["receiver"].start()
app.extensions["loop_guard"] = LoopGuard()
app.extensions["loop_guard"].start()
LOOPS.watch("event loop", app.extensions["loop_guard"].trouble)
LOOPS.watch("quotas of devices", app.extensions["receiver"].quotas.trouble)
LOOPS.watch("quotas of API keys", app.extensions["key_quotas"].trouble)
LOOPS.start(_report)
