"""`cams-relay simulator` runs the simulator; `cams-relay simulate …` uses its devices.

What a command needs is imported by it, for `cams-relay --help` reads this module, too.
"""

from __future__ import annotations

import os
import shlex
import signal
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from simulator.spec import DeviceSpec

DEFAULT_DEVICE = "VIRTUAL01"
DEFAULT_LABEL = "Front Door (virtual)"
_TIMEOUT_SECONDS = 30
_PORT = 8090
_RELAY_PORT = "8000"


def _switches(command: Callable[..., None]) -> Callable[..., None]:
    """The switches that a device has in the API Monitor, and how strictly its commands are checked."""
    for option in (
        click.option(
            "--lenient/--strict",
            default=None,
            help="Whether commands may lack OperationID and Time. A new device is strict.",
        ),
        click.option(
            "--callbacks",
            help="What the device reports, separated by commas: punches, photos, users, deletions, time. "
            "A new device reports everything.",
        ),
        click.option(
            "--api-version",
            type=click.Choice(["3.0", "2.0", "1.0"]),
            help="Version of the Web API whose callbacks the device sends. A new device has 3.0.",
        ),
    ):
        command = option(command)
    return command


def _settings(api_version: str | None, callbacks: str | None, lenient: bool | None) -> dict[str, Any]:
    """Return the settings of a device that the switches name."""
    kinds = None if callbacks is None else [name.strip() for name in callbacks.split(",") if name.strip()]
    return _given(api_version=api_version, callbacks=kinds, lenient=lenient)


@click.group(invoke_without_command=True)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port", default=_PORT, show_default=True, help="Port to listen on. With 0, a free port is chosen."
)
@click.option(
    "--relay-url",
    default="http://127.0.0.1:8000",
    show_default=True,
    help="URL of the relay. Callbacks are sent to its /callback.",
)
@click.option("--device", "stgid", default=DEFAULT_DEVICE, show_default=True, help="The device's stgid.")
@click.option("--no-device", is_flag=True, help="Start without a device.")
@click.option(
    "--interval",
    default=5.0,
    show_default=True,
    help="Seconds between automatic punches. With 0, there are none.",
)
@click.option(
    "--auth-token",
    envvar="SIMULATOR_AUTH_TOKEN",
    help="The device's AuthToken, 32 characters. By default, one is generated.",
)
@click.option(
    "--security-key",
    envvar="SIMULATOR_SECURITY_KEY",
    help="The device's Security Key, 32 bytes. If set, callbacks and commands are encrypted.",
)
@click.option(
    "--control-host",
    "control_hosts",
    multiple=True,
    help="A host name that the control API accepts in addition to loopback names. You can repeat this option.",
)
@click.option(
    "--delay", default=0.05, show_default=True, help="Seconds before the device responds to a command."
)
@_switches
@click.pass_context
def simulator(
    context: click.Context,
    host: str,
    port: int,
    relay_url: str,
    stgid: str,
    no_device: bool,
    interval: float,
    auth_token: str | None,
    security_key: str | None,
    control_hosts: tuple[str, ...],
    delay: float,
    api_version: str | None,
    callbacks: str | None,
    lenient: bool | None,
) -> None:
    """Run a simulated Cams gateway. Its simulated device punches automatically."""
    if context.invoked_subcommand is not None:
        return
    from simulator.gateway import Gateway
    from simulator.life import Life
    from simulator.people import staff
    from simulator.serving import SimulatorServer

    gateway = Gateway(relay_url)
    try:
        server = SimulatorServer(gateway, host, port, control_hosts)
    except OSError as error:
        why = os.strerror(error.errno) if error.errno else str(error)
        raise click.ClickException(f"cannot listen on {host}:{port}: {why}") from error
    with server:
        click.echo(f"simulated gateway: {server.url}, commands at {server.command_url()}")
        if not no_device:
            spec = _spec(stgid, auth_token, security_key, delay, _settings(api_version, callbacks, lenient))
            device = gateway.add_device(spec)
            staff(device)
            made_up = "" if auth_token else f", auth token {spec.auth_token}"
            click.echo(f"simulated device: {spec.label}, stgid {spec.stgid}{made_up}")
            if interval > 0:
                Life(device, interval).start()
        _wait_for_signal()


@click.group()
def simulate() -> None:
    """Make a simulated device do something."""


