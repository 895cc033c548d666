"""`cams-relay employees`: the list of employees."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, BinaryIO

import click

from app.cli.output import print_rows
from app.cli.shared import asked_store, with_settings
from app.settings.table import Settings

if TYPE_CHECKING:
    from app.attendance.employees import Employee

_SHOWN = 20


@click.group()
def employees() -> None:
    """Manage the list of employees."""


@employees.command("import")
@click.argument("file", type=click.File("rb"))
@click.option(
    "--map",
    "mapping",
    help="The column for each field, e.g. user_id=Badge,employee_id=Code,name=Name. A column is a name from the first "
    "row, or a number starting at 1. Fields: user_id, employee_id, name, device_id.",
)
@click.option("--preview", is_flag=True, help="Show what would be imported, without changing anything.")
@click.option("--replace", is_flag=True, help="Remove employees that are not in the file.")
@with_settings
def import_employees(
    settings: Settings, file: BinaryIO, mapping: str | None, preview: bool, replace: bool
) -> None:
    """Import employees from FILE, or from standard input if FILE is -.

    FILE is CSV or an Excel workbook (.xlsx, first sheet). Without --map, its columns are user_id, employee_id and,
    optionally, name and device_id. If any row is wrong, nothing is imported.
    """
    from app.attendance.employee_files import LARGEST_FILE, chosen, from_table, named_as_fields, read_table
    from app.attendance.employees import Wrong, from_csv
    from app.attendance.workbook_reader import MARK

    try:
        data = file.read(LARGEST_FILE + 1)
        if mapping is None and not data.startswith(MARK) and len(data) <= LARGEST_FILE:
            listed = from_csv(data)
        else:
            table = read_table(data)
            heading = table.heading
            columns = named_as_fields(heading) if mapping is None else chosen(mapping, heading)
            listed = from_table(table, columns)
        if preview:
            _show(listed)
        with asked_store(settings) as kept:
            changes = kept.employees.take(listed, replace=replace, is_preview=preview)
    except Wrong as wrong:
        raise click.ClickException("\n".join(map(str, wrong.faults))) from None
    counts = (
        f"{changes.added} added, {changes.changed} changed, {changes.unchanged} unchanged, "
        f"{changes.removed} removed"
    )
    click.echo(f"Preview, nothing was changed: {counts}" if preview else counts)
    if changes.unknown_device_ids:
        click.echo(
            f"Warning: These devices are not registered: {', '.join(changes.unknown_device_ids)}. Check the "
            "spelling of device_id.",
            err=True,
        )


def _show(listed: Sequence[Employee]) -> None:
    """Print the first employees of the file."""
    print_rows(
        [one._asdict() for one in listed[:_SHOWN]],
        {
            "USER": lambda row: row["user_id"],
            "EMPLOYEE": lambda row: row["employee_id"],
            "NAME": lambda row: row["name"],
            "DEVICE": lambda row: row["device_id"] or "all",
        },
        json=False,
        none="The file contains no employees.",
    )
    if len(listed) > _SHOWN:
        click.echo(f"… and {len(listed) - _SHOWN:,} more")
