"""A published receiver responds to invalid requests with 401 or 400, and continues."""

from __future__ import annotations

import http.client
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.harness import ROOT
from tests.integrations import signing
from tests.integrations.programs import Program, running

EXAMPLES = ROOT / "examples"
SECRET = signing.new_secret()
NOWHERE = "http://127.0.0.1:9"
RECEIVERS = (
    *("receivers/receiver.py", "receivers/receiver.mjs", "receivers/receiver.php", "erpnext/receiver.py"),
    *("odoo/receiver.py", "bitrix24/receiver.py", "zoho-people/receiver.py", "sql_sink.py"),
)


@pytest.fixture(scope="module", params=RECEIVERS)
def program(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    """Each receiver, running."""
    folder: Path = tmp_path_factory.mktemp("receiver")
    path = EXAMPLES / request.param
    command: tuple[str | Path, ...] = (sys.executable, path, "{port}")
    if path.suffix == ".mjs":
        command = ("node", path, "{port}")
    elif path.suffix == ".php":
        php = shutil.which("php")
        assert php, "PHP is not installed: run scripts/install-php"
        command = (php, "-S", "127.0.0.1:{port}", path)
    environment = {
        "WEBHOOK_SECRET": SECRET,
        "SEEN_FOLDER": str(folder / "seen"),
        "SEEN_FILE": str(folder / "seen.db"),
        "DATABASE_URL": f"sqlite:///{folder}/logs.db",
        "ERPNEXT_URL": NOWHERE,
        "ERPNEXT_API_KEY": "made-up",
        "ERPNEXT_API_SECRET": "made-up",
        "ODOO_URL": NOWHERE,
        "ODOO_DATABASE": "made-up",
        "ODOO_UID": "2",
        "ODOO_API_KEY": "made-up",
        "BITRIX24_WEBHOOK": f"{NOWHERE}/rest/1/made-up/",
    }
    with running(folder, *command, **environment) as made:
        yield made


def _post(program: Program, body: bytes, headers: dict[str, bytes], length: str | None = None) -> int:
    """Returns the response's status. Raises http.client's exceptions if the connection is dropped."""
    port = urlsplit(program.url).port
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.putrequest("POST", "/")
        connection.putheader("content-length", length or str(len(body)))
        for name, value in headers.items():
            connection.putheader(name, value)
        connection.endheaders()
        connection.send(body)
        return connection.getresponse().status
    finally:
        connection.close()


def _headers(**changed: bytes) -> dict[str, bytes]:
    now = str(int(time.time())).encode()
    usual = {"webhook-id": b"evt_1", "webhook-timestamp": now, "webhook-signature": b"v1,AAAA"}
    return {**usual, **{f"webhook-{name}": value for name, value in changed.items()}}


GARBAGE: dict[str, tuple[bytes, dict[str, bytes]]] = {
    "bytes that are no text": (b'{"a":"\xff\xfe"}', {}),
    "zeros": (b"\0" * 64, {}),
    "nothing": (b"", {}),
    "a signature without a comma": (b"{}", {"signature": b"nonsense"}),
    "a signature without an end": (b"{}", {"signature": b"v1,"}),
    "only commas": (b"{}", {"signature": b",,, ,"}),
    "a signature that is not ASCII": (b"{}", {"signature": b"v1,\xe9\xe9"}),
    "a signature that is not Base64": (b"{}", {"signature": b"v1,%%%"}),
    "another version": (b"{}", {"signature": b"v2,AAAA"}),
    "a timestamp with an exponent": (b"{}", {"timestamp": b"1e9"}),
    "other digits": (b"{}", {"timestamp": b"\xb2\xb3"}),
    "a timestamp of 5000 digits": (b"{}", {"timestamp": b"9" * 5_000}),
    "a negative timestamp": (b"{}", {"timestamp": b"-1"}),
    "not a number": (b"{}", {"timestamp": b"NaN"}),
    "an endless timestamp": (b"{}", {"timestamp": b"inf"}),
    "an id that is not ASCII": (b"{}", {"id": b"\xff\xfe"}),
}


@pytest.mark.parametrize("kind", GARBAGE)
def test_a_delivery_that_is_not_genuine_is_401(program: Program, kind: str) -> None:
    body, changed = GARBAGE[kind]
    assert _post(program, body, _headers(**changed)) == 401
    assert _post(program, body, {}) == 401, "without its headers"


# Not for PHP, whose web server reads the request.
@pytest.mark.parametrize("program", [name for name in RECEIVERS if not name.endswith(".php")], indirect=True)
@pytest.mark.parametrize("length", ["-1", "many", "0x10", "1" * 40])
def test_an_invalid_length_is_refused_and_the_next_request_is_served(program: Program, length: str) -> None:
    assert 400 <= _post(program, b"", _headers(), length) < 500
    assert _post(program, b"{}", _headers()) == 401