def _target(command: Callable[..., None]) -> Callable[..., None]:
    """The two options that every `simulate` command has."""
    device = click.option("--device", "stgid", help="The device's stgid. The default is the first device.")
    url = click.option(
        "--url",
        envvar="SIMULATOR_URL",
        default="http://127.0.0.1:8090",
        show_default=True,
        help="URL of the simulator.",
    )
    return url(device(command))


@simulate.command()
@_target
@click.option("--user", "user_id", required=True)
@click.option(
    "--type",
    "kind",
    default="check_in",
    show_default=True,
    help="Punch type, such as check_in, check_out or break_out.",
)
@click.option(
    "--input",
    "input_type",
    default="fingerprint",
    show_default=True,
    help="Input type, such as fingerprint, face or card.",
)
@click.option("--temperature", type=float, help="Degrees Celsius.")
@click.option("--face-mask/--no-face-mask", default=None)
@click.option(
    "--at",
    help="Time of the punch (ISO 8601). Without an offset, the device's time zone is used. "
    "The default is the current time.",
)
@click.option("--photo", is_flag=True, help="Send a photo as well.")
def punch(url: str, stgid: str | None, **options: Any) -> None:
    """Simulate a punch."""
    body = _given(user_id=options["user_id"], type=options["kind"], input_type=options["input_type"])
    body |= _given(temperature=options["temperature"], face_mask=options["face_mask"], at=options["at"])
    done = _act(url, stgid, "punch", body | {"photo": options["photo"]})
    click.echo(f"{done['device']}: user {done['user_id']} {done['type']} at {done['log_time']}")


@simulate.command()
@_target
@click.option("--user", "user_id", required=True)
@click.option("--first-name")
@click.option("--last-name")
@click.option("--user-type", type=click.Choice(["user", "admin"]))
@click.option(
    "--credential",
    "credentials",
    multiple=True,
    help="Credential to add, such as card, password or fingerprint. You can repeat this option.",
)
def user(
    url: str, stgid: str | None, user_id: str, credentials: tuple[str, ...], **names: str | None
) -> None:
    """Simulate adding or changing a user on the device."""
    done = _act(url, stgid, "user", _given(user_id=user_id, credentials=list(credentials), **names))
    with_what = f" with {', '.join(done['credentials'])}" if done["credentials"] else ""
    click.echo(f"{done['device']}: user {done['user_id']} updated{with_what}")


@simulate.command()
@_target
@click.option("--user", "user_id", required=True)
def photo(url: str, stgid: str | None, user_id: str) -> None:
    """Simulate a photo taken when a user punches."""
    done = _act(url, stgid, "photo", {"user_id": user_id})
    click.echo(f"{done['device']}: photo of user {done['user_id']}, {done['size_bytes']} bytes")


@simulate.command()
@_target
@click.option("--timeout", is_flag=True, help="Stay connected, but don't acknowledge commands.")
def offline(url: str, stgid: str | None, timeout: bool) -> None:
    """Disconnect the device."""
    shown = _switch(url, stgid, {"timeout": True} if timeout else {"online": False})
    click.echo(f"{shown['label']}: {'not acknowledging commands' if timeout else 'offline'}")


@simulate.command()
@_target
def online(url: str, stgid: str | None) -> None:
    """Reconnect the device, which then sends its stored data."""
    shown = _switch(url, stgid, {"online": True, "timeout": False})
    click.echo(f"{shown['label']}: online, {shown['queue_length']} callbacks to send")


@simulate.command()
@_target
@click.option("--rate", type=float, help="Punches per second. The default is as fast as possible.")
@click.option("--count", type=int)
@click.option("--seconds", type=float)
def flood(url: str, stgid: str | None, rate: float | None, count: int | None, seconds: float | None) -> None:
    """Simulate many different punches."""
    done = _act(url, stgid, "flood", _given(rate=rate, count=count, seconds=seconds))
    speed = f"{rate:g} per second" if rate else "as fast as possible"
    click.echo(f"{done['device']}: {done['count']} punches, {speed}")


@simulate.command()
@_target
@click.option("--count", default=10, show_default=True)
def batch(url: str, stgid: str | None, count: int) -> None:
    """Send a batch of past punches in one callback."""
    done = _act(url, stgid, "batch", {"count": count})
    click.echo(f"{done['device']}: a batch of {done['count']} punches")


