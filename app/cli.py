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


@main.command()
@click.option(
    "--url",
    envvar="RELAY_URL",
    show_envvar=True,
    default="http://127.0.0.1:8000",
    show_default=True,
    help="The relay.",
)
@click.option(
    "--http",
    "port",
    type=click.IntRange(1, 65_535),
    metavar="PORT",
    help="Serve streamable HTTP there, at /mcp, instead of standard input and output. Each client presents an API key "
    "of the relay: Authorization: Bearer KEY.",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="With --http: the address to listen on.")
@click.option(
    "--allow-host",
    "hosts",
    multiple=True,
    metavar="NAME",
    help="With --http: a name that clients may call it by, such as that of a proxy or tunnel; may be repeated.",
)
@click.option(
    "--cards-and-pins",
    is_flag=True,
    help="Take card numbers and PINs from the assistant, to add users with. They then pass through its model.",
)
def mcp(url: str, port: int | None, host: str, hosts: tuple[str, ...], cards_and_pins: bool) -> None:
    """Serves AI assistants by the Model Context Protocol.

    On standard input and output with the key in RELAY_API_KEY, or else the one in the data folder.
    """
    url = url.rstrip("/")
    if not url.startswith(("http://", "https://")):
        raise click.ClickException(
            f"--url: {url[:80]!r} is no URL; a right one is --url https://relay.example.com"
        )
    if port is None:
        key = _own_key()
        import anyio

        from app.mcp.relay import Relay
        from app.mcp.server import serve_stdio

        anyio.run(lambda: serve_stdio(Relay(url, key), cards_and_pins=cards_and_pins))
        return
    from app.mcp.http import is_loopback, serve

    if not is_loopback(host) and not hosts:
        raise click.ClickException(
            f"--host {host} is reached from elsewhere: say by which name, e.g. --allow-host relay.example.com"
        )
    click.echo(f"MCP at http://{host}:{port}/mcp for the relay at {url}", err=True)
    serve(url, host, port, hosts, cards_and_pins=cards_and_pins)


@main.command("openapi")
@click.option(
    "--format",
    "form",
    type=click.Choice(("json", "yaml", "gemini")),
    default="json",
    show_default=True,
    help="gemini: function declarations, of the tag `actions` where no other is named.",
)
@click.option(
    "--version", type=click.Choice(("3.1", "3.0", "2.0")), help="Of OpenAPI; 3.1 where none is named."
)
@click.option("--tag", help="Only the operations under this tag, e.g. actions.")
@click.option(
    "--url",
    envvar="RELAY_PUBLIC_URL",
    default="http://127.0.0.1:8000",
    show_default=True,
    help="Where the relay is served. RELAY_PUBLIC_URL where that is set.",
)
def describe(form: str, version: str | None, tag: str | None, url: str) -> None:
    """Prints the API's description, as /openapi.json and /openapi.yaml serve it; needs no running relay."""
    import orjson

    from app import openapi

    if tag is not None and tag not in openapi.TAGS:
        raise click.ClickException(f"--tag: {tag[:64]!r} is not one of {', '.join(openapi.TAGS)}")
    if form == "gemini":
        if version is not None:
            raise click.ClickException("--version: is OpenAPI's, and --format gemini is none; leave one out")
        printed = orjson.dumps(openapi.gemini(tag or "actions"), option=orjson.OPT_INDENT_2).decode()
    elif form == "yaml":
        printed = openapi.as_yaml(version or "3.1", tag, url.rstrip("/")).rstrip("\n")
    else:
        printed = openapi.as_json(version or "3.1", tag, url.rstrip("/")).decode()
    click.echo(printed)


def _own_key() -> str:
    """The key in RELAY_API_KEY, or the one that the relay made and keeps in the data folder."""
    try:
        settings = current()
    except SettingsError as error:
        raise click.ClickException(str(error)) from None
    if settings.api_key:
        return settings.api_key
    try:
        return (settings.data_dir / "api_key").read_text().strip()
    except OSError:
        raise click.ClickException(
            f"there is no API key: set RELAY_API_KEY to one, for {settings.data_dir}/api_key can't be read"
        ) from None


def _add_others() -> None:
    from app.connector.cli import connector
    from simulator.cli import simulate, simulator

    main.add_command(simulator)
    main.add_command(simulate)
    main.add_command(connector)


_add_others()
