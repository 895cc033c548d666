"""`cams-relay employees`: the list of employees."""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO

import click

from app.cli.shared import asked_store, with_settings
from app.settings.table import Settings

if TYPE_CHECKING:
    pass


@click.group()
def employees() -> None:
    """Manage the list of employees."""


@employees.command("import")
@click.argument("file", type=click.File("rb"))
@click.option("--replace", is_flag=True, help="Remove employees that are not in the file.")
@with_settings
def import_employees(settings: Settings, file: BinaryIO, replace: bool) -> None:
    """Import employees from FILE, or from standard input if FILE is -.

    FILE is CSV with the columns user_id, employee_id and, optionally, name and device_id.
    """
    from app.attendance.employees import Wrong, from_csv

    try:
        listed = from_csv(file.read())
        with asked_store(settings) as kept:
            changes = kept.employees.take(listed, replace=replace)
    except Wrong as wrong:
        raise click.ClickException("\n".join(map(str, wrong.faults))) from None
    click.echo(
        f"{changes.added} added, {changes.changed} changed, {changes.unchanged} unchanged, {changes.removed} removed"
    )
    if changes.unknown_device_ids:
        click.echo(
            f"Warning: These devices are not registered: {', '.join(changes.unknown_device_ids)}. Check the "
            "spelling of device_id.",
            err=True,
        )
