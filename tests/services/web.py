"""Helpers for the stand-ins: a server on 127.0.0.1, and a proxy that makes it reachable under an internet host name."""

from __future__ import annotations

import json
import ssl
import threading
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

Json = dict[str, Any]


@dataclass
class Request:
    """A request that a service got."""

    method: str
    path: str  # without the query, and with %XX decoded
    query: dict[str, str]
    headers: Mapping[str, str]  # names in any case
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Service(ABC):
    """A service that responds with JSON. Its requests are in `requests`."""

    def __init__(self) -> None:
        self.requests: list[Request] = []

    @abstractmethod
    def answer(self, request: Request) -> tuple[int, Any]:
        """Return the status and the JSON of the response."""

    def take(self, request: Request) -> tuple[int, Any]:
        self.requests.append(request)
        return self.answer(request)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, *_: object) -> None:
        pass  # a stopped client leaves broken pipes


class _Handler(ABC, BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    @abstractmethod
    def service(self) -> Service | None:
        """Return the service for this request."""

    def _any(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        url = urlsplit(self.path)
        query = {name: values[-1] for name, values in parse_qs(url.query).items()}
        service = self.service()
        status, answer = (
            service.take(Request(self.command, unquote(url.path), query, self.headers, body))
            if service
            else (502, {"error": "there is no such host"})
        )
        content = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _any

    def log_message(self, *_: object) -> None:
        pass


class _Served:
    """A server in a thread, as a context manager."""

    def __init__(self, handler: type[_Handler]) -> None:
        self._server = _Server(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


class Site(_Served):
    """A service with its own URL, like one that a company hosts itself."""

    def __init__(self, service: Service) -> None:
        class Handler(_Handler):
            def service(self) -> Service:
                return service

        super().__init__(Handler)


class Internet(_Served):
    """A TLS proxy that sends requests for internet hosts to stand-ins. `environment` makes Node.js programs use it."""

    def __init__(self, folder: Path, hosts: Mapping[str, Service]) -> None:
        certificate = _certificate(folder, *hosts)
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(certificate)

        class Handler(_Handler):
            host = ""

            def service(self) -> Service | None:
                return hosts.get(self.host)

            def do_CONNECT(self) -> None:
                self.host = self.path.rpartition(":")[0]
                self.send_response(200)
                self.end_headers()
                self.connection = tls.wrap_socket(self.connection, server_side=True)
                self.rfile = self.connection.makefile("rb")
                self.wfile = self.connection.makefile("wb", buffering=0)
                self.close_connection = False

        super().__init__(Handler)
        self.environment = {
            "HTTPS_PROXY": self.url,
            "NO_PROXY": "127.0.0.1,localhost",
            "NODE_EXTRA_CA_CERTS": str(certificate),
        }


def _certificate(folder: Path, *hosts: str) -> Path:
    """Return a file with a key and a self-signed certificate for these hosts."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "made up for tests")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host) for host in hosts]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path = folder / "internet.pem"
    path.write_bytes(pem + certificate.public_bytes(serialization.Encoding.PEM))
    return path
