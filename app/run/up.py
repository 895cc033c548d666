"""`cams-relay up`: runs everything on one machine, and prints what to do next."""

from __future__ import annotations

import errno
import logging
import os
import secrets
import socket
import sys
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import click
import redis
import requests

from app.base import simulated_device_request
from app.base.addresses import SETTING, AddressGuard
from app.base.log import configure
from app.base.throttle import OnceAMinute
from app.health.disk_checks import unwritable
from app.run.dead_url import DeadUrl
from app.run.supervisor import Supervisor
from app.run.tunnel import Change, Tunnel
from app.settings import readers as setting_readers
from app.settings.own_url import local_url
from app.settings.running_up import LOCK, set_tunnel_url
from app.settings.table import Settings
from app.store import Store, StoreRefused
from app.store.devices.registry import DeviceExists
from app.store.server.embedded import lock, private_file
from app.store.upkeep.public_url_reports import PublicUrlReport
from simulator.cli import DEFAULT_DEVICE, DEFAULT_LABEL

log = logging.getLogger("relay.up")

_STORE_SECONDS = 30.0  # waiting for the answer of a store that we don't run
_SAY_SECONDS = 10.0
_SIMULATOR_PORT = 8090
_IMAGE_DATA_DIR = Path("/data")  # see the Dockerfile
_once = OnceAMinute()


def run(settings: Settings, program: str, *, with_simulator: bool, tunnel: str | None = None) -> None:
    """Run until Ctrl-C or SIGTERM. `program` is the name that the user called, for texts with commands.

    `tunnel` is the name of a tunnel to start.
    """
    if tunnel is not None and settings.public_url:
        raise click.ClickException(
            f"RELAY_PUBLIC_URL={settings.public_url} is set, so no tunnel is needed. Unset it, or leave out --tunnel"
        )
    configure("warning", settings.log_format)
    # Found out now, although the console may request the simulator later: the workers must know it.
    os.environ[simulated_device_request.GATEWAY_PORT] = str(_free_port(_simulator_port()))
    if problem := unwritable(settings.data_dir):
        raise click.ClickException(problem)
    locked = _lock(settings)
    set_tunnel_url(settings.data_dir, None)  # of an `up` that was killed
    _check_port(settings.host, settings.port, "PORT")
    had_key = (settings.data_dir / "api_key").exists()
    try:
        store = Store(settings)
    except StoreRefused as error:
        raise click.ClickException(str(error)) from None
    supervisor = Supervisor([locked])
    supervisor.handle_signals()
    click.echo(f"Starting {'' if settings.redis_url else 'the store, '}the web process and the worker")
    opened = None
    try:
        if settings.redis_url is None:
            supervisor.add("store", "app", "store", last=True)
        _await_store(store, supervisor)
        # Not earlier, so that no key is created in a folder whose store must not be used.
        first_time = (
            not supervisor.stopping and store.api_keys.has_first and settings.api_key is None and not had_key
        )
        simulated_device_request.take(settings.data_dir)  # an earlier request that no `up` carried out
        simulated_device_request.stopped(settings.data_dir)
        if tunnel is not None and not supervisor.stopping:
            click.echo(f"Starting {tunnel}")
            opened = Tunnel(tunnel, local_url(settings), lambda: supervisor.stopping)
            if opened.url:
                settings = replace(settings, public_url=opened.url)
                os.environ["RELAY_PUBLIC_URL"] = opened.url  # for the processes that are started from now on
                with suppress(OSError):  # on a full disk, other commands don't know it
                    set_tunnel_url(settings.data_dir, opened.url)
        supervisor.add(
            "web", "app", "web", environment={"HOST": settings.host, simulated_device_request.UNDER_UP: "1"}
        )
        # The worker starts before the simulated device, so that the first event is delivered at once.
        supervisor.add_worker(1, {"RELAY_LIVE": "1"})
        if not supervisor.stopping:
            _await_web(settings, supervisor)
        if not supervisor.stopping:
            _add_backups(settings, supervisor)
            virtual = with_simulator and _start_simulator(settings, store, supervisor)
            click.echo(_screen(settings, store, program, first_time, virtual))
            dead = DeadUrl(store.public_url_reports.read)
            supervisor.run(lambda: _each_turn(settings, store, supervisor, opened, dead))
    finally:
        supervisor.stop()
        if opened is not None:
            set_tunnel_url(settings.data_dir, None)
            opened.stop()


def _add_backups(settings: Settings, supervisor: Supervisor) -> None:
    """Start the process that makes backups, if RELAY_BACKUP_TO is set."""
    plan = settings.backups
    if plan.to is not None:
        options = ("--to", str(plan.to), "--every", f"{plan.every / 60:.0f}m", "--keep", str(plan.keep))
        supervisor.add("backups", "app", "backup", *options)


