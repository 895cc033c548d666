"""Commands for a person's data: `cams-relay export` and `cams-relay forget`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from app.cli.shared import asked_store, note, with_settings
from app.settings.table import Settings

if TYPE_CHECKING:
    from app.store import Store


_USER = click.option("--user", "user_id", required=True, help="The person's user ID.")
_DEVICE = click.option(
    "--device", "device_id", help="Use only data from this device. The default is all devices."
)


def _check_device(kept: Store, device_id: str | None) -> None:
    if device_id is not None and device_id not in kept.devices.ids():
        click.echo(f"device {device_id!r} is not registered. Looking for data that is left of it", err=True)


@click.command()
@_USER
@_DEVICE
@click.option("--yes", is_flag=True, help="Don't ask for confirmation.")
@with_settings
def forget(settings: Settings, user_id: str, device_id: str | None, yes: bool) -> None:
    """Erase a person's data. Prints what was erased.

    The data on devices is not erased. Delete the user there first. Otherwise, the devices will report the user again.
    Backups and events that have already been delivered are not changed either.
    """
    from app.store.privacy.scrub import NotWritten
    from app.store.server.connection import rewrite_append_only_files

    if not yes:
        click.confirm(f"Erase all data of user {user_id!r}? This can't be undone", abort=True)
    with asked_store(settings) as kept:
        _check_device(kept, device_id)
        try:
            erased = kept.person_erasure.forget(user_id, device_id)
        except NotWritten as error:
            raise click.ClickException(
                f"the events could not be rewritten: {error}. Run this again later"
            ) from None
        note(kept, "user.forgotten", user_id=user_id, device_id=device_id)
        rewritten = rewrite_append_only_files(kept.connection.redis)
    for what, count in erased.items():
        if count:
            click.echo(f"{count} {what}")
    if not any(erased.values()):
        click.echo("There is no data about this user.")
    if not rewritten:
        click.echo(
            "The store's append-only file or snapshots may contain the data until the store rewrites them."
        )
    _say_what_waits(settings)


def _say_what_waits(settings: Settings) -> None:
    folder = settings.data_dir / "spool"
    if any(path.suffix in (".spool", ".parked") for path in folder.glob("*")):
        click.echo(
            "Callbacks are waiting in the spool and may contain data of this user. Run this again after they "
            "have been stored.",
            err=True,
        )


@click.command()
@_USER
@_DEVICE
@click.option("--templates", is_flag=True, help="Include photos and the data of credentials.")
@with_settings
def export(settings: Settings, user_id: str, device_id: str | None, templates: bool) -> None:
    """Print all data about a person as JSON. This is the data that `forget` would erase."""
    import orjson

    with asked_store(settings) as kept:
        _check_device(kept, device_id)
        found = kept.person_export.export(user_id, device_id, templates=templates)
        _say_what_waits(settings)
        note(
            kept,
            "user.exported",
            user_id=user_id,
            device_id=device_id,
            detail="with templates" if templates else None,
        )
    click.echo(orjson.dumps(found, option=orjson.OPT_INDENT_2))
