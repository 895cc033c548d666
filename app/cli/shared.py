"""What the commands share: the settings and the store, or one sentence that ends the command."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import TYPE_CHECKING, Concatenate, ParamSpec, TypeVar

import click

from app.settings import Settings, SettingsError, current

if TYPE_CHECKING:
    from app.store import Store

P = ParamSpec("P")
R = TypeVar("R")


def checked_settings() -> Settings:
    """The settings; ends the command with one sentence on the wrong one."""
    try:
        return current()
    except SettingsError as error:
        raise click.ClickException(str(error)) from None


def with_settings(command: Callable[Concatenate[Settings, P], R]) -> Callable[P, R]:
    """Passes `checked_settings()` to a command."""

    @wraps(command)
    def checked(*args: P.args, **kwargs: P.kwargs) -> R:
        return command(checked_settings(), *args, **kwargs)

    return checked


def note(kept: Store, action: str, **about: str | None) -> None:
    """Writes to the audit log that somebody did this on the command line."""
    from app.store.audit import COMMAND_LINE

    kept.audit.record(COMMAND_LINE, action, **about)


@contextmanager
def asked_store(settings: Settings) -> Iterator[Store]:
    """The store, for a command that needs it; ends the command where it can't be reached."""
    import redis

    from app.store import Store

    try:
        yield Store(settings)
    except (redis.RedisError, OSError) as error:
        raise click.ClickException(
            f"the store can't be reached ({type(error).__name__}): is the relay running?"
        ) from None
