"""`cams-relay connector file` and `cams-relay connector db`."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from zoneinfo import ZoneInfo

import click

if TYPE_CHECKING:
    from app.connector import rows
    from app.connector.callbacks import Device
    from app.connector.push import Source

C = TypeVar("C", bound=Callable[..., Any])


@click.group()
def connector() -> None:
    """Push the punches of machines whose software only writes a file or a database."""


def _options(*options: Callable[[C], C]) -> Callable[[C], C]:
    def add(command: C) -> C:
        for option in reversed(options):
            command = option(command)
        return command

    return add


_shared = _options(
    click.option("--to", required=True, help="The callback URL, e.g. https://relay.example.com/callback."),
    click.option(
        "--stgid", required=True, help="The device's Service Tag ID; sent as ?stgid= beside the URL's own."
    ),
    click.option(
        "--auth-token-env",
        default="CONNECTOR_AUTH_TOKEN",
        show_default=True,
        help="The environment variable that holds the device's AuthToken.",
    ),
    click.option("--auth-token-file", type=click.Path(path_type=Path), help="A file that holds it instead."),
    click.option(
        "--security-key-env",
        default="CONNECTOR_SECURITY_KEY",
        show_default=True,
        help="The environment variable that holds the device's security key (32 bytes); unset: not encrypted.",
    ),
    click.option(
        "--security-key-file", type=click.Path(path_type=Path), help="A file that holds it instead."
    ),
    click.option("--label", help="LabelName of the callbacks; the stgid if left out."),
    click.option("--serial", help="SerialNumber of the callbacks; the stgid if left out."),
    click.option("--timezone", "zone", help="Of times without an offset, e.g. Asia/Kolkata."),
    click.option(
        "--time-format",
        "time_formats",
        multiple=True,
        help="How times are written, e.g. '%d/%m/%Y %H:%M:%S'; may be repeated. Without: 2026-11-24 08:36:08.",
    ),
    click.option("--type-words", help="What the type column's values mean, e.g. 100=CheckIn,200=CheckOut."),
    click.option("--input-words", help="What the input column's values mean, e.g. F=Face,C=Card."),
    click.option(
        "--default-type", help="The Type where there is none, e.g. CheckIn. Without: it is left out."
    ),
    click.option(
        "--default-input", help="The InputType where there is none, e.g. Fingerprint. Without: left out."
    ),
    click.option(
        "--state",
        type=click.Path(path_type=Path),
        help="The file that remembers the place; connector-STGID.connector.json in this folder if left out.",
    ),
    click.option(
        "--rejects",
        type=click.Path(path_type=Path),
        help="The file that takes rows that can't be read; connector-STGID.rejects.jsonl if left out.",
    ),
    click.option(
        "--poll",
        type=click.FloatRange(0.05, 3600),
        default=2.0,
        show_default=True,
        help="Seconds between looks.",
    ),
    click.option("--once", is_flag=True, help="End when there is nothing new, rather than wait for more."),
)


@connector.command("file")
@click.argument("path", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--format",
    "layout",
    type=click.Choice(["csv", "tsv", "fixed", "attlog"]),
    default="csv",
    show_default=True,
    help="fixed: columns at places of the line; attlog: attlog.dat of ZKTeco and eSSL machines.",
)
@click.option(
    "--map",
    "mapping",
    help="Which column is what: user=EmpCode,time=LogDate,type=Direction. Columns are names of the first line, "
    "numbers from 1, or of --format fixed places such as 10-28. Fields: user, time, date, type, input, temperature, "
    "mask.",
)
@click.option("--delimiter", help="Of --format csv, if not a comma.")
@click.option(
    "--header/--no-header", "has_header", default=None, help="Whether the first line names the columns."
)
@click.option(
    "--encoding", help="E.g. cp1252 or utf-16-le; UTF-8 or what its byte order mark says if left out."
)
@click.option("--from-end", is_flag=True, help="On the first start, leave out what is in the file already.")
@_shared
def file_command(
    path: Path,
    layout: str,
    mapping: str | None,
    delimiter: str | None,
    has_header: bool | None,
    encoding: str | None,
    from_end: bool,
    **shared: Any,
) -> None:
    """Follow a file that is appended to, and push its new lines."""
    from app.connector import formats
    from app.connector.lines import LineSource

    def source(place: dict[str, Any] | None) -> LineSource:
        layout_made = formats.make(layout, mapping, delimiter, has_header)
        made = LineSource(path, layout_made, encoding, place)
        if from_end and place is None:
            made.skip_to_end()
        return made

    _run(str(path.absolute()), source, shared)


@connector.command("db")
@click.argument("url")
@click.option(
    "--query",
    required=True,
    help="A SELECT that gives the columns; {month} and {year} name tables of a month.",
)
@click.option(
    "--since-column", "since", required=True, help="The column that grows: an automatic number, or a time."
)
@click.option(
    "--map", "mapping", required=True, help="Which column is what: user=UserId,time=LogDate,type=Direction."
)
@click.option(
    "--start",
    help="Where to begin the first time: a value of the column, e.g. 2026-11-01. Without: at the first row.",
)
@click.option(
    "--overlap",
    type=click.FloatRange(0),
    help="How far each look goes back for rows that came late: in numbers (1000 if left out), or seconds (3600).",
)
@click.option("--password-env", help="The environment variable that holds the database's password.")
@click.option("--password-file", type=click.Path(path_type=Path), help="A file that holds it instead.")
@_shared
def db_command(
    url: str,
    query: str,
    since: str,
    mapping: str,
    start: str | None,
    overlap: float | None,
    password_env: str | None,
    password_file: Path | None,
    **shared: Any,
) -> None:
    """Follow the rows of a query, and push the new ones.

    URL is SQLAlchemy's, e.g. mysql://user@host/database, without the password; or env:NAME, a variable that
    holds all of it.
    """
    from app.connector.database import QuerySource, open_engine
    from app.connector.errors import Stop
    from app.connector.rows import read_map

    def source(place: dict[str, Any] | None) -> QuerySource:
        engine = open_engine(
            _database_url(url), _secret("--password", password_env, password_file, required=False)
        )
        zone = _zone(shared["zone"])
        return QuerySource(
            engine, query, since, read_map(mapping), place, start=start, overlap=overlap, zone=zone
        )

    try:
        name = re.sub(r"//[^/@]*@", "//", _database_url(url)).partition("?")[0] + f" {since}: {query}"
    except Stop as error:
        raise click.ClickException(str(error)) from None
    _run(name, source, shared)


def _database_url(given: str) -> str:
    """The URL, which on the command line, where others see it, may hold no password. Raises Stop."""
    from app.connector.errors import Stop

    if given.startswith("env:"):
        found = os.environ.get(given[4:], "")
        if not found:
            raise Stop(f"{given[4:]} is not set; it should hold the database's URL")
        return found
    if re.search(r"//[^/@:]*:[^@]+@|(pwd|password)(=|%3d)", given, re.IGNORECASE):
        raise Stop(
            "a password on the command line is seen by others: use --password-env or --password-file, or put the "
            "whole URL into a variable and give env:ITS_NAME"
        )
    return given


def _secret(option: str, variable: str | None, file: Path | None, *, required: bool = True) -> str | None:
    """From the file, else from the environment. Raises Stop."""
    from app.connector.errors import Stop

    if file is not None:
        try:
            return file.read_text(encoding="utf-8").strip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            raise Stop(f"{option}-file: {file} can't be read ({error})") from None
    found = os.environ.get(variable, "") if variable else ""
    if required and not found:
        raise Stop(f"{variable} is not set: put it into the environment, or name a file with {option}-file")
    return found or None


def _zone(name: str | None) -> ZoneInfo | None:
    from app.connector.errors import Stop

    try:
        return ZoneInfo(name) if name else None
    except (KeyError, ValueError, OSError):
        raise Stop(f"--timezone: there is no {name!r}; right ones are Asia/Kolkata, Europe/London") from None


def _run(name: str, make_source: Callable[[dict[str, Any] | None], Source], shared: dict[str, Any]) -> None:
    """Pushes until told to stop; ends with one sentence where something is wrong."""
    import signal
    import threading

    from app.connector.errors import Away, Stop
    from app.connector.place import PlaceFile, Rejects
    from app.connector.push import Push
    from app.connector.sender import Sender
    from app.log import configure

    configure("info")
    stopping = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopping.set())
    try:
        reader, device, url = _reader(shared), _device(shared), _url(shared["to"])
        stem = re.sub(r"[^\w.-]", "_", shared["stgid"])
        state = shared["state"] or Path(f"connector-{stem}.connector.json")
        rejects = Rejects(shared["rejects"] or Path(f"connector-{stem}.rejects.jsonl"))
        with PlaceFile(state, name) as place:
            source = make_source(place.value)
            if place.value is None:
                place.save(source.place())
            sender = Sender(url, shared["stgid"], stopping)
            push = Push(source, reader, device, sender, place, rejects, stopping)
            push.run(shared["poll"], once=shared["once"])
        click.echo(f"{push.sent} rows sent, {push.put_aside} put aside", err=True)
    except (Stop, Away) as error:
        raise click.ClickException(str(error)) from None


def _reader(shared: dict[str, Any]) -> rows.Reader:
    from app.connector import rows
    from app.connector.errors import Stop

    for option, known in (("default_type", rows.PUNCH_TYPES), ("default_input", rows.INPUT_TYPES)):
        if shared[option] not in (None, *known):
            raise Stop(f"--{option.replace('_', '-')}: {shared[option]!r} is none of {', '.join(known)}")
    types, inputs = shared["type_words"], shared["input_words"]
    return rows.Reader(
        _zone(shared["zone"]),
        shared["time_formats"],
        rows.read_words(types, rows.PUNCH_TYPES, "--type-words") if types else {},
        rows.read_words(inputs, rows.INPUT_TYPES, "--input-words") if inputs else {},
        shared["default_type"],
        shared["default_input"],
    )


def _device(shared: dict[str, Any]) -> Device:
    from app.connector.callbacks import Device
    from app.connector.errors import Stop
    from app.gateway.cipher import SecurityKey

    stgid = shared["stgid"]
    token = _secret("--auth-token", shared["auth_token_env"], shared["auth_token_file"])
    key = _secret("--security-key", shared["security_key_env"], shared["security_key_file"], required=False)
    try:
        made = None if key is None else SecurityKey(key)
    except ValueError as error:
        raise Stop(str(error)) from None
    return Device(stgid, token or "", shared["serial"] or stgid, shared["label"] or stgid, made)


def _url(text: str) -> str:
    from urllib.parse import urlsplit

    from app.connector.errors import Stop

    try:
        parts = urlsplit(text)
        good = parts.scheme in ("http", "https") and parts.hostname and (parts.port or True)
    except ValueError:
        good = False
    if not good:
        raise Stop("--to is no URL; a right one is https://relay.example.com/callback")
    return text
