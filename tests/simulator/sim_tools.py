"""Helpers for the simulator's tests: a relay that records callbacks, and a caller that sends commands."""

import base64
import json
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import requests
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from simulator.device import Device
from simulator.serving import SimulatorServer

SAMPLES = Path(__file__).resolve().parent.parent / "samples"
TOKEN = "COJJ7eiiPBGUfmIQPvh2PJWWDLX7OuKs"
KEY = "0123456789abcdef0123456789abcdef"
NOW = "2020-09-17 11:09:09 GMT +0530"
DONE = (200, b'{"status":"done"}')


@dataclass(frozen=True)
class Received:
    path: str
    content_type: str
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class RecordingRelay:
    """An HTTP server that records requests and responds with `done`, or with the next of `answers`."""

    def __init__(self, port: int = 0) -> None:
        self.received: list[Received] = []
        self.answers: deque[tuple[int, bytes]] = deque()
        self._changed = threading.Condition()
        relay = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status, text = relay.answers.popleft() if relay.answers else DONE
                relay.note(Received(self.path, self.headers["Content-Type"], body))
                self.send_response(status)
                if status == 307:
                    self.send_header("Location", f"{relay.url}/elsewhere")
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, format: str, *args: object) -> None:
                """Log nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    def note(self, received: Received) -> None:
        with self._changed:
            self.received.append(received)
            self._changed.notify_all()

    def wait_for(self, count: int, timeout: float = 5) -> list[Any]:
        """Wait for the first `count` callbacks and return their JSON."""
        with self._changed:
            enough = self._changed.wait_for(lambda: len(self.received) >= count, timeout)
        assert enough, f"got {len(self.received)} of {count} callbacks"
        return [received.json for received in self.received[:count]]

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class Caller:
    """Sends commands to the simulator, and uses its control API, over real sockets."""

    def __init__(self, server: SimulatorServer) -> None:
        self._server = server

    def post(self, stgid: str, body: bytes, timeout: float = 10) -> requests.Response:
        url = self._server.command_url(stgid)
        return requests.post(url, data=body, headers={"Content-Type": "application/json"}, timeout=timeout)

    def send(self, content: dict[str, Any], stgid: str = "D1", operation_id: str = "op1") -> Any:
        """Send a well-formed command and return the JSON of the response."""
        answer = self.post(stgid, json.dumps(command(content, operation_id)).encode())
        assert answer.status_code == 200
        return answer.json()

    def code(self, content: dict[str, Any], stgid: str = "D1", operation_id: str = "op1") -> int:
        return int(self.send(content, stgid, operation_id)["StatusCode"])

    def control(self, method: str, path: str, body: object = None, expect: int | None = None) -> Any:
        url = f"{self._server.url}/control/devices{path}"
        answer = requests.request(method, url, json=body, timeout=10)
        if expect is not None:
            assert answer.status_code == expect, answer.text
        return answer.json() if answer.content else None


def command(content: dict[str, Any], operation_id: str = "op1", token: str = TOKEN) -> dict[str, Any]:
    return {**content, "OperationID": operation_id, "AuthToken": token, "Time": NOW}


def add_user(user_id: str, templates: list[dict[str, str]] | None = None) -> dict[str, Any]:
    user = {"UserID": user_id, "FirstName": "Manu", "LastName": "Mona", "UserType": "User"}
    items = [{"UserID": user_id, **template} for template in templates or []]
    return {"Add": {"User": user, "Template": items} if items else {"User": user}}


def fingerprint(index: int, data: bytes = b"finger") -> dict[str, str]:
    encoded = base64.b64encode(data).decode()
    return {"Type": "Fingerprint", "Size": str(len(data)), "Index": str(index), "Data": encoded}


def load_log(offset: str | None = None) -> dict[str, Any]:
    window = {"StartTime": "2020-09-17 00:00:00 GMT +0530", "EndTime": "2020-09-17 23:59:59 GMT +0530"}
    return {"Load": {"PunchLog": {"Filter": window | ({"OffSet": offset} if offset else {})}}}


def sample(name: str) -> Any:
    """Return a documented payload, with the shortened Base64 of its templates completed."""
    return _whole(json.loads((SAMPLES / f"{name}.json").read_text()))


def shape(value: object) -> object:
    """Return the tree of keys with the types of the values. Arrays have the shape of their first item."""
    if isinstance(value, dict):
        return {name: shape(item) for name, item in sorted(value.items())}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    return type(value).__name__


def aes(body: bytes, key: str = KEY) -> bytes:
    """Encrypt with AES/ECB/PKCS5, in Base64. Independent of the simulator, whose own code it checks."""
    length = 16 - len(body) % 16
    encryptor = Cipher(algorithms.AES(key.encode()), modes.ECB()).encryptor()
    return base64.b64encode(encryptor.update(body + bytes([length]) * length) + encryptor.finalize())


def un_aes(body: bytes, key: str = KEY) -> bytes:
    decryptor = Cipher(algorithms.AES(key.encode()), modes.ECB()).decryptor()
    padded = decryptor.update(base64.b64decode(body)) + decryptor.finalize()
    return padded[: -padded[-1]]


def eventually(check: Callable[[], object], timeout: float = 5) -> None:
    """Wait until a condition holds."""
    end = time.monotonic() + timeout
    while not check():
        assert time.monotonic() < end, f"the condition did not hold within {timeout} s"
        time.sleep(0.01)


def templates_of(device: Device, user_id: str) -> set[tuple[str, int]]:
    return set(device.users[user_id].templates)


def _whole(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _whole(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_whole(item) for item in value]
    if isinstance(value, str) and value.endswith("..."):
        text = value[:-3]
        return text[: len(text) // 4 * 4]
    return value
