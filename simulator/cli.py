"""`cams-relay simulator` runs a virtual gateway; `cams-relay simulate …` uses its devices.

What a command needs is imported by it, for `cams-relay --help` reads this module, too.
"""

from __future__ import annotations

import os
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


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Where to listen.")
@click.option("--port", default=8090, show_default=True, help="0 takes a free port.")
@click.option(
    "--relay-url", default="http://127.0.0.1:8000", show_default=True, help="Callbacks go to its /callback."
)
@click.option("--device", "stgid", default=DEFAULT_DEVICE, show_default=True, help="The device's stgid.")
@click.option("--no-device", is_flag=True, help="Start without a device.")
@click.option("--interval", default=5.0, show_default=True, help="Seconds between its own punches; 0: none.")
@click.option("--auth-token", envvar="SIMULATOR_AUTH_TOKEN", help="32 characters; made up if left out.")
@click.option("--security-key", envvar="SIMULATOR_SECURITY_KEY", help="32 bytes: encrypt everything.")
@click.option("--delay", default=0.05, show_default=True, help="Seconds until a command is answered.")
def simulator(
    host: str,
    port: int,
    relay_url: str,
    stgid: str,
    no_device: bool,
    interval: float,
    auth_token: str | None,
    security_key: str | None,
    delay: float,
) -> None:
    """Run a virtual Cams gateway, with a virtual device that punches by itself."""
    from simulator.gateway import Gateway
    from simulator.life import Life
    from simulator.people import staff
    from simulator.serving import SimulatorServer

    gateway = Gateway(relay_url)
    try:
        server = SimulatorServer(gateway, host, port)
    except OSError as error:
        why = os.strerror(error.errno) if error.errno else str(error)
        raise click.ClickException(f"cannot listen on {host}:{port}: {why}") from error
    with server:
        click.echo(f"virtual gateway: {server.url}, commands at {server.command_url()}")
        if not no_device:
            spec = _spec(stgid, auth_token, security_key, delay)
            device = gateway.add_device(spec)
            staff(device)
            made_up = "" if auth_token else f", auth token {spec.auth_token}"
            click.echo(f"virtual device: {spec.label}, stgid {spec.stgid}{made_up}")
            if interval > 0:
                Life(device, interval).start()
        _wait_for_signal()


@click.group()
def simulate() -> None:
    """Do something at a virtual device."""


def _target(command: Callable[..., None]) -> Callable[..., None]:
    """The two options that every `simulate` command has."""
    device = click.option("--device", "stgid", help="A device's stgid; the first one if left out.")
    url = click.option(
        "--url",
        envvar="SIMULATOR_URL",
        default="http://127.0.0.1:8090",
        show_default=True,
        help="The simulator.",
    )
    return url(device(command))


@simulate.command()
@_target
@click.option("--user", "user_id", required=True)
@click.option(
    "--type", "kind", default="check_in", show_default=True, help="check_in, check_out, break_out …"
)
@click.option(
    "--input", "input_type", default="fingerprint", show_default=True, help="fingerprint, face, card …"
)
@click.option("--temperature", type=float, help="Degrees Celsius.")
@click.option("--face-mask/--no-face-mask", default=None)
@click.option("--at", help="ISO 8601; without an offset the device's own. Default: now.")
@click.option("--photo", is_flag=True, help="With a photo.")
def punch(url: str, stgid: str | None, **options: Any) -> None:
    """Somebody punches."""
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
    "--credential", "credentials", multiple=True, help="card, password, fingerprint …; may be repeated."
)
def user(
    url: str, stgid: str | None, user_id: str, credentials: tuple[str, ...], **names: str | None
) -> None:
    """Somebody makes or changes a user at the device."""
    done = _act(url, stgid, "user", _given(user_id=user_id, credentials=list(credentials), **names))
    with_what = f" with {', '.join(done['credentials'])}" if done["credentials"] else ""
    click.echo(f"{done['device']}: user {done['user_id']} updated{with_what}")


