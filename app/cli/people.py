"""Whom the relay knows: `employees`, `export` and `forget`."""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO

import click

from app.cli.shared import asked_store, note, with_settings
from app.settings import Settings

if TYPE_CHECKING:
    from app.store import Store


@click.group()
def employees() -> None:
    """The list of employees."""


@employees.command("import")
@click.argument("file", type=click.File("rb"))
@click.option("--replace", is_flag=True, help="Remove whoever is not in the file.")
@with_settings
def import_employees(settings: Settings, file: BinaryIO, replace: bool) -> None:
    """Takes employees from FILE: CSV with the columns user_id, employee_id and, if you like, name; - is the input."""
    from app.employees import Wrong, from_csv

    try:
        listed = from_csv(file.read())
        with asked_store(settings) as kept:
            changes = kept.employees.take(listed, replace=replace)
    except Wrong as wrong:
        raise click.ClickException("\n".join(f"{where}: {what}" for where, what in wrong.errors)) from None
    click.echo(
        f"{changes.added} added, {changes.changed} changed, {changes.unchanged} unchanged, {changes.removed} removed"
    )


_USER = click.option("--user", "user_id", required=True, help="The person's user ID.")
_DEVICE = click.option("--device", "device_id", help="Only on this device; without it on all.")


def _check_device(kept: Store, device_id: str | None) -> None:
    if device_id is not None and device_id not in kept.devices.ids():
        click.echo(f"no device {device_id!r} is registered; looking for what it left", err=True)


@click.command()
@_USER
@_DEVICE
@click.option("--yes", is_flag=True, help="Don't ask.")
@with_settings
def forget(settings: Settings, user_id: str, device_id: str | None, yes: bool) -> None:
    """Erases a person from the store, and says what it erased.

    Not from the machines: delete the user there first, or they report them again. Not from backups, nor from what was
    delivered already.
    """
    from app.store.connection import rewrite_append_only_files
    from app.store.scrub import NotWritten

    if not yes:
        click.confirm(f"Erase all that is kept of user {user_id!r}? It can't be undone", abort=True)
    with asked_store(settings) as kept:
        _check_device(kept, device_id)
        try:
            erased = kept.persons.forget(user_id, device_id)
        except NotWritten as error:
            raise click.ClickException(
                f"the events could not be written anew, for {error}: run this again in a while"
            ) from None
        note(kept, "user.forgotten", user_id=user_id, device_id=device_id)
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


@click.command()
@_USER
@_DEVICE
@click.option("--templates", is_flag=True, help="With the data of credentials and photos.")
@with_settings
def export(settings: Settings, user_id: str, device_id: str | None, templates: bool) -> None:
    """Prints all that is kept of a person as JSON: what `forget` would erase."""
    import orjson

    with asked_store(settings) as kept:
        _check_device(kept, device_id)
        found = kept.persons.export(user_id, device_id, templates=templates)
        _say_what_waits(settings)
        note(
            kept,
            "user.exported",
            user_id=user_id,
            device_id=device_id,
            detail="with templates" if templates else None,
        )
    click.echo(orjson.dumps(found, option=orjson.OPT_INDENT_2))
