"""Returns the content of the service files for systemd and launchd. Doesn't write anything."""

from __future__ import annotations

import plistlib
from collections.abc import Sequence
from pathlib import Path

PROCESSES = ("up", "store", "web", "worker")
SERVICE_DATA_DIR = Path("/var/lib/cams-relay")
SERVICE_SETTINGS = Path("/etc/cams-relay.env")
LABEL = "org.cams-relay"

_DESCRIPTIONS = {
    "up": "cams-relay: store, web and worker",
    "store": "cams-relay: embedded store",
    "web": "cams-relay: web process",
    "worker": "cams-relay: worker",
}
_UNIT = """\
# Written by `cams-relay service install`. Change it with `systemctl edit {name}`.
[Unit]
Description={description}
Documentation=https://github.com/cams-relay/cams-relay/blob/main/docs/install.md
Wants=network-online.target
After={after}

[Service]
Type=exec
ExecStart={command}
Environment=RELAY_DATA_DIR={data_dir}
EnvironmentFile=-{settings}
Restart=always
RestartSec=2
TimeoutStopSec=30
KillMode=mixed
LimitNOFILE=65536

# A user of its own, which may write to its data folder only.
User=cams-relay
DynamicUser=yes
StateDirectory=cams-relay
StateDirectoryMode=0700
WorkingDirectory={data_dir}
UMask=0077
CapabilityBoundingSet=
LockPersonality=yes
NoNewPrivileges=yes
PrivateDevices=yes
PrivateTmp=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHome=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectProc=invisible
ProtectSystem=strict
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service

[Install]
WantedBy=multi-user.target
"""


def unit_name(process: str) -> str:
    """Return the name of a process's unit, without `.service`."""
    return "cams-relay" if process == "up" else f"cams-relay-{process}"


def arguments(process: str) -> list[str]:
    """Return the arguments after the program on the command line of a service."""
    return ["up", "--no-simulator"] if process == "up" else [process]


def systemd_unit(process: str, program: Path) -> str:
    """Return the unit that runs a process. Raises ValueError if systemd can't start a program with such a path."""
    if any(character in str(program) for character in " \t\"'\\%$"):
        raise ValueError(f"the path {program} contains a character that isn't allowed in a unit")
    after = "network-online.target"
    if process in ("web", "worker"):
        after += " cams-relay-store.service"
    return _UNIT.format(
        name=unit_name(process),
        description=_DESCRIPTIONS[process],
        after=after,
        command=" ".join([str(program), *arguments(process)]),
        data_dir=SERVICE_DATA_DIR,
        settings=SERVICE_SETTINGS,
    )


def launchd_label(process: str) -> str:
    return f"{LABEL}.{process}"


def launchd_plist(process: str, program: Path, data_dir: Path) -> str:
    """Return the property list with which launchd runs a process for the user who is logged in."""
    log = str(data_dir / f"{process}.log")
    return plistlib.dumps(
        {
            "Label": launchd_label(process),
            "ProgramArguments": [str(program), *arguments(process)],
            "EnvironmentVariables": {"RELAY_DATA_DIR": str(data_dir)},
            "WorkingDirectory": str(data_dir),
            "RunAtLoad": True,
            "KeepAlive": True,
            "ExitTimeOut": 30,
            "Umask": 0o077,
            "StandardOutPath": log,
            "StandardErrorPath": log,
        },
        sort_keys=False,
    ).decode()


def unreadable_place(paths: Sequence[Path]) -> Path | None:
    """Return the first path that a systemd service can't read because it is in a home folder, or None."""
    for path in paths:
        for one in (path.absolute(), path.resolve()):
            if one.is_relative_to("/home") or one.is_relative_to("/root") or one.is_relative_to("/run/user"):
                return one
    return None
