"""Helpers for commands: they provide the settings and the store, or end the command with an error."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import wraps
from typing import TYPE_CHECKING, Concatenate, ParamSpec, TypeVar

import click

from app.settings.data_folder import explain_data_dir, explain_ignored_data
from app.settings.env_file import WITHOUT_ENV_FILE, explain_ignored_env_file
from app.settings.running_up import is_up, tunnel_url
from app.settings.table import Settings, SettingsError, current

if TYPE_CHECKING:
    from app.store import Store

P = ParamSpec("P")
R = TypeVar("R")


def checked_settings(*, need_env_file: bool = False) -> Settings:
    """Return the settings. An invalid setting ends the command with an error.

    A `.env` or `.data` that another user may have created is ignored, with a message on standard error. With
    `need_env_file`, for processes of the relay, an ignored `.env` ends the command. For other commands, the tunnel of a
    running `up` is the public URL.
    """
    ignored_env = explain_ignored_env_file()
    if ignored_env and need_env_file:
        raise click.ClickException(f"{ignored_env} {WITHOUT_ENV_FILE}")
    if ignored_env:
        click.echo(ignored_env, err=True)
    try:
        settings = current()
    except SettingsError as error:
        raise click.ClickException(str(error)) from None
    ignored = explain_ignored_data(settings.data_dir)
    if ignored:
        click.echo(ignored, err=True)
    if need_env_file or settings.public_url is not None:
        return settings
    return replace(settings, public_url=tunnel_url(settings.data_dir))


def with_settings(command: Callable[Concatenate[Settings, P], R]) -> Callable[P, R]:
    """Pass `checked_settings()` to a command."""

    @wraps(command)
    def checked(*args: P.args, **kwargs: P.kwargs) -> R:
        return command(checked_settings(), *args, **kwargs)

    return checked


def with_settings_to_run(command: Callable[Concatenate[Settings, P], R]) -> Callable[P, R]:
    """Pass the settings to a process of the relay. An ignored `.env` prevents its start, instead of using defaults."""

    @wraps(command)
    def checked(*args: P.args, **kwargs: P.kwargs) -> R:
        return command(checked_settings(need_env_file=True), *args, **kwargs)

    return checked


def store_away(settings: Settings, error: Exception) -> str:
    """Return the error message for a store that can't be reached: which store, in which folder, and what to do."""
    if settings.redis_url:
        return f"The store at REDIS_URL can't be reached: {type(error).__name__}. Start it, or correct REDIS_URL."
    if is_up(settings.data_dir):
        folder = settings.data_dir.absolute()
        return (
            f"The relay is running with the data folder {folder}, but its store doesn't answer "
            f"({type(error).__name__}). The last lines of {folder}/store/valkey.log say why. Don't restart the relay. "
            "Acknowledged callbacks are safe, and it continues once the store answers."
        )
    return (
        f"No relay is running with the data folder {settings.data_dir.absolute()} ({type(error).__name__}). Start it "
        "with `cams-relay up`, or set RELAY_DATA_DIR to the folder that the running relay uses."
    )


def say_data_folder(settings: Settings) -> None:
    """Print the data folder on standard error if it depends on the current folder."""
    explained = explain_data_dir(settings.data_dir)
    if explained:
        click.echo(explained, err=True)


def refuse_wrong_store(settings: Settings) -> None:
    """End the command if the store must not be used with these settings. A store that is away isn't checked."""
    import redis

    from app.store import Store, StoreRefused

    try:
        Store(settings).admission.check()
    except StoreRefused as error:
        raise click.ClickException(str(error)) from None
    except (redis.RedisError, OSError):
        pass


def note(kept: Store, action: str, **about: str | None) -> None:
    """Write an action of a command to the audit log."""
    from app.store.access.audit import COMMAND_LINE

    kept.audit.record(COMMAND_LINE, action, **about)


@contextmanager
def asked_store(settings: Settings) -> Iterator[Store]:
    """Provide the store to a command. An error ends the command if the store can't be reached."""
    import redis

    from app.archive import ArchiveAway, ArchiveRefused
    from app.store import Store, StoreRefused
    from app.store.server.embedded import EmptyFile, NotMade

    try:
        kept = Store(settings)
        kept.admission.check()
    except (StoreRefused, NotMade, EmptyFile) as error:
        raise click.ClickException(str(error)) from None
    except (redis.RedisError, OSError) as error:
        raise click.ClickException(store_away(settings, error)) from None
    try:
        yield kept
    except (StoreRefused, NotMade, EmptyFile) as error:
        raise click.ClickException(str(error)) from None
    except ArchiveAway as error:
        raise click.ClickException(f"The archive can't be reached: {error}. Run this again later") from None
    except ArchiveRefused as error:
        raise click.ClickException(str(error)) from None
    except BrokenPipeError:  # the reader of the output has gone; click ends without a message
        raise
    except (redis.RedisError, ConnectionError, TimeoutError) as error:
        raise click.ClickException(store_away(settings, error)) from None