@simulate.command()
@_target
@_switches
def switch(url: str, stgid: str | None, **switches: Any) -> None:
    """Change which callbacks a device sends, and how. Also changes what it accepts."""
    settings = _settings(**switches)
    if not settings:
        raise click.ClickException(
            "nothing to change. Set --callbacks, --api-version, or --lenient or --strict"
        )
    shown = _switch(url, stgid, settings)
    reports = ", ".join(shown["callbacks"]) or "nothing"
    checks = "lenient" if shown["lenient"] else "strict"
    click.echo(f"{shown['label']}: version {shown['api_version']}, reports {reports}, {checks}")


@simulate.command()
@click.option("--url", envvar="SIMULATOR_URL", default="http://127.0.0.1:8090", show_default=True)
def devices(url: str) -> None:
    """List the simulated devices."""
    for shown in _call("GET", f"{url}/control/devices"):
        state = "online" if shown["online"] else "offline"
        click.echo(
            f"{shown['stgid']}  {shown['label']}  {shown['mode']}  {state}  users {len(shown['users'])}"
            f"  logs {shown['log_count']}  queue {shown['queue_length']}"
            f"  acknowledged {shown['acknowledged']}"
        )


def _spec(
    stgid: str, auth_token: str | None, security_key: str | None, delay: float, settings: dict[str, Any]
) -> DeviceSpec:
    from simulator.spec import DeviceSpec

    label = DEFAULT_LABEL if stgid == DEFAULT_DEVICE else f"{stgid} (virtual)"
    try:
        return DeviceSpec(
            stgid,
            auth_token or "",
            label=label,
            security_key=security_key or None,
            delay_seconds=delay,
            **settings,
        )
    except ValueError as error:
        raise click.ClickException(str(error)) from error


def _wait_for_signal() -> None:
    """Return on SIGTERM or Ctrl-C."""
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    ended.wait()


def _given(**values: object) -> dict[str, object]:
    return {name: value for name, value in values.items() if value is not None}


def _act(url: str, stgid: str | None, action: str, body: dict[str, object]) -> Any:
    return _call("POST", f"{_device_url(url, stgid)}/{action}", body)


def _switch(url: str, stgid: str | None, change: dict[str, object]) -> Any:
    return _call("PATCH", _device_url(url, stgid), change)


def _device_url(url: str, stgid: str | None) -> str:
    if stgid is None:
        known = _call("GET", f"{url}/control/devices")
        if not known:
            raise click.ClickException("the simulator has no devices")
        stgid = known[0]["stgid"]
    return f"{url}/control/devices/{stgid}"


def _how_to_start(url: str) -> str:
    """Say which command starts a simulator at the URL whose callbacks the relay accepts."""
    from pathlib import Path
    from urllib.parse import urlsplit

    relay_port = os.environ.get("PORT") or _RELAY_PORT
    command = f"cams-relay simulator --relay-url http://127.0.0.1:{relay_port}"
    port = urlsplit(url).port
    if port not in (None, _PORT):
        command += f" --port {port}"
    token_file = Path(os.environ.get("RELAY_DATA_DIR") or ".data") / "virtual_device_token"
    if token_file.is_file():
        token = f'"$(cat {shlex.quote(str(token_file))})"'
        whose = f"The AuthToken is that of {DEFAULT_DEVICE}, which `cams-relay up` has registered."
    else:
        token = "AUTH_TOKEN"
        whose = f"First register {DEFAULT_DEVICE} with this AuthToken (32 characters) in the relay's console."
    return (
        "`cams-relay up` starts one only while no other device is registered. To start one yourself, run "
        f"`{command} --auth-token {token}`, with the URL of your relay. {whose}"
    )


def _call(method: str, url: str, body: object = None) -> Any:
    """One call of the control API. Its errors, and a simulator that does not run, end in one sentence."""
    import requests

    try:
        with requests.Session() as session:
            session.trust_env = False
            answer = session.request(method, url, json=body, timeout=_TIMEOUT_SECONDS)
            shown = answer.json()
    except requests.ConnectionError as error:
        raise click.ClickException(
            f"there is no simulator at {url.partition('/control/')[0]}. {_how_to_start(url)}"
        ) from error
    except (requests.RequestException, ValueError) as error:
        raise click.ClickException(f"{url} doesn't respond like a simulator: {error}") from error
    if not answer.ok:
        raise click.ClickException(str(shown.get("detail", shown)))
    return shown
