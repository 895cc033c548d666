"""`cams-relay`: the relay's processes and what an administrator asks of them, a module a subject.

What only one command needs is imported by that command: `--help` and `web` wait for none of it.
"""

from __future__ import annotations

import click

from app import __version__
from app.cli.administration import audit, doctor, keys
from app.cli.assistants import mcp
from app.cli.data import backup, rekey, restore
from app.cli.description import describe
from app.cli.people import employees, export, forget
from app.cli.processes import store, up, web, worker
from app.connector.cli import connector
from simulator.cli import simulate, simulator


@click.group()
@click.version_option(__version__, prog_name="cams-relay")
def main() -> None:
    """Attendance machines' events as webhooks, and their commands as an API."""


for _command in (
    *(up, web, worker, store),
    *(doctor, keys, audit),
    *(employees, export, forget),
    *(backup, restore, rekey),
    *(mcp, describe),
    *(simulator, simulate, connector),
):
    main.add_command(_command)
