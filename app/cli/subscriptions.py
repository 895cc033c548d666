"""`cams-relay subscriptions`: webhooks."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote, urlsplit

import click

from app.cli.operator import Operator, operator
from app.cli.output import as_json, print_json, print_rows
from app.cli.shared import with_settings
from app.settings.table import Settings


@click.group()
def subscriptions() -> None:
    """List and enable subscriptions, and replay events."""


@subscriptions.command("list")
@as_json
@with_settings
def list_subscriptions(settings: Settings, as_json: bool) -> None:
    """List the subscriptions, oldest first.

    The table shows only the host of a target, because the rest of a webhook's URL can be a secret.
    """
    with operator(settings) as api:
        print_rows(
            api.rows("/v1/subscriptions"),
            {
                "ID": lambda one: one["id"],
                "STATUS": lambda one: one["status"],
                "TARGET": lambda one: urlsplit(one["target_url"]).netloc,
                "FORMAT": lambda one: one["format"],
                "EVENT TYPES": lambda one: " ".join(one["event_types"]),
                "WAITING": lambda one: one["pending"] + one["retrying"],
                "DEAD LETTERS": lambda one: one["dead"],
                "FAILING SINCE": lambda one: one["failing_since"],
                "DESCRIPTION": lambda one: one["description"],
            },
            json=as_json,
            none="There are no subscriptions.",
        )


@subscriptions.command()
@click.argument("subscription_ids", nargs=-1)
@click.option(
    "--held", is_flag=True, help="Enable all subscriptions that `cams-relay restore --hold` has disabled."
)
@as_json
@with_settings
def enable(settings: Settings, subscription_ids: tuple[str, ...], held: bool, as_json: bool) -> None:
    """Enable disabled subscriptions. Deliveries that are waiting in their queues are sent."""
    from app.store.upkeep.hold import HELD

    if held == bool(subscription_ids):
        raise click.UsageError("use either --held or the IDs of subscriptions")
    with operator(settings) as api:
        if held:
            rows = list(api.rows("/v1/subscriptions"))
            subscription_ids = tuple(one["id"] for one in rows if one["disabled_reason"] == HELD)
        enabled = [_post(api, one, "enable") for one in subscription_ids]
    if as_json:
        for one in enabled:
            print_json(one)
    else:
        click.echo(
            f"{len(enabled)} {'subscription is' if len(enabled) == 1 else 'subscriptions are'} enabled."
        )


@subscriptions.command()
@click.argument("subscription_id")
@click.option("--event-type", help="Type of the sample event. The default is the subscription's first type.")
@as_json
@with_settings
def test(settings: Settings, subscription_id: str, event_type: str | None, as_json: bool) -> None:
    """Send a sample event with `test` set to true to a subscription."""
    body = {"event_type": event_type} if event_type is not None else {}
    answer = _call(settings, subscription_id, "test", body)
    if as_json:
        print_json(answer)
    else:
        click.echo(
            f"A sample event {answer['event']['type']} ({answer['event_id']}) is queued as delivery "
            f"{answer['delivery_id']}."
        )


@subscriptions.command()
@click.argument("subscription_id")
@click.option("--since", help="Only events received at this time or later, e.g. 2026-11-24T00:00:00Z.")
@click.option(
    "--until", help="Only events received at this time or earlier. The default is the current time."
)
@click.option("--event-id", "event_ids", multiple=True, help="ID of an event. You can repeat this option.")
@as_json
@with_settings
def replay(
    settings: Settings,
    subscription_id: str,
    since: str | None,
    until: str | None,
    event_ids: tuple[str, ...],
    as_json: bool,
) -> None:
    """Deliver stored events again, selected by time or by ID."""
    if event_ids and (since or until):
        raise click.UsageError("--event-id can't be combined with --since or --until")
    given = {"since": since, "until": until, "event_ids": list(event_ids)}
    answer = _call(
        settings, subscription_id, "replay", {name: value for name, value in given.items() if value}
    )
    if as_json:
        print_json(answer)
    elif answer["event_count"] is None:
        click.echo(
            f"The replay {answer['id']} is queued. Its deliveries are in the console, on the subscription's page."
        )
    else:
        count = answer["event_count"]
        click.echo(f"{count} {'event is' if count == 1 else 'events are'} queued again ({answer['id']}).")


def _call(settings: Settings, subscription_id: str, what: str, body: dict[str, Any]) -> Any:
    with operator(settings) as api:
        return _post(api, subscription_id, what, json=body)


def _post(api: Operator, subscription_id: str, what: str, **request: Any) -> Any:
    if quote(subscription_id, safe="") != subscription_id:  # otherwise, the path would be a different one
        raise click.ClickException(f"there is no subscription with the ID {subscription_id!r}")
    return api.call("POST", f"/v1/subscriptions/{subscription_id}/{what}", **request)
