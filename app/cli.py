"""`cams-relay`: the relay's processes and what an administrator asks of them."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from app import __version__
from app.settings import Settings, SettingsError, current, load

if TYPE_CHECKING:
    from app.store import Store

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
    """The web process. SIGUSR2 has a second one take over its sockets; then SIGTERM ends it."""
    host = os.environ.get("HOST") or settings.host
    os.environ["HOST"] = host
    # Not `python -m gunicorn`, which can't start itself anew at SIGUSR2: gunicorn/http would hide Python's http.
    program = Path(sys.executable).with_name("gunicorn")
    os.execv(program, [str(program), "-c", "python:app.gunicorn", "app.wsgi:app"])


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

    configure(settings.log_level, settings.log_format)
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

    from app.checks import key_warnings, machine_warnings, settings_warnings, store_warnings
    from app.store import Store

    problems = settings_warnings(settings)
    try:
        kept = Store(settings)
        kept.connection.redis.ping()
        problems += store_warnings(kept) + key_warnings(kept) + machine_warnings(kept)
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
        kept = Store(settings)
        key, record = kept.api_keys.create(name, list(scopes))
        kept.audit.record("command line", "api_key.created", subject=record["id"], detail=" ".join(scopes))
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


@contextmanager
def _asked_store(settings: Settings) -> Iterator[Store]:
    """The store, for a command that needs it; ends the command where it can't be reached."""
    import redis

    from app.store import Store

    try:
        yield Store(settings)
    except (redis.RedisError, OSError) as error:
        raise click.ClickException(
            f"the store can't be reached ({type(error).__name__}): is the relay running?"
        ) from None


@main.command()
@_with_settings
def rekey(settings: Settings) -> None:
    """Encrypts everything under RELAY_SECRET_KEY that RELAY_SECRET_KEY_OLD encrypted.

    First give every process both keys and restart it. Then run this, while the relay runs or without. Then take
    RELAY_SECRET_KEY_OLD away. Breaking it off does no harm: run it again.
    """
    from app.store.rekey import PURPOSES, Rekey

    if not settings.secret_key_old:
        raise click.ClickException("RELAY_SECRET_KEY_OLD is not set: there is no key to change from")
    with _asked_store(settings) as kept:
        done = Rekey(kept.connection).run()
        kept.audit.record("command line", "secret_key.changed", detail=f"{done.sealed.total()} sealed anew")
    for purpose, count in sorted(done.sealed.items()):
        click.echo(f"{count} {PURPOSES[purpose]} sealed under the new key")
    for purpose, count in sorted(done.unreadable.items()):
        click.echo(f"{count} {PURPOSES[purpose]} can't be opened with either key")
    if done.busy_segments:
        raise click.ClickException(
            "callbacks are being spooled just now, perhaps under the old key: run this again in a moment"
        )
    click.echo(
        "All is under the new key. Take RELAY_SECRET_KEY_OLD away and restart. Links to photos that were given out "
        "before then stop opening."
    )


@main.command()
@click.option(
    "--limit", type=click.IntRange(1, 10_000), default=50, help="How many entries, from the newest on."
)
@_with_settings
def audit(settings: Settings, limit: int) -> None:
    """Prints the audit log, newest first: a JSON object a line."""
    import orjson

    with _asked_store(settings) as kept:
        for row in kept.audit.page(limit)[0]:
            click.echo(orjson.dumps(row))


_USER = click.option("--user", "user_id", required=True, help="The person's user ID.")
_DEVICE = click.option("--device", "device_id", help="Only on this device; without it on all.")


def _check_device(kept: Store, device_id: str | None) -> None:
    if device_id is not None and device_id not in kept.devices.ids():
        click.echo(f"no device {device_id!r} is registered; looking for what it left", err=True)


@main.command()
@_USER
@_DEVICE
@click.option("--yes", is_flag=True, help="Don't ask.")
@_with_settings
def forget(settings: Settings, user_id: str, device_id: str | None, yes: bool) -> None:
    """Erases a person from the store, and says what it erased.

    Not from the machines: delete the user there first, or they report them again. Not from backups, nor from what was
    delivered already.
    """
    from app.store.connection import rewrite_append_only_files
    from app.store.scrub import NotWritten

    if not yes:
        click.confirm(f"Erase all that is kept of user {user_id!r}? It can't be undone", abort=True)
    with _asked_store(settings) as kept:
        _check_device(kept, device_id)
        try:
            erased = kept.persons.forget(user_id, device_id)
        except NotWritten as error:
            raise click.ClickException(
                f"the events could not be written anew, for {error}: run this again in a while"
            ) from None
        kept.audit.record("command line", "user.forgotten", user_id=user_id, device_id=device_id)
        rewritten = rewrite_append_only_files(kept.connection.redis)
    for what, count in erased.items():
        if count:
            click.echo(f"{count} {what}")
    if not any(erased.values()):
        click.echo("nothing is kept of this user")
    if not rewritten:
        click.echo("The store's append-only file or snapshots may hold it until the store writes them anew.")
    _say_what_waits(settings)


def _say_what_waits(settings: Settings) -> None:
    if any((settings.data_dir / "spool").glob("*.spool")):
        click.echo(
            "Callbacks wait in the spool and may be of this user: run this again once they are in.", err=True
        )


@main.command()
@_USER
@_DEVICE
@click.option("--templates", is_flag=True, help="With the data of credentials and photos.")
@_with_settings
def export(settings: Settings, user_id: str, device_id: str | None, templates: bool) -> None:
    """Prints all that is kept of a person as JSON: what `forget` would erase."""
    import orjson

    with _asked_store(settings) as kept:
        _check_device(kept, device_id)
        found = kept.persons.export(user_id, device_id, templates=templates)
        _say_what_waits(settings)
        kept.audit.record(
            "command line",
            "user.exported",
            user_id=user_id,
            device_id=device_id,
            detail="with templates" if templates else None,
        )
    click.echo(orjson.dumps(found, option=orjson.OPT_INDENT_2))


@main.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@_with_settings
def backup(settings: Settings, file: Path) -> None:
    """Copies all that is in the store to FILE, while the relay runs.

    Secrets and templates in it are encrypted; events are not. RELAY_SECRET_KEY is not in it: keep that apart, for
    without it the copy can't be used, and with it the copy could be read by whoever finds it. Nor is the spool.
    """
    from app.store.backup import backup as copy

    if not file.parent.is_dir():
        raise click.ClickException(f"there is no folder {file.parent}")
    with _asked_store(settings) as kept:
        count = copy(kept.connection, file)
        kept.audit.record("command line", "store.backed_up", detail=f"{count} keys")
    click.echo(f"{count} keys are in {file}; keep RELAY_SECRET_KEY elsewhere")


@main.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@_with_settings
def restore(settings: Settings, file: Path) -> None:
    """Puts a backup into an empty store; refuses where there is something. Web and worker must not run meanwhile.

    What was forgotten since the backup was made is back afterwards: forget it again.
    """
    from app.store.backup import BackupError
    from app.store.backup import restore as put_back

    with _asked_store(settings) as kept:
        try:
            count = put_back(kept.connection, file)
        except BackupError as error:
            raise click.ClickException(str(error)) from None
        kept.audit.record("command line", "store.restored", detail=f"{count} keys")
    click.echo(f"{count} keys are back; start web and worker")


def _add_others() -> None:
    from app.connector.cli import connector
    from simulator.cli import simulate, simulator

    main.add_command(simulator)
    main.add_command(simulate)
    main.add_command(connector)


_add_others()
