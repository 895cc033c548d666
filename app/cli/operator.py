"""Calls the API in this process, as the operator of this machine, without a network or an API key."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

import click
import orjson

from app.cli.shared import asked_store
from app.settings.own_url import local_url
from app.settings.table import Settings

if TYPE_CHECKING:
    from flask import Flask

    from app.store import Store

T = TypeVar("T")

_PAGE = 200  # rows requested per page of a list


class Operator:
    """The API in this process, with all scopes, because its user can run commands on the relay's machine."""

    def __init__(self, app: Flask, own_url: str) -> None:
        self._app = app
        self._own_url = own_url

    @property
    def store(self) -> Store:
        """The store that the API uses."""
        kept: Store = self._app.extensions["store"]
        return kept

    def call(self, method: str, path: str, **request: Any) -> Any:
        """Return the API's response to a request; None if it is empty.

        `request` are werkzeug's options: `json` is the body, `query_string` the parameters. Changes are recorded in the
        audit log. Raises ClickException with the API's error message.
        """
        with self._asking(path, method=method, **request):
            response = self._app.full_dispatch_request()
        answer: Any = orjson.loads(response.get_data()) if response.get_data() else None
        if response.status_code >= 400:
            raise click.ClickException(answer["detail"])
        return answer

    def rows(self, path: str) -> Iterator[dict[str, Any]]:
        """Yield all rows of a list, page by page."""
        cursor = None
        while True:
            page = self.call(
                "GET", path, query_string={"limit": _PAGE, **({"cursor": cursor} if cursor else {})}
            )
            yield from page["data"]
            cursor = page["next_cursor"]
            if cursor is None:
                return

    def read(self, read: Callable[[], T], path: str, query: dict[str, Any]) -> T:
        """Call a function of the API that reads a request's parameters, and return its result. Raises its Problem."""
        with self._asking(path, query_string=query):
            return read()

    @contextmanager
    def _asking(self, path: str, **request: Any) -> Iterator[None]:
        from flask import g

        from app.store.access.api_keys import ApiKey
        from app.store.access.audit import COMMAND_LINE
        from app.store.access.scopes import SCOPES

        with self._app.test_request_context(path, base_url=self._own_url, **request):
            g.caller = ApiKey(COMMAND_LINE, COMMAND_LINE, frozenset(SCOPES))
            yield


@contextmanager
def operator(settings: Settings) -> Iterator[Operator]:
    """Provide the API for this machine's store. An error ends the command if the store can't be reached."""
    with asked_store(settings):
        from app.api import create_app

        # Without a spool, because only processes that receive callbacks have one.
        yield Operator(create_app(replace(settings, spool=False)), local_url(settings))
