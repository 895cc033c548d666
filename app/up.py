"""`cams-relay up`: everything on one machine, and a screenful that says how to go on."""

from __future__ import annotations

import errno
import logging
import os
import secrets
import socket
import time

import click
import redis
import requests

from app import setting_readers, wish
from app.checks import writable
from app.log import configure
from app.settings import Settings
from app.store import Store
from app.store.devices import DeviceExists
from app.store.embedded import private_file
from app.supervisor import Supervisor
from simulator.cli import DEFAULT_DEVICE, DEFAULT_LABEL

log = logging.getLogger("relay.up")

_READY_SECONDS = 30.0
_SIMULATOR_PORT = 8090


def run(settings: Settings, *, with_simulator: bool) -> None:
    """Until Ctrl-C or SIGTERM."""
    configure("warning", settings.log_format)
    _simulator_port()  # a wrong one is said at once, though the console may ask for the simulator later
    _check_port(settings.host, settings.port, "PORT")
    first_time = settings.api_key is None and not (settings.data_dir / "api_key").exists()
    if not writable(settings.data_dir):
        raise click.ClickException(
            f"RELAY_DATA_DIR={settings.data_dir} can't be written: make it or choose another"
        )
    store = Store(settings)
    supervisor = Supervisor()
    supervisor.handle_signals()
    try:
        if settings.redis_url is None:
            supervisor.add("store", "app", "store", last=True)
        _await_store(store, supervisor)
        wish.take(settings.data_dir)  # one that nobody was there to grant
        supervisor.add("web", "app", "web", environment={"HOST": settings.host, wish.UNDER_UP: "1"})
        # All is registered before the worker starts, so that the first event finds it delivering.
        supervisor.add_worker(1, {"RELAY_LIVE": "1"})
        if not supervisor.stopping:
            _await_web(settings, supervisor)
        if not supervisor.stopping:
            virtual = with_simulator and _start_simulator(settings, store, supervisor)
            click.echo(_screen(settings, store, first_time, virtual))
            supervisor.run(lambda: _grant(settings, store, supervisor))
    finally:
        supervisor.stop()


def _grant(settings: Settings, store: Store, supervisor: Supervisor) -> None:
    """Starts the virtual device where the console has asked for it."""
    if wish.take(settings.data_dir) and all(child.name != "simulator" for child in supervisor.children):
        _start_simulator(settings, store, supervisor)


def _check_port(host: str, port: int, name: str) -> None:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
                raise click.ClickException(
                    f"HOST={host}: it is no address of this machine; take 127.0.0.1, or 0.0.0.0 for all of them"
                ) from None
            raise click.ClickException(
                f"{name}={port}: {host}:{port} can't be listened on ({error.strerror}); try {name}={port + 1}"
            ) from None


def _await_store(store: Store, supervisor: Supervisor) -> None:
    deadline = time.monotonic() + _READY_SECONDS
    while not supervisor.stopping:
        try:
            store.connection.redis.ping()
            return
        except (redis.RedisError, OSError) as error:
            if time.monotonic() > deadline:
                raise click.ClickException(f"the store did not start: {error}") from None
            time.sleep(0.05)


def _await_web(settings: Settings, supervisor: Supervisor) -> None:
    deadline = time.monotonic() + _READY_SECONDS
    while not supervisor.stopping:
        try:
            if requests.get(f"{_local_url(settings)}/health", timeout=2).ok:
                return
        except requests.RequestException:
            pass
        if time.monotonic() > deadline:
            raise click.ClickException("the web process did not start; its log above says why")
        time.sleep(0.05)


def _local_url(settings: Settings) -> str:
    host = "127.0.0.1" if settings.host in ("0.0.0.0", "::") else settings.host
    return f"http://{f'[{host}]' if ':' in host else host}:{settings.port}"


def _start_simulator(settings: Settings, store: Store, supervisor: Supervisor) -> bool:
    """Registers and starts the virtual device, unless a real one is registered; whether it did."""
    if set(store.devices.ids()) - {DEFAULT_DEVICE}:
        return False
    token = private_file(settings.data_dir / "virtual_device_token", secrets.token_hex(16))
    port = _free_port(_simulator_port())
    gateway_url = f"http://127.0.0.1:{port}/external/api3.0/biometric"
    record = {
        "device_id": DEFAULT_DEVICE,
        "gateway_url": gateway_url,
        "label": DEFAULT_LABEL,
        "serial_number": DEFAULT_DEVICE,
        "mode": "native",
        "timezone": "UTC",
    }
    try:
        store.devices.register(record, {"auth_token": token, "security_key": None})
    except DeviceExists:
        store.devices.change(DEFAULT_DEVICE, {"gateway_url": gateway_url}, {"auth_token": token})
    supervisor.add(
        "simulator",
        "simulator",
        *("--port", str(port), "--relay-url", _local_url(settings)),
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
            f"SIMULATOR_PORT: {text[:80]!r} {error}; a right one is SIMULATOR_PORT={_SIMULATOR_PORT}"
        ) from None


def _free_port(wanted: int) -> int:
    """`wanted`, or any free one where that is taken."""
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


def _screen(settings: Settings, store: Store, first_time: bool, virtual: bool) -> str:
    url = settings.public_url or _local_url(settings)
    if settings.api_key:
        key = "the one in RELAY_API_KEY"
    elif first_time:
        key = f"{bold(store.api_keys.first)}   (kept in {settings.data_dir}/api_key)"
    else:
        key = f"the one in {settings.data_dir}/api_key"
    lines = [
        "",
        f"  {bold('cams-relay is running')}",
        "",
        f"  Console        {bold(url)}   sign in with the API key",
        f"  API            {url}/docs   to read and try",
        f"  API key        {key}",
        f"  Callback URL   {bold(url + '/callback')}   paste it into the API Monitor",
        "",
        "  To be reached from the internet, run one of these and paste its https URL + /callback instead:",
        f"      cloudflared tunnel --url {_local_url(settings)}",
        f"      ngrok http {settings.port}",
        "",
        "  Subscribe a webhook:",
        f"      curl {url}/v1/subscriptions -H 'X-API-Key: …' \\",
        '           -d \'{"target_url": "http://127.0.0.1:9000/", "events": ["attendance.punch"]}\'',
        "",
    ]
    if virtual:
        simulator = os.environ["SIMULATOR_URL"]
        lines += [
            f"  No machine is registered, so a virtual one ({DEFAULT_LABEL}) punches every few seconds. Try:",
            f"      .venv/bin/cams-relay simulate punch --user 2 --type check_in --url {simulator}",
            "",
        ]
    lines += ["  Ctrl-C stops it. What happens, as it happens:", ""]
    return "\n".join(lines)
