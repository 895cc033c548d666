"""`cams-relay devices`: the registered devices."""

from __future__ import annotations

import sys
from typing import TextIO

import click

from app.cli.operator import operator
from app.cli.output import as_json, print_json, print_rows
from app.cli.shared import with_settings
from app.settings.table import Settings


@click.group()
def devices() -> None:
    """List and register devices."""


@devices.command("list")
@as_json
@with_settings
def list_devices(settings: Settings, as_json: bool) -> None:
    """List the devices, sorted by ID."""
    with operator(settings) as api:
        print_rows(
            api.rows("/v1/devices"),
            {
                "ID": lambda device: device["device_id"],
                "LABEL": lambda device: device["label"],
                "MODE": lambda device: device["mode"],
                "TIME ZONE": lambda device: device["timezone"],
                "LAST SEEN": lambda device: device["last_seen_at"],
                "REFUSED": lambda device: device["refused_callbacks"],
            },
            json=as_json,
            none="No device is registered. Register one with `cams-relay devices add`.",
        )


@devices.command()
@click.argument("device_id")
@click.option(
    "--auth-token-file",
    type=click.File("r"),
    help="File that contains the device's AuthToken, or - for standard input. By default, you are asked for it.",
)
@click.option(
    "--security-key-file", type=click.File("r"), help="File that contains the device's Security Key."
)
@click.option(
    "--gateway-url", help="The device's RESTful endpoint URL from the API Monitor. Commands are sent to it."
)
@click.option("--label", help="Name of the device, e.g. Front Door.")
@click.option("--serial-number", help="Serial number of the device.")
@click.option(
    "--mode",
    help="How the device is connected: native, hybrid_sdk, hybrid_db or hybrid_file. The default is native.",
)
@click.option("--timezone", help="IANA time zone of the device, e.g. Asia/Kolkata. The default is UTC.")
@click.option(
    "--legacy-callbacks",
    help="Older version of the Web API that the device uses: 2.0 or 1.0. The default is off.",
)
@click.option(
    "--simulated",
    is_flag=True,
    help="Mark the device as simulated. Attendance files leave out its punches.",
)
@as_json
@with_settings
def add(
    settings: Settings,
    device_id: str,
    auth_token_file: TextIO | None,
    security_key_file: TextIO | None,
    gateway_url: str | None,
    label: str | None,
    serial_number: str | None,
    mode: str | None,
    timezone: str | None,
    legacy_callbacks: str | None,
    simulated: bool,
    as_json: bool,
) -> None:
    """Register the device with the Service Tag ID DEVICE_ID.

    The AuthToken and the Security Key are read from files, because other users of the machine can see a command's
    arguments. Without --auth-token-file, you are asked for the AuthToken. The command never prints them.
    """
    with operator(settings) as api:
        given = {
            "device_id": device_id,
            "auth_token": _auth_token(auth_token_file),
            "gateway_url": gateway_url,
            "label": label,
            "serial_number": serial_number,
            "mode": mode,
            "timezone": timezone,
            "legacy_callbacks": legacy_callbacks,
            "simulated": simulated or None,
        }
        body = {name: value for name, value in given.items() if value is not None}
        if security_key_file is not None:
            body["security_key"] = _secret(security_key_file)
        device = api.call("POST", "/v1/devices", json=body)
    if as_json:
        print_json(device)
    else:
        click.echo(
            f"Device {device['device_id']} is registered. Its Callback URL is {device['callback_url']}"
        )


def _auth_token(file: TextIO | None) -> str:
    if file is not None:
        return _secret(file)
    if not sys.stdin.isatty():
        raise click.ClickException(
            "the device's AuthToken is missing. Use --auth-token-file with a file, or with - for standard input"
        )
    token: str = click.prompt("AuthToken (from the API Monitor)", hide_input=True, err=True)
    return token.strip()


def _secret(file: TextIO) -> str:
    try:
        return file.read().strip()
    except UnicodeDecodeError:
        raise click.ClickException(
            f"{file.name} is not a text file. Use a file that contains only the secret"
        ) from None
