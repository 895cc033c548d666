"""`cams-relay events`: the stored events."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import click

from app.base.printable import printable
from app.cli.operator import Operator, operator
from app.cli.output import as_json, print_json
from app.cli.shared import with_settings
from app.settings.table import Settings

_BLOCK_MS = 1_000  # how long one read waits for new events


@click.group()
def events() -> None:
    """Show events."""


@events.command()
@click.option(
    "--type", "event_type", help="Only events of this type or family, e.g. attendance.punch or user.*."
)
@click.option("--device", "device_id", help="Only events for the device with this ID.")
@click.option("--user", "user_id", help="Only events about the user with this ID.")
@click.option(
    "-n",
    "--lines",
    type=click.IntRange(0, 200),
    default=10,
    show_default=True,
    help="Number of stored events to print first.",
)
@click.option(
    "--follow/--no-follow", default=True, help="Whether to wait for new events. The default is to wait."
)
@as_json
@with_settings
def tail(
    settings: Settings,
    event_type: str | None,
    device_id: str | None,
    user_id: str | None,
    lines: int,
    follow: bool,
    as_json: bool,
) -> None:
    """Print events as they arrive, after the latest stored ones. Press Ctrl-C to stop."""
    given = {"type": event_type, "device_id": device_id, "user_id": user_id}
    query = {name: value for name, value in given.items() if value}
    with operator(settings) as api, suppress(KeyboardInterrupt):
        for event in _events(api, query, lines, follow):
            if as_json:
                print_json(event)
            else:
                click.echo(_line(event))


def _events(api: Operator, query: dict[str, Any], lines: int, follow: bool) -> Iterator[dict[str, Any]]:
    """Yield the latest events and then new ones, without gaps or duplicates."""
    from app.api import events as api_of_events

    # Read the position before the page, so that no event is missed. Events that arrive in between are in both.
    position = api.store.events.last_entries()
    latest = api.call("GET", "/v1/events", query_string={**query, "limit": lines or 1})["data"][:lines]
    wanted = api.read(api_of_events.query, "/v1/events", query)
    yield from reversed(latest)
    shown = {event["id"] for event in latest}
    while follow:
        for found in api.store.events.follow(position, _BLOCK_MS):
            if wanted.takes(found.event) and found.event["id"] not in shown:
                yield found.event


def _line(event: dict[str, Any]) -> str:
    who = event.get("user_name") or event.get("full_name") or event.get("user_id") or ""
    what = event.get("punch_type") or event.get("credential_type") or event.get("reason") or ""
    where = event.get("device_label") or event.get("device_id") or ""
    line = f"{event['received_at']}  {event['type']:<22} {who:<16} {what:<12} {where}  {event['id']}"
    return printable(line)
