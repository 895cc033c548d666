"""`cams-relay spool`: the callbacks on this machine's disk."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from app.cli.shared import asked_store, note, with_settings
from app.settings.table import Settings

if TYPE_CHECKING:
    from app.base.vault import Vault
    from app.store.spool.discard import Parked
    from app.store.spool.spool import Spool


@click.group(invoke_without_command=True)
@click.pass_context
def spool(context: click.Context) -> None:
    """List the callbacks that are on this machine's disk. They are waiting, parked or unreadable."""
    if context.invoked_subcommand is None:
        _list()


@with_settings
def _list(settings: Settings) -> None:
    from app.store import make_vault
    from app.store.server.store_id import remembered_id
    from app.store.spool.spool import Spool

    folder = settings.data_dir / "spool"
    if not folder.is_dir():
        raise click.ClickException(
            f"{folder.absolute()} doesn't exist. Set RELAY_DATA_DIR to the folder that the relay uses, for example "
            "RELAY_DATA_DIR=/var/lib/cams-relay. With RELAY_SPOOL=off, no callbacks are kept on disk"
        )
    found = Spool(folder, make_vault(settings))
    shown = found.summary()
    click.echo(f"folder: {folder.absolute()}")
    click.echo(f"store id: {remembered_id(folder) or 'not known yet'}")
    click.echo(f"waiting: {shown.waiting}{_since(shown.oldest_waiting)}")
    click.echo(f"parked: {shown.parked}{_since(shown.oldest_parked)}")
    for (device_id, reason), count in sorted(_reasons(found).items()):
        click.echo(f"  {count} from device {device_id}: {reason}")
    for what, names in (
        ("damaged files", shown.damaged),
        ("files that can't be decrypted", shown.unreadable),
    ):
        click.echo(f"{what}: {len(names)}")
        for name in names:
            click.echo(f"  {name}")
    found.close()


def _reasons(found: Spool) -> Counter[tuple[str, str]]:
    """Count the parked callbacks by device and reason."""
    return Counter((item.device_id, item.reason) for item in found.listed(".parked"))


def _since(at: float | None) -> str:
    return "" if at is None else f", the oldest since {_time(at)}"


def _time(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M:%S} UTC"


@spool.command("accept-store")
@click.option("--yes", is_flag=True, help="Don't ask for confirmation.")
@with_settings
def accept_store(settings: Settings, yes: bool) -> None:
    """Accept the current store. It then takes the callbacks on this machine's disk.

    If you have emptied or replaced the store on purpose, run this on each machine with a web process. Callbacks
    waiting on this machine's disk are then saved to the store. Callbacks from devices that the store doesn't know are
    parked until the devices are registered.
    """
    if not yes:
        question = "Accept this store, and save the callbacks on this machine's disk to it?"
        click.confirm(question, abort=True)
    with asked_store(settings) as kept:
        store_id = kept.identity.accept()
        note(kept, "store.accepted", detail=store_id)
    click.echo(f"Store {store_id} is accepted. Web processes will continue within a second.")


@spool.command()
@click.argument("device_id")
@click.option(
    "--save-to",
    "file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Save an encrypted copy of the callbacks to this new file first.",
)
@click.option("--discard", "without_copy", is_flag=True, help="Discard the callbacks without a copy.")
@click.option("--yes", is_flag=True, help="Don't ask for confirmation.")
@with_settings
def discard(settings: Settings, device_id: str, file: Path | None, without_copy: bool, yes: bool) -> None:
    """Discard the parked callbacks of a device.

    Do this only if the device won't be registered again. Without --save-to or --discard, the command only shows
    which callbacks would be discarded. Callbacks that arrive later are not discarded. If you need the copy after
    all, register the device, move the file into the spool folder, and give it a name that ends in .parked.
    """
    from app.store import make_vault
    from app.store.spool.discard import parked_of, waiting_of
    from app.store.spool.spool import Spool

    vault = make_vault(settings)
    found = Spool(settings.data_dir / "spool", vault)
    parked = parked_of(found, device_id)
    if not parked.received:
        raise click.ClickException(f"no callbacks from device {device_id!r} are parked on this machine")
    count = len(parked.received)
    click.echo(
        f"{count} parked callbacks from device {device_id}, "
        f"received from {_time(parked.oldest)} to {_time(parked.newest)}"
    )
    if file is None and not without_copy:
        click.echo("Nothing was discarded. Add --save-to FILE to keep a copy, or --discard to keep no copy.")
        return
    if waiting_of(found, device_id):
        raise click.ClickException(
            "other callbacks from this device are about to be stored; try again in a minute"
        )
    if not yes:
        click.confirm(f"Discard {count} callbacks from device {device_id}? This can't be undone", abort=True)
    with asked_store(settings) as kept:
        kept.identity.check(look_only=True)
        if kept.identity.foreign is not None:
            raise click.ClickException(kept.identity.foreign)
        if device_id in kept.devices.ids():
            raise click.ClickException(
                f"device {device_id} is registered; repair its data, or remove the device first"
            )
        if file is not None:
            parked = _saved(found, vault, device_id, file)
        note(
            kept,
            "callbacks.discarded",
            device_id=device_id,
            detail=f"{len(parked.received)} parked callbacks, {'without a copy' if file is None else 'with a copy'}",
        )
        if not kept.devices.discard_callbacks(device_id, parked.newest):
            raise click.ClickException(
                f"device {device_id} was registered in the meantime, so nothing was discarded"
            )
    click.echo(
        "Web processes drop them within a minute. They also drop callbacks from this device that other machines "
        f"parked until {_time(parked.newest)}."
    )


def _saved(found: Spool, vault: Vault, device_id: str, file: Path) -> Parked:
    from app.store.spool.discard import Moving, save

    try:
        return save(found, vault, device_id, file)
    except FileExistsError:
        raise click.ClickException(f"{file} already exists; choose another name") from None
    except OSError as error:
        raise click.ClickException(f"{file} can't be written: {error.strerror}") from None
    except Moving:
        raise click.ClickException("the parked callbacks are being changed; try again in a minute") from None
