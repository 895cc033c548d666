"""`cams-relay archive`: the events that are kept after the store has removed them."""

from __future__ import annotations

from datetime import UTC, datetime

import click

from app.cli.shared import asked_store, note, with_settings
from app.settings.table import Settings

_NONE = (
    "There is no archive. Set DATABASE_URL, and RELAY_ARCHIVE_DAYS to more than 0. Without REDIS_URL, an SQLite file "
    "is used by default."
)


@click.group(invoke_without_command=True)
@click.pass_context
def archive(context: click.Context) -> None:
    """Show what is archived, and up to which time."""
    if context.invoked_subcommand is None:
        _show()


@with_settings
def _show(settings: Settings) -> None:
    with asked_store(settings) as kept:
        opened = kept.past.opened()
        if opened is None:
            raise click.ClickException(_NONE)
        kept_there, store_id = opened
        positions = kept_there.positions(store_id)
        count, oldest_ms = kept_there.size(store_id)
        report = kept.archive_reports.read()
    if not positions:
        click.echo("Nothing is archived yet. A worker creates the archive when it starts.")
        return
    newest = max(int(entry.partition("-")[0]) for entry in positions.values())
    click.echo(f"events: {count}{'' if oldest_ms is None else f', the oldest received {_time(oldest_ms)}'}")
    click.echo(f"archived up to: {_time(newest) if newest else 'nothing yet'}")
    if report is not None:
        click.echo(f"last written: {_time(int(report.at * 1000))}")
        if report.error:
            click.echo(f"problem: {report.error}")


@archive.command("accept-store")
@click.option("--yes", is_flag=True, help="Don't ask for confirmation.")
@with_settings
def accept_store(settings: Settings, yes: bool) -> None:
    """Accept the current store for the archive.

    If you have emptied or replaced the store on purpose, run this once. The archived events stay, and this relay shows
    them together with its own. Never do this with the database of another organisation's relay.
    """
    with asked_store(settings) as kept:
        opened = kept.past.opened()
        if opened is None:
            raise click.ClickException(_NONE)
        if not yes:
            question = "Accept this store, and show the events of the archive together with its own?"
            click.confirm(question, abort=True)
        opened[0].claim(opened[1], accept=True)
        note(kept, "archive.accepted")
    click.echo("The archive now belongs to this store.")


def _time(ms: int) -> str:
    return f"{datetime.fromtimestamp(ms / 1000, UTC):%Y-%m-%d %H:%M:%S} UTC"
