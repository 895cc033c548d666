"""A fast receiver of deliveries: nginx, which logs when each event arrived."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.processes import free_port, process, wait_for_http

_CONFIGURATION = """
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log stderr;
load_module /usr/share/nginx/modules/ndk_http_module.so;
load_module /usr/share/nginx/modules/ngx_http_lua_module.so;
events {{ worker_connections 10000; }}
http {{
    log_format arrivals '$msec $request_uri $events';
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port} backlog=8192;
        keepalive_requests 100000000;
        keepalive_timeout 600s;
        client_body_buffer_size 2m;
        client_max_body_size 64m;
        location / {{
            set $events "";
            access_log {log} arrivals buffer=256k flush=100ms;
            content_by_lua_block {{
                ngx.req.read_body()
                local body, ids = ngx.req.get_body_data() or "", {{}}
                for id in string.gmatch(body, '"id":"(evt_%w+)"') do ids[#ids + 1] = id end
                if not string.find(body, "^[%[{{].*[%]}}]$") then return ngx.exit(400) end
                ngx.var.events = table.concat(ids, ",")
                ngx.print("")
            }}
        }}
    }}
}}
"""


@dataclass(frozen=True, slots=True)
class Arrival:
    """The arrival of one event in one delivery."""

    at: float  # seconds since 1970, to the millisecond
    path: str
    event: str


class Sink:
    """Reads nginx's log of arrivals."""

    def __init__(self, url: str, log: Path) -> None:
        self.url = url
        self._log = log
        self._read = 0
        self._rest = ""
        self.arrivals: list[Arrival] = []

    def look(self) -> list[Arrival]:
        """Return all arrivals so far."""
        with self._log.open() as file:
            file.seek(self._read)
            text = self._rest + file.read()
            self._read = file.tell()
        lines = text.split("\n")
        self._rest = lines.pop()
        for line in lines:
            at, path, events = line.split(" ")
            self.arrivals += (Arrival(float(at), path, event) for event in events.split(",") if event)
        return self.arrivals

    def wait(self, count: int, seconds: float) -> list[Arrival]:
        """Wait until there are `count` arrivals, and return them. Raises RuntimeError after `seconds`."""
        deadline = time.monotonic() + seconds
        while len(self.look()) < count:
            if time.monotonic() > deadline:
                raise RuntimeError(f"{len(self.arrivals)} of {count} events came within {seconds:.0f} s")
            time.sleep(0.05)
        return self.arrivals


@contextmanager
def sink(folder: Path) -> Iterator[Sink]:
    """Run nginx with its files in `folder`."""
    port = free_port()
    folder = folder / f"sink-{port}"
    folder.mkdir()
    log = folder / "arrivals.log"
    log.touch()
    configuration = folder / "nginx.conf"
    configuration.write_text(_CONFIGURATION.format(folder=folder, port=port, log=log))
    with process("nginx", "-p", str(folder), "-c", str(configuration)):
        url = f"http://127.0.0.1:{port}/"
        wait_for_http(url)
        yield Sink(url, log)
