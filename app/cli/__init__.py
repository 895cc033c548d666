"""The command `cams-relay`, which runs the relay's processes and has commands for administrators.

Each command imports the modules that only it needs, so that `--help` and `web` start quickly.
"""

from __future__ import annotations

import os

import click

from app import __version__
from app.cli.archive import archive
from app.cli.audit import audit
from app.cli.backup import backup
from app.cli.called_as import NamedGroup
from app.cli.devices import devices
from app.cli.doctor import doctor
from app.cli.employees import employees
from app.cli.events import events
from app.cli.keys import keys
from app.cli.mcp import mcp
from app.cli.openapi import describe
from app.cli.personal_data import export, forget
from app.cli.processes import store, up, web, worker
from app.cli.rekey import rekey
from app.cli.restore import restore
from app.cli.service import service
from app.cli.simulated import clear
from app.cli.spool import spool
from app.cli.subscriptions import subscriptions
from app.connector.cli import connector
from simulator.cli import simulate, simulator

# These processes create missing keys. Other commands only use existing ones.
_MAKE_KEYS = ("up", "web", "worker", "store")

_WITHOUT_STORE = ("service", "simulator", "simulate", "connector", "mcp", "openapi")


@click.group(cls=NamedGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="cams-relay")
@click.pass_context
def main(context: click.Context) -> None:
    """Send events from attendance devices to webhooks, and commands to the devices."""
    if os.environ.get("NO_COLOR"):  # https://no-color.org
        context.color = False
    if context.invoked_subcommand not in (*_MAKE_KEYS, *_WITHOUT_STORE):
        from app.store.server.embedded import making_nothing

        context.with_resource(making_nothing())


simulator.add_command(clear)
for _command in (
    *(up, web, worker, store, service),
    *(doctor, keys, audit),
    *(devices, subscriptions, events),
    *(employees, export, forget),
    *(backup, restore, rekey, spool, archive),
    *(mcp, describe),
    *(simulator, simulate, connector),
):
    main.add_command(_command)
