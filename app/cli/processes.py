"""The relay's processes: `up`, `web`, `worker` and `store`."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path

import click

from app.cli.called_as import called_as
from app.cli.shared import refuse_wrong_store, say_data_folder, with_settings_to_run
from app.settings.table import Settings
from app.settings.unknown import unknown_variables


@click.command()
@click.option(
    "--no-simulator", is_flag=True, help="Don't start the simulator, even if no device is registered."
)
@click.option(
    "--tunnel",
    type=click.Choice(("cloudflared", "ngrok")),
    help="Start this tunnel, which must be installed, and use its public URL as RELAY_PUBLIC_URL.",
)
@with_settings_to_run
def up(settings: Settings, no_simulator: bool, tunnel: str | None) -> None:
    """Run everything: store, web and worker.

    If no device is registered, a simulated device is started as well. With --tunnel, the relay can be reached from the
    internet. The URL changes with each start, unless your account with the tunnel's provider has a fixed one.
    If the tunnel ends, or its URL no longer works, it is started again.
    """
    from app.run.up import run

    say_data_folder(settings)
    os.environ["RELAY_DATA_DIR"] = str(settings.data_dir)  # the same folder in every process
    run(settings, called_as(), with_simulator=not no_simulator, tunnel=tunnel)


@click.command()
@with_settings_to_run
def web(settings: Settings) -> None:
    """Run the web process.

    To restart it without downtime, send SIGUSR2, which starts a second process on the same sockets. Then send SIGTERM
    to the first.
    """
    say_data_folder(settings)
    refuse_wrong_store(settings)
    host = os.environ.get("HOST") or settings.host
    os.environ["HOST"] = host
    # `python -m gunicorn` can't restart itself at SIGUSR2, because gunicorn/http would hide Python's http.
    program = Path(sys.executable).with_name("gunicorn")
    os.execv(program, [str(program), "-c", "python:app.web.gunicorn", "app.web.wsgi:app"])


@click.command()
@click.option(
    "--processes",
    type=click.IntRange(1, 64),
    help="Number of dispatcher processes, each of which delivers for its own shards. The default is the "
    "number of CPU cores or RELAY_SHARDS, whichever is lower.",
)
@with_settings_to_run
def worker(settings: Settings, processes: int | None) -> None:
    """Run the worker. It handles commands, deliveries, retries, replays and maintenance."""
    from app.base.log import configure
    from app.run.supervisor import Supervisor

    say_data_folder(settings)
    refuse_wrong_store(settings)
    configure(settings.log_level, settings.log_format)
    for problem in unknown_variables():
        logging.getLogger("relay.settings").warning(problem)
    supervisor = Supervisor()
    supervisor.handle_signals()
    supervisor.add_worker(processes or min(settings.shards, os.cpu_count() or 1))
    supervisor.run()


@click.command()
@with_settings_to_run
def store(settings: Settings) -> None:
    """Run the embedded store."""
    from app.base.log import configure
    from app.store.server import embedded

    configure(settings.log_level, settings.log_format)
    say_data_folder(settings)
    if settings.redis_url is not None:
        raise click.ClickException(
            "REDIS_URL is set, so the embedded store isn't used. Unset REDIS_URL, or don't run this command."
        )
    try:
        sys.exit(embedded.run(settings))
    except embedded.AlreadyRunning as error:
        raise click.ClickException(str(error)) from None
