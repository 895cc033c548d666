"""`cams-relay simulator clear`: removes the simulated devices."""

from __future__ import annotations

import click

from app.base.printable import printable
from app.cli.operator import operator
from app.cli.output import as_json, print_json
from app.cli.shared import with_settings
from app.settings.running_up import is_up
from app.settings.table import Settings


@click.command("clear")
@click.option("--yes", is_flag=True, help="Don't ask for confirmation.")
@as_json
@with_settings
def clear(settings: Settings, yes: bool, as_json: bool) -> None:
    """Remove the simulated devices and their users from the relay.

    Simulated devices are the device of `cams-relay up`, devices that were registered as simulated, and unmarked
    VIRTUAL… devices of an earlier version. The command asks before it removes devices. This also stops the simulator of
    `cams-relay up`. Events of simulated devices are kept for the retention period, and are left out of attendance
    files.
    """
    from app.base import simulated_device_request
    from app.store.server.embedded import making_nothing

    with making_nothing(), operator(settings) as api:
        simulated = api.store.devices.simulated.ids()
        found = [device_id for device_id in api.store.devices.ids() if device_id in simulated]
        if found and not yes:
            names = ", ".join(map(printable, found))
            whose = "its" if len(found) == 1 else "their"
            click.confirm(f"Remove {names} and {whose} users from the relay?", abort=True, err=True)
        if is_up(settings.data_dir) and not simulated_device_request.stop(settings.data_dir):
            raise click.ClickException("the simulator is still running. Try again in a moment")
        for device_id in found:
            api.call("DELETE", f"/v1/devices/{device_id}")
            if as_json:
                print_json({"device_id": device_id, "removed": True})
            else:
                click.echo(f"Removed: {device_id}")
    if not found and not as_json:
        click.echo("There are no simulated devices.")
