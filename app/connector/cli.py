"""`cams-relay connector file` and `cams-relay connector db`."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from app.connector.install import install
from app.connector.options import file_options, shared_options

if TYPE_CHECKING:
    from app.connector.push import Push, Source
REJECTED = 3
"""The exit status of --once if rows were rejected."""


@click.group()
def connector() -> None:
    """Send punches from files and databases.

    This is for devices whose software only writes to a file or a database.
    """


@connector.command("file")
@file_options
@shared_options()
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
    """Watch a growing file, and send its new lines."""
    from app.connector import formats
    from app.connector.building import device_names
    from app.connector.lines import LineSource

    def source(place: dict[str, Any] | None) -> LineSource:
        layout_made = formats.make(layout, mapping, delimiter, has_header)
        many = shared["devices"] is not None
        ours = () if many else device_names(shared)
        own = own_files(shared).values()
        made = LineSource(path, layout_made, encoding, place, own, finished=shared["once"], ours=ours)
        if from_end and place is None:
            made.skip_to_end()
        return made

    _run(str(path.absolute()), source, shared)


@connector.command("try")
@file_options
@shared_options(is_trial=True)
def try_command(
    path: Path,
    layout: str,
    mapping: str | None,
    delimiter: str | None,
    has_header: bool | None,
    encoding: str | None,
    from_end: bool,
    **shared: Any,
) -> None:
    """Show what would be sent of a file. The rows that would be rejected are shown, too.

    This command takes the options of `connector file`, and reads the whole file once. It doesn't send or write
    anything, and doesn't need a callback URL, AuthToken or Security Key. --from-end, --state, --rejects, --memory,
    --no-memory and --poll have no effect.
    """
    from app.base.log import configure
    from app.connector import formats
    from app.connector.building import device_names, targets, unknown
    from app.connector.errors import Away, Stop
    from app.connector.lines import LineSource
    from app.connector.trial import Trial

    configure("info")
    values = unknown()
    try:
        chosen = targets(shared, values, is_trial=True)
        ours = () if shared["devices"] is not None else device_names(shared)
        layout_made = formats.make(layout, mapping, delimiter, has_header)
        trial = Trial(LineSource(path, layout_made, encoding, None, finished=True, ours=ours), chosen)
    except (Stop, Away) as error:
        raise click.ClickException(str(error)) from None
    for line in trial.lines():
        click.echo(line)
    if str(values):
        click.echo(f"Unknown values, left out of punches: {values}")
    click.echo(str(trial.counts))
    if trial.counts.rejected:
        raise SystemExit(REJECTED)


@connector.command("db")
@click.argument("url")
@click.option(
    "--query",
    required=True,
    help="SELECT statement that returns the columns. In names of monthly tables, use {month} and {year}.",
)
@click.option(
    "--since-column",
    "since",
    required=True,
    help="Column whose values always increase: an auto-increment number, or a time.",
)
@click.option(
    "--map",
    "mapping",
    required=True,
    help="The column for each field, e.g. user=UserId,time=LogDate,type=Direction.",
)
@click.option(
    "--start",
    help="Value of this column at which the first run begins, e.g. 2026-11-01. The default is the first row.",
)
@click.option(
    "--overlap",
    type=click.FloatRange(0),
    help="How far back each check looks for rows that were added late. For a time column, this is in seconds "
    "(3600 by default). Otherwise, it is a number (1000 by default).",
)
@click.option("--password-env", help="Environment variable that contains the database's password.")
@click.option(
    "--password-file",
    type=click.Path(path_type=Path),
    help="File that contains the database's password, instead of --password-env.",
)
@shared_options()
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
    """Run a query repeatedly, and send its new rows.

    URL is an SQLAlchemy URL without a password, e.g. mysql://user@host/database. To read the whole URL from an
    environment variable, use env:NAME.
    """
    from app.connector.building import secret, time_zone
    from app.connector.database import QuerySource, open_engine
    from app.connector.errors import Stop
    from app.connector.rows import read_map

    def source(place: dict[str, Any] | None) -> QuerySource:
        columns = read_map(mapping, pairs=False)
        engine = open_engine(
            _database_url(url), secret("--password", password_env, password_file, required=False)
        )
        zone = time_zone("--timezone", shared["zone"])
        return QuerySource(
            engine,
            query,
            since,
            columns,
            place,
            start=start,
            overlap=overlap,
            zone=zone,
        )

    try:
        name = re.sub(r"//[^/@]*@", "//", _database_url(url)).partition("?")[0] + f" {since}: {query}"
    except Stop as error:
        raise click.ClickException(str(error)) from None
    _run(name, source, shared)


def has_password(url: str) -> bool:
    """Return whether a database URL contains a password."""
    return re.search(r"//[^/@:]*:[^@]+@|(pwd|passwd|password)(=|%3d)", url, re.IGNORECASE) is not None


def _database_url(given: str) -> str:
    """Return the database URL. Raises Stop if it contains a password, because other users can see arguments."""
    from app.connector.errors import Stop

    if given.startswith("env:"):
        found = os.environ.get(given[4:], "")
        if not found:
            raise Stop(f"{given[4:]} is not set. Set it to the database's URL")
        return found
    if has_password(given):
        raise Stop(
            "a password on the command line is visible to other users. Use --password-env or --password-file, "
            "or put the whole URL into an environment variable and give env:ITS_NAME"
        )
    return given


def _run(name: str, make_source: Callable[[dict[str, Any] | None], Source], shared: dict[str, Any]) -> None:
    """Push rows until a signal arrives. An error ends the command with one sentence.

    The last line says how many rows were sent and rejected. The exit status is 0, 1 after an error, or 3 if `--once`
    rejected rows.
    """
    import signal
    import threading

    from app.base.log import configure
    from app.connector.building import receiver_url, targets, unknown
    from app.connector.errors import Away, Stop
    from app.connector.memory import Memory, receiver_of
    from app.connector.progress import PlaceFile, Rejects
    from app.connector.push import Push
    from app.connector.sender import Sender, relay_store

    configure("info")
    stopping = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopping.set())
    push, values, new_state = None, unknown(), False
    try:
        chosen, url = targets(shared, values), receiver_url(shared["to"])
        files = own_files(shared)
        with PlaceFile(files["state"], name) as place:
            source = make_source(place.value)
            if place.value is None:
                new_state = True
                place.save(source.place())
            memory = Memory(
                None if shared["no_memory"] else files["memory"], receiver_of(url), relay_store(url)
            )
            push = Push(
                source, chosen, Sender(url, stopping), place, memory, Rejects(files["rejects"]), stopping
            )
            push.run(shared["poll"], once=shared["once"])
            memory.close()
    except (Stop, Away) as error:
        if push is not None:
            _say(push, str(values), files["rejects"], new_state)
        raise click.ClickException(str(error)) from None
    _say(push, str(values), files["rejects"], new_state)
    if shared["once"] and push.counts.put_aside:
        raise SystemExit(REJECTED)


def own_files(shared: dict[str, Any]) -> dict[str, Path]:
    """Return the files that the connector itself writes, by option."""
    from app.connector.errors import Stop

    name = shared["stgid"] or (shared["devices"].stem if shared["devices"] else None)
    if name is None:
        raise Stop("--stgid is missing. Set it to the device's Service Tag ID, or use --devices with a file")
    stem = "connector-" + re.sub(r"[^\w.-]", "_", name)
    ends = {"state": "connector.json", "rejects": "rejects.jsonl", "memory": "sent.db"}
    return {option: shared[option] or Path(f"{stem}.{end}") for option, end in ends.items()}


def _say(push: Push, unknown: str, rejects: Path, new_state: bool) -> None:
    """Print the last line: how many rows were sent and rejected."""
    if unknown:
        click.echo(f"Unknown values, left out of punches: {unknown}", err=True)
    aside = f" (see {rejects})" if push.counts.put_aside else ""
    hint = ""
    if new_state and push.counts.sent_before and push.counts.sent_before == push.counts.read:
        hint = ". All rows had already been sent. To send them again, use --no-memory and another --state"
    click.echo(f"{push.counts}{aside}, {push.waiting()} waiting{hint}", err=True)


connector.add_command(install)