def _lock(settings: Settings) -> int:
    """Return a lock that all child processes inherit: after a kill, some live on for a moment and use the port."""
    locked = lock(settings.data_dir / LOCK)
    if locked is None:
        raise click.ClickException(
            f"another `cams-relay up` is using RELAY_DATA_DIR={settings.data_dir}. Stop it, or choose another "
            "folder, for example RELAY_DATA_DIR=.data2"
        )
    os.utime(locked)  # `/health` and `doctor` see when it was started
    return locked


def _each_turn(
    settings: Settings, store: Store, supervisor: Supervisor, tunnel: Tunnel | None, dead: DeadUrl
) -> None:
    try:
        _grant(settings, store, supervisor)
    except (OSError, redis.RedisError) as error:
        _once.say_failure(log, error, "the simulated device can't be started or stopped")
    if tunnel is not None:
        _watch_tunnel(settings, store, supervisor, tunnel, dead)


def _watch_tunnel(
    settings: Settings, store: Store, supervisor: Supervisor, tunnel: Tunnel, dead: DeadUrl
) -> None:
    """Restart the tunnel if its URL is dead. Make all processes use its new URL after a restart."""
    former = tunnel.url
    change = tunnel.check()
    if change is None and tunnel.url and dead.is_dead(tunnel.url):
        change = tunnel.restart()
    if change is None:
        return
    if change is Change.ENDED:
        # Other commands still see the former URL, so `doctor` says that it doesn't work.
        _report_tunnel(
            store,
            former,
            f"RELAY_PUBLIC_URL={former} doesn't work, because the tunnel ended. The gateway can't reach the relay "
            "until the tunnel has been started again. This is tried automatically.",
        )
        return
    with suppress(OSError):  # on a full disk, other commands don't know it
        set_tunnel_url(settings.data_dir, tunnel.url)
    if change is Change.BACK:
        _report_tunnel(store, tunnel.url, None)
        log.warning("%s works again", tunnel.url)
    elif change is Change.MOVED:
        log.warning(
            "the tunnel has a new URL: %s; update the Callback URL of each device in the API Monitor",
            tunnel.url,
        )
        os.environ["RELAY_PUBLIC_URL"] = tunnel.url
        supervisor.restart(("web", "dispatcher", "jobs"), {"RELAY_PUBLIC_URL": tunnel.url})


def _report_tunnel(store: Store, url: str, problem: str | None) -> None:
    """Make `/health` say at once whether the tunnel's URL works, because a worker may only check it in five minutes."""
    with suppress(redis.RedisError, OSError):  # then the worker's next check says it
        before = store.public_url_reports.read()
        if problem and before is not None and before.url == url and before.problem:
            return  # a worker has noticed it earlier
        now = time.time()
        store.public_url_reports.write(PublicUrlReport(now, url, problem, None if problem is None else now))


def _grant(settings: Settings, store: Store, supervisor: Supervisor) -> None:
    """Stop or start the simulated device if somebody has requested it."""
    if simulated_device_request.must_stop(settings.data_dir):
        supervisor.end("simulator")
        simulated_device_request.stopped(settings.data_dir)
    if simulated_device_request.take(settings.data_dir) and all(
        child.name != "simulator" for child in supervisor.children
    ):
        _start_simulator(settings, store, supervisor)


def _check_port(host: str, port: int, name: str) -> None:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
                raise click.ClickException(
                    f"HOST={host}: this is not an address of this machine. Use 127.0.0.1, or 0.0.0.0 for all "
                    "addresses"
                ) from None
            raise click.ClickException(
                f"{name}={port}: can't listen on {host}:{port} ({error.strerror}). Try {name}={port + 1}"
            ) from None


def _await_store(store: Store, supervisor: Supervisor) -> None:
    waiting = _Waiting(supervisor, "store")
    while not supervisor.stopping:
        try:
            store.admission.check()
            return
        except StoreRefused as error:
            raise click.ClickException(str(error)) from None
        except (redis.RedisError, OSError) as error:
            if waiting.seconds > _STORE_SECONDS and store.settings.redis_url is not None:
                raise click.ClickException(
                    f"the store at REDIS_URL can't be reached: {type(error).__name__}. Start it, or correct "
                    "REDIS_URL"
                ) from None
            waiting.turn()


def _await_web(settings: Settings, supervisor: Supervisor) -> None:
    waiting = _Waiting(supervisor, "web")
    while not supervisor.stopping:
        with suppress(requests.RequestException):
            if requests.get(f"{local_url(settings)}/health", timeout=2).ok:
                return
        waiting.turn()


class _Waiting:
    """Waits until a child is ready, as long as it lives. A slow or busy machine may take a minute."""

    def __init__(self, supervisor: Supervisor, name: str) -> None:
        self._name = name
        self._child = next((child for child in supervisor.children if child.name == name), None)
        self._began = time.monotonic()
        self._said = self._began

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._began

    def turn(self) -> None:
        """Wait a moment. Raises ClickException if the child has ended."""
        process = None if self._child is None else self._child.process
        status = None if process is None else process.poll()
        if status is not None:
            raise click.ClickException(f"the {self._name} process ended ({status}). See its messages above")
        if time.monotonic() - self._said >= _SAY_SECONDS:
            self._said = time.monotonic()
            click.echo(f"waiting for the {self._name} process ({self.seconds:.0f} s so far)", err=True)
        time.sleep(0.05)


