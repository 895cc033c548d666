"""Builds the parts of a connector from its options. All functions raise Stop, with a message, if an option is wrong."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from app.connector import words
from app.connector.callbacks import Device
from app.connector.errors import Stop
from app.connector.rows import Reader
from app.connector.targets import OneDevice, Target, Targets, read_devices
from app.connector.times import Times
from app.connector.words import Unknown, Words
from app.gateway.cipher import SecurityKey


def unknown() -> Unknown:
    """Return a counter of unknown values, which logs each value when it first occurs."""
    return Unknown()


def targets(shared: Mapping[str, Any], values: Unknown, *, is_trial: bool = False) -> Targets:
    """Return the devices that rows can come from, from --devices or --stgid.

    A trial needs neither their secrets nor a Service Tag ID.
    """
    if shared["devices"] is not None:
        if shared["stgid"] is not None:
            raise Stop("--stgid and --devices can't be combined. Use one of them")
        return read_devices(
            shared["devices"],
            lambda name, said: _listed(
                name, said, shared, values, None if is_trial else shared["devices"].parent
            ),
        )
    reader = _reader(shared, shared["zone"], values)
    device = _without_secrets(shared["stgid"] or "", shared) if is_trial else _device(shared)
    return OneDevice(Target(device, reader), device_names(shared))


def device_names(shared: Mapping[str, Any]) -> list[str]:
    """Return the names that a device column can contain for the device of --stgid."""
    given = shared["device_names"]
    if given is not None:
        return [name.strip() for name in given.split(",") if name.strip()]
    return [name for name in (shared["stgid"], shared["serial"]) if name]


def receiver_url(text: str) -> str:
    """Check and return the URL of --to, which may be in an environment variable (env:ITS_NAME)."""
    if text.startswith("env:"):
        name, text = text[4:], os.environ.get(text[4:], "")
        if not text:
            raise Stop(f"{name} is not set. Set it to the callback URL")
    try:
        parts = urlsplit(text)
        good = parts.scheme in ("http", "https") and parts.hostname and (parts.port or True)
    except ValueError:
        good = False
    if not good:
        raise Stop("--to is not a URL; use, for example, https://relay.example.com/callback")
    return text


def secret(option: str, variable: str | None, file: Path | None, *, required: bool = True) -> str | None:
    """Read a secret from the file or, without a file, from the environment variable. None if there is none."""
    if file is not None:
        try:
            return file.read_text(encoding="utf-8").strip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            raise Stop(f"{option}-file: {file} can't be read ({error})") from None
    found = os.environ.get(variable, "") if variable else ""
    if required and not found:
        raise Stop(f"{variable} is not set. Set it, or give a file with {option}-file")
    return found or None


def time_zone(option: str, name: str | None) -> ZoneInfo | None:
    """Return the time zone with this name; None without a name."""
    try:
        return ZoneInfo(name) if name else None
    except (KeyError, ValueError, OSError):
        raise Stop(
            f"{option}: {name!r} is not a time zone; use, for example, Asia/Kolkata or Europe/London"
        ) from None


def _reader(shared: Mapping[str, Any], zone: str | None, values: Unknown) -> Reader:
    for option, known in (("default_type", words.PUNCH_TYPES), ("default_input", words.INPUT_TYPES)):
        if shared[option] not in (None, *known):
            raise Stop(
                f"--{option.replace('_', '-')}: {shared[option]!r} is not valid. Use one of: {', '.join(known)}"
            )
    times = Times(
        time_zone("--timezone", zone),
        shared["time_formats"],
        time_zone("--source-timezone", shared["source_zone"]),
    )
    types, inputs = shared["type_words"], shared["input_words"]
    return Reader(
        times,
        Words(
            "type",
            words.TYPE_WORDS,
            words.read_words(types, words.PUNCH_TYPES, "--type-words") if types else {},
        ),
        Words(
            "input",
            words.INPUT_WORDS,
            words.read_words(inputs, words.INPUT_TYPES, "--input-words") if inputs else {},
        ),
        shared["default_type"],
        shared["default_input"],
        values,
    )


def _device(shared: Mapping[str, Any]) -> Device:
    stgid = shared["stgid"]
    if not stgid:
        raise Stop("--stgid is missing. Set it to the device's Service Tag ID, or use --devices with a file")
    token = secret("--auth-token", shared["auth_token_env"], shared["auth_token_file"])
    key = secret("--security-key", shared["security_key_env"], shared["security_key_file"], required=False)
    return Device(stgid, token or "", shared["serial"] or stgid, shared["label"] or stgid, _key(key))


def _without_secrets(stgid: str, said: Mapping[str, Any]) -> Device:
    """A device whose secrets aren't read, because nothing is sent."""
    return Device(stgid, "", said.get("serial") or stgid, said.get("label") or stgid)


def _key(text: str | None) -> SecurityKey | None:
    try:
        return None if text is None else SecurityKey(text)
    except ValueError as error:
        raise Stop(str(error)) from None


def _listed(
    name: str, said: Mapping[str, str], shared: Mapping[str, Any], values: Unknown, folder: Path | None
) -> Target:
    """Return one device of the --devices file.

    File names in it are relative to `folder`, which is None for a trial, because secrets aren't read then.
    """

    def secret_of(what: str, *, required: bool) -> str | None:
        file = said.get(f"{what}_file")
        if what in said:
            return said[what]
        variable = said.get(f"{what}_env")
        if file is None and variable is None:
            if required:
                raise Stop(f"--devices: {name} has no {what}. Set {what}_env, {what}_file or {what}")
            return None
        return secret(f"--devices: {name}, {what}", variable, folder / file if folder and file else None)

    stgid = said.get("stgid", name)
    reader = _reader(shared, said.get("timezone", shared["zone"]), values)
    if folder is None:
        return Target(_without_secrets(stgid, said), reader)
    token = secret_of("auth_token", required=True)
    key = _key(secret_of("security_key", required=False))
    device = Device(stgid, token or "", said.get("serial", stgid), said.get("label", stgid), key)
    return Target(device, reader)
