"""The simulator over HTTP: the command endpoint at its real path, and the control API."""

import socket
from collections.abc import Iterable

from flask import Flask, Response, request

from simulator.control import make_control
from simulator.gateway import Gateway
from simulator.hosts import AllowedHosts

COMMAND_PATH = "/external/api3.0/biometric"
_MAX_BODY = 64 * 1024 * 1024


def create_app(gateway: Gateway, control_hosts: Iterable[str] = ()) -> Flask:
    """The WSGI application for a gateway; `control_hosts` are names of the control API beside loopback's."""
    app = Flask("simulator")
    app.config["MAX_CONTENT_LENGTH"] = _MAX_BODY
    app.json.sort_keys = False  # type: ignore[attr-defined]  # of DefaultJSONProvider, which this is
    app.register_blueprint(make_control(gateway, AllowedHosts(control_hosts)))

    @app.post(COMMAND_PATH)
    def command() -> Response:
        # Two stgids are as wrong as none: the endpoint's URL was pasted with one on it.
        given = request.args.getlist("stgid")
        reply = gateway.answer(given[0] if len(given) == 1 else "", request.get_data())
        if reply.drop:
            _hang_up()
        # Encrypted answers are bare Base64 and still called JSON, as seen in the wild.
        return Response(reply.body, reply.http_status, content_type="application/json")

    return app


def _hang_up() -> None:
    """Close the caller's connection without an answer. Works under werkzeug's server, which ours is."""
    connection = request.environ.get("werkzeug.socket")
    if connection is None:
        raise RuntimeError("the `drop` fault requires simulator.serving.SimulatorServer")
    assert isinstance(connection, socket.socket)
    connection.shutdown(socket.SHUT_RDWR)