@simulate.command()
@_target
@click.option("--user", "user_id", required=True)
def photo(url: str, stgid: str | None, user_id: str) -> None:
    """The camera takes a picture of somebody punching."""
    done = _act(url, stgid, "photo", {"user_id": user_id})
    click.echo(f"{done['device']}: photo of user {done['user_id']}, {done['size_bytes']} bytes")


@simulate.command()
@_target
@click.option("--timeout", is_flag=True, help="Stay connected, but acknowledge no command.")
def offline(url: str, stgid: str | None, timeout: bool) -> None:
    """The device loses its connection."""
    shown = _switch(url, stgid, {"timeout": True} if timeout else {"online": False})
    click.echo(f"{shown['label']}: {'acknowledges nothing' if timeout else 'offline'}")


@simulate.command()
@_target
def online(url: str, stgid: str | None) -> None:
    """The device is back and hands over what it kept."""
    shown = _switch(url, stgid, {"online": True, "timeout": False})
    click.echo(f"{shown['label']}: online, {shown['queue_length']} callbacks on their way")


@simulate.command()
@_target
@click.option("--rate", type=float, help="Punches a second; as fast as it goes if left out.")
@click.option("--count", type=int)
@click.option("--seconds", type=float)
def flood(url: str, stgid: str | None, rate: float | None, count: int | None, seconds: float | None) -> None:
    """Many different punches."""
    done = _act(url, stgid, "flood", _given(rate=rate, count=count, seconds=seconds))
    speed = f"{rate:g} a second" if rate else "as fast as it goes"
    click.echo(f"{done['device']}: {done['count']} punches, {speed}")


@simulate.command()
@_target
@click.option("--count", default=10, show_default=True)
def batch(url: str, stgid: str | None, count: int) -> None:
    """A historical batch in one callback."""
    done = _act(url, stgid, "batch", {"count": count})
    click.echo(f"{done['device']}: a batch of {done['count']} punches")


@simulate.command()
@click.option("--url", envvar="SIMULATOR_URL", default="http://127.0.0.1:8090", show_default=True)
def devices(url: str) -> None:
    """List the virtual devices."""
    for shown in _call("GET", f"{url}/control/devices"):
        state = "online" if shown["online"] else "offline"
        click.echo(
            f"{shown['stgid']}  {shown['label']}  {shown['mode']}  {state}  users {len(shown['users'])}"
            f"  logs {shown['log_count']}  queue {shown['queue_length']}"
            f"  acknowledged {shown['acknowledged']}"
        )


def _spec(stgid: str, auth_token: str | None, security_key: str | None, delay: float) -> DeviceSpec:
    from simulator.spec import DeviceSpec

    label = DEFAULT_LABEL if stgid == DEFAULT_DEVICE else f"{stgid} (virtual)"
    try:
        return DeviceSpec(
            stgid,
            auth_token or "",
            label=label,
            security_key=security_key or None,
            delay_seconds=delay,
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
            raise click.ClickException("the simulator has no device")
        stgid = known[0]["stgid"]
    return f"{url}/control/devices/{stgid}"


def _call(method: str, url: str, body: object = None) -> Any:
    """One call of the control API. Its errors, and a simulator that does not run, end in one sentence."""
    import requests

    try:
        with requests.Session() as session:
            session.trust_env = False
            answer = session.request(method, url, json=body, timeout=_TIMEOUT_SECONDS)
            shown = answer.json()
    except requests.ConnectionError as error:
        raise click.ClickException(f"no simulator at {url}; start one with: cams-relay simulator") from error
    except (requests.RequestException, ValueError) as error:
        raise click.ClickException(f"{url} does not answer like a simulator: {error}") from error
    if not answer.ok:
        raise click.ClickException(str(shown.get("detail", shown)))
    return shown