def _start_simulator(settings: Settings, store: Store, supervisor: Supervisor) -> bool:
    """Register and start the simulated device, unless a real one is registered; return whether it was started."""
    known = set(store.devices.ids())
    if known - {DEFAULT_DEVICE} or (known and DEFAULT_DEVICE not in store.devices.simulated.ids()):
        return False
    token = private_file(settings.data_dir / "virtual_device_token", secrets.token_hex(16))
    port = os.environ[simulated_device_request.GATEWAY_PORT]
    gateway_url = f"http://{simulated_device_request.GATEWAY_HOST}:{port}/external/api3.0/biometric"
    record = {
        "device_id": DEFAULT_DEVICE,
        "gateway_url": gateway_url,
        "label": DEFAULT_LABEL,
        "serial_number": DEFAULT_DEVICE,
        "mode": "native",
        "timezone": "UTC",
        "simulated": True,
    }
    try:
        store.devices.register(record, {"auth_token": token, "security_key": None})
    except DeviceExists:
        store.devices.change(DEFAULT_DEVICE, {"gateway_url": gateway_url}, {"auth_token": token})
    supervisor.add(
        "simulator",
        "simulator",
        *("--port", port, "--relay-url", local_url(settings)),
        environment={"SIMULATOR_AUTH_TOKEN": token},
    )
    os.environ["SIMULATOR_URL"] = f"http://127.0.0.1:{port}"
    return True


def _simulator_port() -> int:
    text = os.environ.get("SIMULATOR_PORT", "").strip() or str(_SIMULATOR_PORT)
    try:
        return setting_readers.whole(0, 65_535)(text)
    except ValueError as error:
        raise click.ClickException(
            f"SIMULATOR_PORT: {text[:80]!r} {error}; use, for example, SIMULATOR_PORT={_SIMULATOR_PORT}"
        ) from None


def _free_port(wanted: int) -> int:
    """Return `wanted`, or any free port if that is in use."""
    for port in (wanted, 0):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                return int(probe.getsockname()[1])
            except OSError:
                continue
    return wanted


def bold(text: str) -> str:
    return click.style(text, bold=True)


def _how_to_be_reachable(program: str) -> list[str]:
    return [
        "  The URL above works on this machine only. To make the relay reachable from the internet, start it with a "
        "tunnel that is installed:",
        f"      {program} up --tunnel cloudflared",
        f"      {program} up --tunnel ngrok",
        "",
    ]


def _how_to_subscribe(url: str, allow_private_targets: str) -> list[str]:
    here = AddressGuard(allow_private_targets).permits("127.0.0.1")
    target = "http://127.0.0.1:9000/" if here else "https://example.com/webhook"
    return [
        "  Subscribe a webhook:",
        f"      curl {url}/v1/subscriptions -H 'X-API-Key: …' \\",
        f'           -d \'{{"target_url": "{target}", "event_types": ["attendance.punch"]}}\'',
        *([] if here else [f"  If it runs on this machine, restart the relay with {SETTING}=127.0.0.0/8"]),
        "",
    ]


def _screen(settings: Settings, store: Store, program: str, first_time: bool, virtual: bool) -> str:
    url = settings.public_url or local_url(settings)
    if settings.api_key:
        key = "the one in RELAY_API_KEY"
    elif not store.api_keys.has_first:
        key = "one of the keys from the backup that was restored"
    elif first_time and sys.stdout.isatty():  # otherwise, it would be written to a log
        key = f"{bold(store.api_keys.first)}   (kept in {settings.data_dir}/api_key)"
    else:
        key = f"the one in {settings.data_dir}/api_key"
        if settings.data_dir == _IMAGE_DATA_DIR:
            key += "   (docker compose exec relay cat /data/api_key)"
    lines = [
        "",
        f"  {bold('cams-relay is running')}",
        "",
        f"  Console        {bold(url)}   sign in with the API key",
        f"  API            {url}/docs   reference, with a page to try it",
        f"  API key        {key}",
        f"  Callback URL   {bold(url + '/callback')}   for the API Monitor, once the device is registered",
        *([f"  Backups        {settings.backups.to}"] if settings.backups.to else []),
        "",
        *([] if settings.public_url else _how_to_be_reachable(program)),
        *_how_to_subscribe(url, settings.allow_private_targets),
    ]
    if virtual:
        simulator = os.environ["SIMULATOR_URL"]
        lines += [
            f"  No device is registered yet, so a simulated one ({DEFAULT_LABEL}) punches every few seconds. "
            "Try:",
            f"      {program} simulate punch --user 2 --type check_in --url {simulator}",
            "",
        ]
    lines += ["  Press Ctrl-C to stop. Live events:", ""]
    return "\n".join(lines)
