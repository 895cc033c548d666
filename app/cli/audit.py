"""`cams-relay audit`: the audit log."""

from __future__ import annotations

import click

from app.cli.shared import asked_store, with_settings
from app.settings.table import Settings


@click.command()
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, help="Number of entries to print.")
@with_settings
def audit(settings: Settings, limit: int) -> None:
    """Print the audit log. The newest entries come first, one JSON object per line."""
    import orjson

    with asked_store(settings) as kept:
        for row in kept.audit.page(limit)[0]:
            click.echo(orjson.dumps(row))
