"""`cams-relay connector install`: have systemd or the Windows Task Scheduler start a connector with the computer."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import click

_UNITS = Path("/etc/systemd/system")
_SECRETS = Path("/etc/cams-relay-connector.env")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}", re.ASCII)
_UNIT = """\
# Written by `cams-relay connector install`. Change it with `systemctl edit {unit}`.
[Unit]
Description=cams-relay connector {name}
Documentation=https://github.com/cams-relay/cams-relay/blob/main/docs/connector.md
Wants=network-online.target
After=network-online.target

[Service]
Type=exec
ExecStart={command}
EnvironmentFile=-{secrets}
Restart=always
RestartSec=30
RestartPreventExitStatus=2
TimeoutStopSec=30

# A user of its own, which may write to its own folder only. There are the position, the memory and the rejected rows.
DynamicUser=yes
StateDirectory={unit}
StateDirectoryMode=0700
WorkingDirectory=/var/lib/{unit}
UMask=0077
CapabilityBoundingSet=
NoNewPrivileges=yes
PrivateDevices=yes
PrivateTmp=yes
ProtectHome=read-only
ProtectSystem=strict
RestrictSUIDSGID=yes

[Install]
WantedBy=multi-user.target
"""


@click.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.option("--name", required=True, help="Name of the service, such as the device's Service Tag ID.")
@click.option("--print", "only_print", is_flag=True, help="Print the unit instead of writing it.")
@click.option(
    "--for",
    "system",
    type=click.Choice(["systemd", "windows"]),
    help="System to install the service for. The default is the current system.",
)
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
@click.pass_context
def install(
    context: click.Context, name: str, only_print: bool, system: str | None, command: tuple[str, ...]
) -> None:
    """Run a connector as a service that starts with the computer.

    Write the connector's own command after the options, for example:

    cams-relay connector install --name GATE1 file /srv/attlog.dat --preset zkteco-attlog --timezone Asia/Kolkata
    --to https://relay.example.com/callback --stgid GATE1

    On Linux, this writes a systemd unit. The service reads its secrets from /etc/cams-relay-connector.env, and keeps
    its files in /var/lib/cams-relay-connector-NAME. For Windows, it prints the command for the Task Scheduler, which
    has not been tested.
    """
    is_windows = (system or ("windows" if sys.platform == "win32" else "systemd")) == "windows"
    if not _NAME.fullmatch(name):
        raise click.BadParameter("use letters, digits, - and _, e.g. GATE1", param_hint="--name")
    _check(context, command, is_windows=is_windows)
    program = Path(sys.executable).with_name("cams-relay")
    unit = f"cams-relay-connector-{name}"
    if is_windows:
        for line in windows_lines(unit, [f"{program}.exe", "connector", *command]):
            click.echo(line)
        return
    text = _UNIT.format(
        unit=unit,
        name=name,
        secrets=_SECRETS,
        command=" ".join(map(systemd_word, [str(program), "connector", *command])),
    )
    if only_print:
        click.echo(text)
        return
    path = _UNITS / f"{unit}.service"
    try:
        path.unlink(missing_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
    except OSError as error:
        raise click.ClickException(
            f"{path} can't be written ({error.strerror}). Run this as root, or use --print"
        ) from None
    click.echo(f"Written: {path}")
    click.echo(
        f"Secrets are read from {_SECRETS}, one NAME=value per line, e.g. CONNECTOR_AUTH_TOKEN=…. Create the file with "
        "mode 0600."
    )
    click.echo(
        f"Start it now and after each reboot: systemctl daemon-reload && systemctl enable --now {unit}"
    )


def _check(context: click.Context, command: Sequence[str], *, is_windows: bool) -> None:
    """Raise a UsageError if a command wouldn't run as a service."""
    group = context.parent.command if context.parent else None
    kind, arguments = command[0], list(command[1:])
    if not isinstance(group, click.Group) or kind not in ("file", "db"):
        raise click.UsageError(
            f"{kind!r} is not a connector. After the options, write file or db with its own options"
        )
    parsed = group.commands[kind].make_context(kind, arguments, parent=context.parent).params
    if parsed["once"]:
        raise click.UsageError(
            "--once can't be used for a service, because it would be started again and again"
        )
    _check_secrets(kind, parsed)
    for word in command:
        if re.search(r"[\x00-\x1f\x7f]", word):
            raise click.UsageError(
                f"{word!r} contains a line break or a control character. Write it on one line"
            )
        if is_windows and '"' in word:
            raise click.UsageError(f"{word!r} contains \", which a batch file can't pass on")
    path_type = PureWindowsPath if is_windows else PurePosixPath
    for option, value in parsed.items():
        if isinstance(value, Path) and not path_type(value).is_absolute():
            raise click.UsageError(
                f"{option}: {value} must be an absolute path, because a service has its own folder"
            )


def _check_secrets(kind: str, parsed: Mapping[str, Any]) -> None:
    """Raise a UsageError for secrets in the command, because every user of the machine can read a service's command."""
    from app.connector.cli import has_password

    if kind == "db" and has_password(parsed["url"]):
        raise click.UsageError(
            "every user can read a service's command. Leave the password out of the database URL, and use "
            "--password-env or --password-file, or put the whole URL into an environment variable and give env:ITS_NAME"
        )
    if re.search(r"[?&]k=|//[^/?#]*@", parsed["to"]):
        raise click.UsageError(
            "every user can read a service's command. Put the callback URL with ?k= or a password into an environment "
            "variable, and give --to env:ITS_NAME"
        )


def systemd_word(word: str) -> str:
    """Return an argument as a unit's ExecStart writes it."""
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return escaped if re.fullmatch(r"[\w@+=:,./-]+", word) else f'"{escaped}"'


def windows_lines(task: str, command: Sequence[str]) -> list[str]:
    r"""Return a batch file and the command that has the Task Scheduler run it when Windows starts.

    A task's own command line is limited to 261 characters, so it runs a batch file.
    """
    script = rf"C:\ProgramData\{task}\run.cmd"
    # A backslash before the closing quotation mark would escape it.
    ends = [word + "\\" * (len(word) - len(word.rstrip("\\"))) for word in command]
    line = " ".join(f'"{word.replace("%", "%%")}"' for word in ends)
    return [
        "This has not been tested on Windows.",
        "",
        f"1. Write this to {script}. Let only administrators read the folder:",
        "",
        "@echo off",
        rf'cd /d "C:\ProgramData\{task}"',
        ":again",
        line,
        "ping -n 31 127.0.0.1 >nul",
        "goto again",
        "",
        "2. Put the AuthToken into a file in that folder, and add --auth-token-file to the line above.",
        "3. Run this as an administrator:",
        "",
        rf'schtasks /Create /TN "{task}" /SC ONSTART /RU SYSTEM /TR "{script}"',
        rf'schtasks /Run /TN "{task}"',
    ]
