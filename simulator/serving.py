"""A running server in a thread of this process, for tests and for `cams-relay simulator`."""

import socket
import threading
from collections.abc import Iterable
from types import TracebackType
from typing import Self

from werkzeug.serving import WSGIRequestHandler, make_server

from simulator.gateway import Gateway
from simulator.server import COMMAND_PATH, create_app

_POLL_SECONDS = 0.02
_BACKLOG = 512


class _QuietHandler(WSGIRequestHandler):
    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """A flood of commands would drown the line that matters."""


class SimulatorServer:
    """Serves a gateway on a port (0: a free one), each request in a thread of its own.

    Threads, and not an event loop: a command takes as long as its device, and 200 devices answer at once.

        with SimulatorServer(Gateway(relay_url)) as simulator:
            requests.post(simulator.command_url("VIRTUAL01"), json=…)
    """

    def __init__(
        self, gateway: Gateway, host: str = "127.0.0.1", port: int = 0, control_hosts: Iterable[str] = ()
    ) -> None:
        self.gateway = gateway
        self._host = host
        # Bound here because werkzeug ends the whole process where a port is taken; this raises OSError.
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.create_server((host, port), family=family, backlog=_BACKLOG) as listener:
            self._server = make_server(
                host,
                port,
                create_app(gateway, control_hosts),
                threaded=True,
                request_handler=_QuietHandler,
                fd=listener.fileno(),
            )
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(_POLL_SECONDS,), name="simulator", daemon=True
        )

    @property
    def url(self) -> str:
        """The server's base URL, with the port it really has."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self._server.port}"

    def command_url(self, stgid: str | None = None) -> str:
        """The command endpoint: what a relay is given as `gateway_url`, with or without `?stgid=`."""
        return f"{self.url}{COMMAND_PATH}" + (f"?stgid={stgid}" if stgid else "")

    def start(self) -> Self:
        self._thread.start()
        return self

    def stop(self) -> None:
        """Stop listening and end the gateway's threads."""
        self._server.shutdown()
        self._thread.join(timeout=2)
        self._server.server_close()
        self.gateway.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
