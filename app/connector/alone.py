"""The command `cams-relay connector` without the relay, for the wheel that `scripts/connector-wheel` builds."""

from __future__ import annotations

import click

from app import __version__
from app.connector.cli import connector


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="cams-relay connector")
def main() -> None:
    """Send punches from a file or a database to a callback URL."""


main.add_command(connector)
