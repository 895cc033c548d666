"""The relay's processes: `up`, `web`, `worker` and `store`."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from app.cli.shared import with_settings
from app.settings import Settings


@click.command()
@click.option("--no-simulator", is_flag=True, help="Never start the virtual gateway and device.")
@with_settings
def up(settings: Settings, no_simulator: bool) -> None:
    """Store, web, worker and, where no device is registered, a virtual one: everything in one command."""
    from app.up import run

    run(settings, with_simulator=not no_simulator)


@click.command()
@with_settings
def web(settings: Settings) -> None:
    """The web process. SIGUSR2 has a second one take over its sockets; then SIGTERM ends it."""
    host = os.environ.get("HOST") or settings.host
    os.environ["HOST"] = host
    # Not `python -m gunicorn`, which can't start itself anew at SIGUSR2: gunicorn/http would hide Python's http.
    program = Path(sys.executable).with_name("gunicorn")
    os.execv(program, [str(program), "-c", "python:app.gunicorn", "app.wsgi:app"])


@click.command()
@click.option(
    "--processes",
    type=click.IntRange(1, 64),
    help="How many dispatchers deliver side by side; each takes shards of its own. As many as there are cores or "
    "shards (RELAY_SHARDS), whichever are fewer.",
)
@with_settings
def worker(settings: Settings, processes: int | None) -> None:
    """The worker: deliveries, retries, replays and upkeep."""
    from app.log import configure
    from app.supervisor import Supervisor

    configure(settings.log_level, settings.log_format)
    supervisor = Supervisor()
    supervisor.handle_signals()
    supervisor.add_worker(processes or min(settings.shards, os.cpu_count() or 1))
    supervisor.run()


@click.command()
@with_settings
def store(settings: Settings) -> None:
    """The embedded store."""
    from app.store import embedded

    if settings.redis_url is not None:
        raise click.ClickException(
            "REDIS_URL is set, so there is no embedded store to run: unset it, or run none."
        )
    try:
        sys.exit(embedded.run(settings))
    except embedded.AlreadyRunning as error:
        raise click.ClickException(str(error)) from None
