"""The connector recognises a relay by its store, whatever its URL, so that no row is sent twice after a move."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from app.connector.sender import relay_store
from tests.connector.conftest import Connector
from tests.harness import Receiver, Relay, free_port

ROWS = "ID,At,Way\n7,2026-11-24 08:00:00,in\n8,2026-11-24 08:05:00,out\n"
TOKEN = "0123456789abcdef0123456789abcdef"


def test_a_relay_at_another_port_is_the_same_receiver_as_long_as_it_has_the_same_store(
    tmp_path: Path,
) -> None:
    (tmp_path / "connector").mkdir()
    (tmp_path / "connector" / "export.csv").write_text(ROWS)
    outputs = []
    for number, name in enumerate(("relay", "relay", "other")):
        (tmp_path / name).mkdir(exist_ok=True)
        with Relay(tmp_path / name) as relay:
            if number != 1:
                relay.device(device_id="ESSL1", auth_token=TOKEN)
            connector = Connector(tmp_path / "connector", f"{relay.url}/callback", token=TOKEN)
            options = ("--map", "user=ID,time=At,type=Way", "--state", str(number))
            outputs.append(connector.run("file", "export.csv", *options))
            assert len(relay.events(type="attendance.punch")) == 2
    assert "2 sent, 0 rejected" in outputs[0] and "0 sent, 2 sent before" in outputs[1]
    assert "2 sent, 0 rejected" in outputs[2], "another store is another receiver"


@pytest.mark.parametrize(
    "answer",
    [b"", b"[]", b'{"store_id": 7}', b'{"store_id": "../../etc"}', b'{"store_id": null}', b"[" * 70_000],
)
def test_a_strange_answer_about_the_store_is_ignored(answer: bytes) -> None:
    asked = []

    class Health(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Health)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        assert relay_store(f"http://127.0.0.1:{server.server_port}/x/callback/ESSL1?k=made-up") is None
    finally:
        server.shutdown()
        server.server_close()
    assert asked == ["/x/health"]


def test_a_receiver_without_health_or_that_is_away_is_known_by_its_url() -> None:
    receiver = Receiver()
    assert relay_store(receiver.url) is None
    assert relay_store(f"{receiver.url}/callback") is None
    receiver.close()
    assert relay_store(f"http://127.0.0.1:{free_port()}/callback") is None
