"""What an administrator looks at and hands out: `doctor`, `keys` and `audit`."""

from __future__ import annotations

import sys

import click

from app.cli.shared import asked_store, note, with_settings
from app.settings import Settings


@click.command()
@with_settings
def doctor(settings: Settings) -> None:
    """Says what is misconfigured, a line each with the fix; exit status 1 where something is."""
    import redis

    from app.checks import key_warnings, machine_warnings, settings_warnings, store_warnings
    from app.store import Store

    problems = settings_warnings(settings)
    try:
        kept = Store(settings)
        kept.connection.redis.ping()
        problems += store_warnings(kept) + key_warnings(kept) + machine_warnings(kept)
        if not kept.devices.ids():
            problems.append(
                "No device is registered: POST /v1/devices, or `cams-relay up` for a virtual one."
            )
    except (redis.RedisError, OSError) as error:
        where = "REDIS_URL" if settings.redis_url else "the embedded store (run `cams-relay store` or `up`)"
        problems.append(f"{where} can't be reached: {type(error).__name__}.")
    for problem in problems:
        click.echo(f"{click.style('✗', fg='red')} {problem}")
    if problems:
        sys.exit(1)
    click.echo(f"{click.style('✓', fg='green')} nothing to complain about")


@click.group()
def keys() -> None:
    """API keys."""


@keys.command("create")
@click.option("--name", required=True, help="Whose key it is.")
@click.option(
    "--scope", "scopes", multiple=True, required=True, help="May be repeated; `admin` includes all."
)
@with_settings
def create_key(settings: Settings, name: str, scopes: tuple[str, ...]) -> None:
    """Makes an API key and prints it, this once."""
    from app.store.api_keys import SCOPES

    unknown = sorted(set(scopes) - set(SCOPES))
    if unknown:
        raise click.ClickException(f"there is no scope {unknown[0]!r}; there are {', '.join(SCOPES)}")
    with asked_store(settings) as kept:
        key, record = kept.api_keys.create(name, list(scopes))
        note(kept, "api_key.created", subject=record["id"], detail=" ".join(scopes))
    click.echo(key)


@click.command()
@click.option(
    "--limit", type=click.IntRange(1, 10_000), default=50, help="How many entries, from the newest on."
)
@with_settings
def audit(settings: Settings, limit: int) -> None:
    """Prints the audit log, newest first: a JSON object a line."""
    import orjson

    with asked_store(settings) as kept:
        for row in kept.audit.page(limit)[0]:
            click.echo(orjson.dumps(row))
