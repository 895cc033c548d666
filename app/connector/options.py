"""The options of the commands of `cams-relay connector`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from app.connector.presets import PRESETS

C = TypeVar("C", bound=Callable[..., Any])


def _options(*options: Callable[[C], C]) -> Callable[[C], C]:
    def add(command: C) -> C:
        for option in reversed(options):
            command = option(command)
        return command

    return add


def _use_preset(context: click.Context, _: click.Parameter, name: str | None) -> None:
    """Use the preset's options as defaults. Options on the command line take precedence."""
    if name is not None:
        context.default_map = {**(context.default_map or {}), **PRESETS[name].options}


file_options = _options(
    click.argument("path", type=click.Path(path_type=Path, dir_okay=False)),
    click.option(
        "--preset",
        type=click.Choice(list(PRESETS)),
        is_eager=True,
        expose_value=False,
        callback=_use_preset,
        help="Use the options for a product's export. Other options on the command line take precedence.",
    ),
    click.option(
        "--format",
        "layout",
        type=click.Choice(["csv", "tsv", "fixed", "attlog"]),
        default="csv",
        show_default=True,
        help="Format of the file. Use fixed for columns at fixed positions in the line, and attlog for attlog.dat "
        "from ZKTeco and eSSL devices.",
    ),
    click.option(
        "--map",
        "mapping",
        help="The column for each field, e.g. user=EmpCode,time=LogDate,type=Direction. A column is a name from the "
        "first line, a number starting at 1 or, with --format fixed, a range of positions such as 10-28. Fields: "
        "user, time, date, type, input, temperature, mask, device. If one row contains both a check-in and a "
        "check-out, use time_in and time_out instead of time, with date or with date_in and date_out. Separate "
        "alternative names with |.",
    ),
    click.option("--delimiter", help="Delimiter for --format csv. By default, it is detected."),
    click.option(
        "--header/--no-header", "has_header", default=None, help="Whether the first line names the columns."
    ),
    click.option(
        "--encoding",
        help="Encoding of the file, e.g. cp1252 or utf-16-le. The default is the encoding "
        "given by the file's byte order mark, or UTF-8 if there is none.",
    ),
    click.option(
        "--from-end", is_flag=True, help="On the first start, skip the rows that are already in the file."
    ),
)
"""The options of `connector file` and `connector try`: where rows are, and how they are written."""


def shared_options(*, is_trial: bool = False) -> Callable[[C], C]:
    """Return the options of all commands of the connector. A trial sends nothing, so it needs no --to."""
    to = click.option(
        "--to",
        required=not is_trial,
        help="Callback URL to send to, e.g. https://relay.example.com/callback. env:NAME reads the URL from the "
        "environment variable NAME.",
    )
    return _options(to, *_SHARED)


_SHARED = (
    click.option("--stgid", help="The device's Service Tag ID. It is added to the URL as ?stgid=."),
    click.option(
        "--devices",
        type=click.Path(path_type=Path),
        help="TOML file that lists several devices. It requires a column for device in --map. Use it instead of "
        "--stgid.",
    ),
    click.option(
        "--device-names",
        help="Comma-separated values that identify the device in the device column. The default is the stgid and the "
        "serial number. Rows from other devices are omitted.",
    ),
    click.option(
        "--auth-token-env",
        default="CONNECTOR_AUTH_TOKEN",
        show_default=True,
        help="Environment variable that contains the device's AuthToken.",
    ),
    click.option(
        "--auth-token-file",
        type=click.Path(path_type=Path),
        help="File that contains the device's AuthToken, instead of --auth-token-env.",
    ),
    click.option(
        "--security-key-env",
        default="CONNECTOR_SECURITY_KEY",
        show_default=True,
        help="Environment variable that contains the device's Security Key (32 bytes). If it isn't set, "
        "callbacks are not encrypted.",
    ),
    click.option(
        "--security-key-file",
        type=click.Path(path_type=Path),
        help="File that contains the device's Security Key, instead of --security-key-env.",
    ),
    click.option("--label", help="LabelName in the callbacks. The default is the stgid."),
    click.option("--serial", help="SerialNumber in the callbacks. The default is the stgid."),
    click.option(
        "--timezone",
        "zone",
        help="The device's time zone, e.g. Asia/Kolkata. Times are sent in this time zone. Times without an "
        "offset are also read in this time zone, unless --source-timezone is set.",
    ),
    click.option(
        "--source-timezone",
        "source_zone",
        help="Time zone of times without an offset, if it differs from the device's time zone, e.g. UTC.",
    ),
    click.option(
        "--time-format",
        "time_formats",
        multiple=True,
        help="Format of times, e.g. '%d/%m/%Y %H:%M:%S', epoch, epoch_ms or excel (a serial date). You can repeat "
        "this option. By default, epoch, epoch_ms, excel and times such as 2026-11-24 08:36:08 are recognised.",
    ),
    click.option(
        "--type-words",
        help="Meaning of the values in the type column, e.g. 100=CheckIn,200=CheckOut,255=None.",
    ),
    click.option("--input-words", help="Meaning of the values in the input column, e.g. F=Face,C=Card."),
    click.option(
        "--default-type",
        help="Punch type for rows that have none, e.g. CheckIn. By default, the type is omitted.",
    ),
    click.option(
        "--default-input",
        help="InputType of rows without an input type, e.g. Fingerprint. By default, it is left out.",
    ),
    click.option(
        "--state",
        type=click.Path(path_type=Path),
        help="File that stores the connector's position. The default is connector-STGID.connector.json in the "
        "current folder.",
    ),
    click.option(
        "--rejects",
        type=click.Path(path_type=Path),
        help="File for rows that can't be read. The default is connector-STGID.rejects.jsonl.",
    ),
    click.option(
        "--memory",
        type=click.Path(path_type=Path),
        help="File that records which rows were sent, so that they aren't sent again if a file is exported "
        "again. The default is connector-STGID.sent.db.",
    ),
    click.option("--no-memory", is_flag=True, help="Send rows even if they have already been sent."),
    click.option(
        "--poll",
        type=click.FloatRange(0.05, 3600),
        default=2.0,
        show_default=True,
        help="Seconds between checks for new rows.",
    ),
    click.option(
        "--once", is_flag=True, help="Exit when there are no new rows, instead of waiting for more."
    ),
)
