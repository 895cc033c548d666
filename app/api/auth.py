"""Authentication and scopes. Every endpoint declares its scopes; a test fails for one that doesn't."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import redis
from flask import current_app, g, request

from app.api.accept import check_accept
from app.api.problems import Problem
from app.api.query_parameters import check_query
from app.api.request_helpers import connection
from app.api.sessions import caller_by_session, session_token
from app.store import Store, is_away
from app.store.access.api_keys import FIRST_KEY, ApiKey
from app.store.access.audit import ABOUT

View = TypeVar("View", bound=Callable[..., Any])

PUBLIC = "public"
ANY_KEY = "any key"


def store() -> Store:
    """Return the store of this process."""
    kept: Store = current_app.extensions["store"]
    return kept


def caller() -> ApiKey:
    """Return the key or session that makes the request. Raises a 401 Problem, or TooManyTries (429)."""
    if "caller" not in g:
        if not store().admission.admitted and not store().admission.look():
            raise Problem(503, store().admission.problem or "The store can't be used with these settings.")
        key = _offered_key()
        found = store().api_keys.authenticate(key, request.remote_addr or "") if key else caller_by_session()
        if found is None and not key:
            raise Problem(
                401, "An API key is required. Send it as `Authorization: Bearer KEY` or `X-API-Key: KEY`."
            )
        if found is None:
            raise Problem(
                401,
                "This API key is wrong, has been deleted, or has expired.",
                challenge='error="invalid_token"',
            )
        g.caller = found
        if found is not FIRST_KEY:
            store().api_keys.use.note(found.id)
        came_by = connection()
        if came_by is not None:
            came_by.vouch()
    key_of_caller: ApiKey = g.caller
    return key_of_caller


def caller_if_any() -> ApiKey | None:
    """Return the caller, or None without a key and a session. Raises a 401 Problem if the key is wrong."""
    if not _offered_key() and caller_by_session() is None:
        return None
    return caller()


def needs(*scopes: str) -> Callable[[View], View]:
    """Restrict a view to keys with at least one of the scopes. PUBLIC allows everybody, ANY_KEY every valid key."""

    def decorate(view: View) -> View:
        @functools.wraps(view)
        def checked(*args: Any, **kwargs: Any) -> Any:
            if PUBLIC not in scopes:
                check(*scopes)
                if not getattr(view, "is_limited_by_device", False):
                    check_all_devices()
            if not is_by_session():  # a browser also opens files and streams with the Accept of a page
                check_accept(view)
            check_query(view)
            return view(*args, **kwargs)

        checked.scopes = scopes  # type: ignore[attr-defined]
        return checked  # type: ignore[return-value]

    return decorate


def limited_by_device(view: View) -> View:
    """Declare that a view only accesses the caller's devices. Others refuse keys that are limited to devices.

    Put it below `needs`.
    """
    view.is_limited_by_device = True  # type: ignore[attr-defined]
    return view


def check_all_devices() -> None:
    """Raise a 403 Problem if the caller's key is limited to devices."""
    if caller().device_ids is not None:
        raise Problem(
            403,
            "This API key is limited to some devices, and this request isn't. Use a key that isn't limited.",
        )


def audited(action: str, *named: str) -> Callable[[View], View]:
    """Write each successful call of a view to the audit log, before the response is sent.

    `named` are the path parameters that identify what was changed. If the view creates something (201), the ID is
    taken from the response.
    """

    def decorate(view: View) -> View:
        @functools.wraps(view)
        def noted(*args: Any, **kwargs: Any) -> Any:
            response = view(*args, **kwargs)
            if response.status_code < 400:
                about = {name if name in ABOUT else "subject": kwargs[name] for name in named}
                if response.status_code == 201:
                    made = response.get_json()
                    about = {
                        name if name in ABOUT else "subject": made[name]
                        for name in ("device_id", "id")
                        if name in made
                    }
                store().audit.record(caller().id, action, **about)
            return response

        return noted  # type: ignore[return-value]

    return decorate


def check(*scopes: str) -> None:
    """Raise a 403 Problem if the caller has none of the scopes."""
    key = caller()
    if ANY_KEY not in scopes and not any(key.may(scope) for scope in scopes):
        raise Problem(
            403,
            f"This API key doesn't have the scope {' or '.join(scopes)}.",
            challenge=f'error="insufficient_scope", scope="{" ".join(scopes)}"',
        )


def still_may(scope: str) -> Callable[[], bool]:
    """Return a function for streams that checks whether the caller still has the scope.

    Failure policy: while the store is away, the stream continues.
    """
    kept, token, key = store(), session_token(), _offered_key()
    digest = kept.api_keys.digest(key) if key else None

    def check_again() -> bool:
        try:
            found = kept.api_keys.of_digest(digest) if digest else kept.sessions.holder(token)
        except redis.RedisError as error:
            if is_away(error):
                return True
            raise
        return found is not None and found.may(scope)

    return check_again


def is_by_session() -> bool:
    """Return whether an authenticated caller signed in to the console, without an API key or the command line."""
    return not _offered_key() and bool(session_token())


def _offered_key() -> str:
    scheme, _, bearer = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return bearer.strip()
    return request.headers.get("X-API-Key", "").strip()
