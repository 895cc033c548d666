"""`cams-relay service`: installs the relay as a service of the operating system."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from app.base.private_folder import make_private
from app.run import service_units as units

_UNITS = Path("/etc/systemd/system")


@click.group()
def service() -> None:
    """Run the relay as a system service."""


@service.command()
@click.argument("processes", nargs=-1, type=click.Choice(units.PROCESSES))
@click.option("--print", "only_print", is_flag=True, help="Print the files instead of writing them.")
@click.option(
    "--for",
    "system",
    type=click.Choice(["systemd", "launchd"]),
    help="Service manager to use. The default is launchd on macOS, and systemd elsewhere.",
)
def install(processes: tuple[str, ...], only_print: bool, system: str | None) -> None:
    """Write the service files for systemd (Linux) or launchd (macOS).

    PROCESSES are the processes to run, each as a separate service: up, store, web or worker. The default is up, which
    runs all of them. The systemd service has its own user, keeps its data in /var/lib/cams-relay, and reads its
    settings from /etc/cams-relay.env.
    """
    if sys.platform == "win32":
        raise click.ClickException(
            "the relay doesn't run natively on Windows. Use WSL or the container; see docs/install.md"
        )
    wanted = list(dict.fromkeys(processes or ("up",)))
    if "up" in wanted and len(wanted) > 1:
        raise click.ClickException("up already runs all processes. Use either up or some of the others")
    if (system or ("launchd" if sys.platform == "darwin" else "systemd")) == "launchd":
        _launchd(wanted, only_print)
    else:
        _systemd(wanted, only_print)


def _program() -> Path:
    return Path(sys.executable).with_name("cams-relay")


def _systemd(wanted: list[str], only_print: bool) -> None:
    place = units.unreadable_place([_program(), Path(sys.executable), Path(sys.base_prefix)])
    if place is not None:
        message = (
            f"The service can't read {place}, because services can't read home folders. Install the relay and its "
            "Python where every user can read them, for example in /usr/local/lib; see docs/install.md"
        )
        if not only_print:
            raise click.ClickException(message)
        click.echo(message, err=True)
    try:
        texts = {f"{units.unit_name(one)}.service": units.systemd_unit(one, _program()) for one in wanted}
    except ValueError as error:
        raise click.ClickException(f"{error}. Install the relay in another folder") from None
    _deliver(_UNITS, texts, only_print)
    if not only_print:
        names = " ".join(units.unit_name(one) for one in wanted)
        click.echo(
            f"Settings are read from {units.SERVICE_SETTINGS}, one NAME=value per line. The file may contain secrets, "
            "so create it with mode 0600."
        )
        click.echo(
            f"Start it now and after each reboot: systemctl daemon-reload && systemctl enable --now {names}"
        )


def _launchd(wanted: list[str], only_print: bool) -> None:
    from app.settings.data_folder import user_data_dir

    agents, data_dir = Path.home() / "Library" / "LaunchAgents", user_data_dir()
    texts = {
        f"{units.launchd_label(one)}.plist": units.launchd_plist(one, _program(), data_dir) for one in wanted
    }
    if not only_print:
        # launchd opens the log in this folder before the relay runs.
        make_private(data_dir)
    _deliver(agents, texts, only_print)
    for name in () if only_print else texts:
        click.echo(
            f"Start it now and after each login: launchctl bootstrap gui/{os.getuid()} {agents / name}"
        )


def _deliver(folder: Path, texts: dict[str, str], only_print: bool) -> None:
    for name, text in texts.items():
        if only_print:
            click.echo(f"# {folder / name}", err=True)
            click.echo(text)
            continue
        try:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)
        except OSError as error:
            raise click.ClickException(
                f"{folder / name} can't be written ({error.strerror}). Run this as root, or use --print"
            ) from None
        click.echo(f"Written: {folder / name}")
