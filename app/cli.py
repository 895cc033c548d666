"""`cams-relay`: the relay's processes and what an administrator asks of them."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from functools import wraps
from typing import Any

import click

from app import __version__
from app.settings import Settings, SettingsError, current, load

_Command = Callable[..., Any]


def _with_settings(command: _Command) -> _Command:
    """Passes the settings to a command, or ends it with one sentence on the wrong one."""

    @wraps(command)
    def checked(*args: Any, **kwargs: Any) -> Any:
        try:
            settings = current()
        except SettingsError as error:
            raise click.ClickException(str(error)) from None
        return command(settings, *args, **kwargs)

    return checked


@click.group()
@click.version_option(__version__, prog_name="cams-relay")
def main() -> None:
    """Attendance machines' events as webhooks, and their commands as an API."""


@main.command()
@click.option("--no-simulator", is_flag=True, help="Never start the virtual gateway and device.")
def up(no_simulator: bool) -> None:
    """Store, web, worker and, where no device is registered, a virtual one: everything in one command."""
    try:
        settings = load()
    except SettingsError as error:
        raise click.ClickException(str(error)) from None
    from app.up import run

    run(settings, with_simulator=not no_simulator)


@main.command()
@_with_settings
def web(settings: Settings) -> None:
    """The web process."""
    host = os.environ.get("HOST") or settings.host
    os.environ["HOST"] = host
    command = [sys.executable, "-m", "gunicorn", "-c", "python:app.gunicorn", "app.wsgi:app"]
    os.execv(sys.executable, command)


@main.command()
@click.option(
    "--processes",
    type=click.IntRange(1, 64),
    help="How many dispatchers deliver side by side; each takes shards of its own. As many as there are cores or "
    "shards (RELAY_SHARDS), whichever are fewer.",
)
@_with_settings
def worker(settings: Settings, processes: int | None) -> None:
    """The worker: deliveries, retries, replays and upkeep."""
    from app.log import configure
    from app.supervisor import Supervisor

    configure(settings.log_level)
    supervisor = Supervisor()
    supervisor.handle_signals()
    supervisor.add_worker(processes or min(settings.shards, os.cpu_count() or 1))
    supervisor.run()


@main.command()
@_with_settings
def store(settings: Settings) -> None:
    """The embedded store."""
    from app.store import embedded

    if settings.redis_url is not None:
        raise click.ClickException(
            "REDIS_URL is set, so there is no embedded store to run: unset it, or run none."
        )
    try:
        sys.exit(embedded.run(settings))
    except embedded.AlreadyRunning as error:
        raise click.ClickException(str(error)) from None


@main.command()
@_with_settings
def doctor(settings: Settings) -> None:
    """Says what is misconfigured, a line each with the fix; exit status 1 where something is."""
    import redis

    from app.checks import settings_warnings, store_warnings
    from app.store import Store

    problems = settings_warnings(settings)
    try:
        kept = Store(settings)
        kept.connection.redis.ping()
        problems += store_warnings(kept)
        if not kept.devices.ids():
            problems.append(
                "No device is registered: POST /v1/devices, or `cams-relay up` for a virtual one."
            )
    except (redis.RedisError, OSError) as error:
        where = "REDIS_URL" if settings.redis_url else "the embedded store (run `cams-relay store` or `up`)"
        problems.append(f"{where} can't be reached: {type(error).__name__}.")
    for problem in problems:
        click.echo(f"{click.style('✗', fg='red')} {problem}")
    if problems:
        sys.exit(1)
    click.echo(f"{click.style('✓', fg='green')} nothing to complain about")


@main.group()
def keys() -> None:
    """API keys."""


@keys.command("create")
@click.option("--name", required=True, help="Whose key it is.")
@click.option(
    "--scope", "scopes", multiple=True, required=True, help="May be repeated; `admin` includes all."
)
@_with_settings
def create_key(settings: Settings, name: str, scopes: tuple[str, ...]) -> None:
    """Makes an API key and prints it, this once."""
    import redis

    from app.store import Store
    from app.store.api_keys import SCOPES

    unknown = sorted(set(scopes) - set(SCOPES))
    if unknown:
        raise click.ClickException(f"there is no scope {unknown[0]!r}; there are {', '.join(SCOPES)}")
    try:
        key, _ = Store(settings).api_keys.create(name, list(scopes))
    except (redis.RedisError, OSError):
        raise click.ClickException("the store can't be reached: is the relay running?") from None
    click.echo(key)


@main.group()
def employees() -> None:
    """The list of employees."""


@employees.command("import")
@click.argument("file", type=click.File("rb"))
@click.option("--replace", is_flag=True, help="Remove whoever is not in the file.")
@_with_settings
def import_employees(settings: Settings, file: Any, replace: bool) -> None:
    """Takes employees from FILE: CSV with the columns user_id, employee_id and, if you like, name; - is the input."""
    import redis

    from app.employees import Wrong, from_csv
    from app.store import Store

    try:
        changes = Store(settings).employees.take(from_csv(file.read()), replace=replace)
    except Wrong as wrong:
        raise click.ClickException("\n".join(f"{where}: {what}" for where, what in wrong.errors)) from None
    except (redis.RedisError, OSError):
        raise click.ClickException("the store can't be reached: is the relay running?") from None
    click.echo(
        f"{changes.added} added, {changes.changed} changed, {changes.unchanged} unchanged, {changes.removed} removed"
    )


def _add_others() -> None:
    from app.connector.cli import connector
    from simulator.cli import simulate, simulator

    main.add_command(simulator)
    main.add_command(simulate)
    main.add_command(connector)


_add_others()
