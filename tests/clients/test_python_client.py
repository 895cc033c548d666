"""The Python client's types, signature check and examples, with a running relay and a simulated device."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import shutil
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.harness import API_KEY, ROOT, Receiver, wait_for
from tests.stage import Stage, stage

CLIENT = ROOT / "clients" / "python"
sys.path.insert(0, str(CLIENT / "src"))

from cams_relay_client import (  # type: ignore[import-not-found]  # noqa: E402
    CommandError,
    Invalid,
    InvalidSignature,
    NotFound,
    Relay,
    RelayError,
    Unauthorised,
    verify,
)

SECRET = "whsec_" + base64.b64encode(b"a made-up secret for tests").decode()
BODY = b'{"id": "evt_1", "type": "a.type.of.tomorrow"}'


@pytest.fixture(scope="module")
def staged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with stage(tmp_path_factory.mktemp("client")) as made:
        yield made


@pytest.fixture
def client(staged: Stage) -> Iterator[Relay]:
    with Relay(staged.relay.url, API_KEY) as made:
        yield made


def signed(secret: str = SECRET, at: float | None = None, body: bytes = BODY) -> dict[str, str]:
    """Return the headers of a delivery, made without the client."""
    timestamp = str(int(time.time() if at is None else at))
    key = base64.b64decode(secret.removeprefix("whsec_"))
    digest = hmac.new(key, b"msg_1." + timestamp.encode() + b"." + body, hashlib.sha256).digest()
    signature = "v1," + base64.b64encode(digest).decode()
    return {"Webhook-Id": "msg_1", "Webhook-Timestamp": timestamp, "Webhook-Signature": signature}


def example(staged: Stage, name: str, *arguments: str, **environment: str) -> str:
    """Run an example, and return its output."""
    ran = subprocess.run(
        (sys.executable, CLIENT / "examples" / name, *arguments),
        env={
            **os.environ,
            "PYTHONPATH": str(CLIENT / "src"),
            "RELAY_URL": staged.relay.url,
            "RELAY_API_KEY": API_KEY,
            **environment,
        },
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def test_generated_types_are_up_to_date() -> None:
    ran = subprocess.run(
        (sys.executable, ROOT / "scripts/client-types", "--check"), capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_mypy_finds_nothing_in_the_client_and_its_examples(tmp_path_factory: pytest.TempPathFactory) -> None:
    ran = subprocess.run(
        (
            *(sys.executable, "-m", "mypy", "--strict", "--config-file="),
            *sorted((CLIENT / "src" / "cams_relay_client").glob("*.py")),
            *sorted((CLIENT / "examples").glob("*.py")),
        ),
        env={**os.environ, "MYPYPATH": str(CLIENT / "src")},
        capture_output=True,
        text=True,
        cwd=tmp_path_factory.getbasetemp(),
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_a_wheel_contains_the_types(tmp_path: Path) -> None:
    copy = tmp_path / "python"
    shutil.copytree(CLIENT, copy, ignore=shutil.ignore_patterns("build", "*.egg-info", "__pycache__"))
    ran = subprocess.run(
        (Path(sys.executable).parent / "uv", "build", "--wheel", "--quiet", f"--out-dir={tmp_path}", copy),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ran.returncode == 0, ran.stderr
    (wheel,) = tmp_path.glob("cams_relay_client-*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {"cams_relay_client/py.typed", "cams_relay_client/types.py"} <= set(names)


def test_a_signature_is_valid_and_an_unknown_type_is_passed_on() -> None:
    assert verify(SECRET, signed(), BODY)[0]["type"] == "a.type.of.tomorrow"


def test_one_valid_signature_of_several_is_enough() -> None:
    headers = signed()
    headers["Webhook-Signature"] = f"v1a,AAAA v1,AAAA {headers['Webhook-Signature']}"
    assert verify(SECRET, headers, BODY)


def test_a_batch_is_several_events() -> None:
    body = b"[" + BODY + b"," + BODY + b"]"
    assert len(verify(SECRET, signed(body=body), body)) == 2


@pytest.mark.parametrize("seconds", [-301, 301])
def test_a_timestamp_beyond_the_tolerance_is_refused(seconds: int) -> None:
    with pytest.raises(InvalidSignature, match="clock"):
        verify(SECRET, signed(at=time.time() + seconds * 1.1), BODY)


@pytest.mark.parametrize("header", ["Webhook-Id", "Webhook-Timestamp", "Webhook-Signature"])
@pytest.mark.parametrize("value", [None, "other", "v1,", "é", "9" * 400, "9" * 5_000])
def test_a_changed_or_missing_header_is_refused(header: str, value: str | None) -> None:
    headers = {name: text for name, text in {**signed(), header: value}.items() if text is not None}
    with pytest.raises(InvalidSignature):
        verify(SECRET, headers, BODY)


def test_a_changed_body_or_other_secret_is_refused() -> None:
    with pytest.raises(InvalidSignature):
        verify(SECRET, signed(), BODY + b" ")
    with pytest.raises(InvalidSignature):
        verify("whsec_" + base64.b64encode(b"another").decode(), signed(), BODY)


def signed_with_key(key: Ed25519PrivateKey) -> dict[str, str]:
    headers = signed()
    content = b"msg_1." + headers["Webhook-Timestamp"].encode() + b"." + BODY
    return headers | {"Webhook-Signature": "v1a," + base64.b64encode(key.sign(content)).decode()}


def test_a_public_key_verifies_an_ed25519_signature() -> None:
    key, other = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    public, others = (
        "whpk_" + base64.b64encode(one.public_key().public_bytes_raw()).decode() for one in (key, other)
    )
    headers = signed_with_key(key)
    assert verify(public, headers, BODY) == verify([SECRET, others, public], headers, BODY)
    assert verify([public, SECRET], signed(), BODY)
    for keys, body in ((others, BODY), (SECRET, BODY), ([SECRET, others], BODY), (public, BODY + b" ")):
        with pytest.raises(InvalidSignature):
            verify(keys, headers, body)
    headers["Webhook-Signature"] = headers["Webhook-Signature"].replace("v1a,", "v1,")
    with pytest.raises(InvalidSignature):
        verify(public, headers, BODY)
    for wrong in ([], "whpk_", "whpk_AAAA", public[:-4]):
        with pytest.raises(ValueError):
            verify(wrong, signed(), BODY)


def test_the_relays_public_keys_verify_its_deliveries(
    client: Relay, staged: Stage, receiver: Receiver
) -> None:
    device = staged.relay.device()
    subscription = client.subscribe(
        receiver.url, ["attendance.punch"], signatures=["ed25519"], filters={"device_ids": [device.id]}
    )
    device.send_done(device.punch("7"))
    (got,) = receiver.wait(1)
    client.unsubscribe(subscription["id"])
    (event,) = verify(client.signing_keys(), got.headers, got.body)
    assert event["user_id"] == "7"


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_*"])
def test_an_empty_or_damaged_secret_verifies_nothing(secret: str) -> None:
    with pytest.raises(ValueError, match="whsec_"):
        verify(secret, signed(), BODY)


def test_a_text_instead_of_bytes_is_refused() -> None:
    with pytest.raises(TypeError):
        verify(SECRET, signed(), BODY.decode())


def test_errors_have_types(client: Relay, staged: Stage) -> None:
    with pytest.raises(NotFound) as missing:
        client.event("evt_unknown/..")
    assert missing.value.code == "not_found"
    with pytest.raises(Invalid) as wrong:
        client.subscribe("http://127.0.0.1:9/", ["no.such.type"])
    assert wrong.value.errors
    assert str(wrong.value).count(wrong.value.errors[0]["message"]) == 1
    with pytest.raises(Unauthorised):
        list(Relay(staged.relay.url, "crk_wrong").devices())


def test_lists_are_paged(client: Relay, staged: Stage) -> None:
    for _ in range(3):
        staged.relay.device()
    everything = [device["id"] for device in client.devices()]
    assert [device["id"] for device in client.pages("/v1/devices", limit=1)] == everything
    assert len(everything) >= 4


def test_follow_continues_after_an_event(client: Relay, staged: Stage) -> None:
    device = staged.relay.device()
    for user in ("31", "32", "33"):
        device.send_done(device.punch(user))
    wanted = {"type": "attendance.punch", "device_id": device.id}
    first = list(client.events(**wanted))[-1]
    followed = client.follow(after=first["id"], **wanted)
    assert [next(followed)["user_id"], next(followed)["user_id"]] == ["32", "33"]


def test_events_are_yielded_oldest_first_after_an_event(client: Relay, staged: Stage) -> None:
    device = staged.relay.device()
    for user in ("31", "32", "33"):
        device.send_done(device.punch(user))
    everything = list(client.events(device_id=device.id, oldest_first=True))
    assert [event["user_id"] for event in everything] == ["31", "32", "33"]
    later = client.events(device_id=device.id, after=everything[0]["id"])
    assert [event["user_id"] for event in later] == ["32", "33"]


def test_follow_yields_an_event_that_arrives_later(client: Relay, staged: Stage) -> None:
    device = staged.relay.device()
    device.send_done(device.punch("51"))
    threading.Timer(0.5, device.send_done, (device.punch("52"),)).start()
    assert next(client.follow(type="attendance.punch", device_id=device.id))["user_id"] == "52"


def _server(answers: list[tuple[int, dict[str, str]]]) -> tuple[ThreadingHTTPServer, list[str]]:
    """Start a server with these answers, and return it with the keys it gets."""
    keys: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            keys.append(self.headers["Idempotency-Key"])
            status, headers = answers.pop(0)
            body = json.dumps({"code": "unavailable"}).encode()
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server, keys


def test_a_post_is_repeated_with_the_same_key_if_the_relay_says_so() -> None:
    server, keys = _server([(503, {"Retry-After": "0"}), (429, {"Retry-After": "0"}), (200, {})])
    Relay(f"http://127.0.0.1:{server.server_port}", "k").request("POST", "/x", body={})
    server.shutdown()
    assert len(keys) == 3 and len(set(keys)) == 1 and keys[0]


@pytest.mark.parametrize("answer", [(502, {}), (422, {}), (503, {"Retry-After": "3600"})])
def test_other_errors_are_not_repeated(answer: tuple[int, dict[str, str]]) -> None:
    server, keys = _server([answer])
    with pytest.raises(RelayError):
        Relay(f"http://127.0.0.1:{server.server_port}", "k").request("POST", "/x", body={})
    server.shutdown()
    assert len(keys) == 1


def test_yesterdays_punches_are_copied(staged: Stage) -> None:
    at = datetime.now(UTC).replace(hour=9, minute=0, second=0, microsecond=0) - timedelta(days=1)
    staged.device.send_done(staged.device.punch("41", at))
    staged.device.send_done(staged.device.punch("42", at - timedelta(days=1)))
    staged.device.send_done(staged.device.punch("43", at))
    staged.device.send_done(staged.device.punch("43", at, InputType="Card"))
    shown = example(staged, "copy_yesterday.py")
    assert f",{staged.device.id},41,check_in" in shown
    assert shown.count(",43,") == 1
    assert ",42," not in shown


def test_a_subscription_delivers_what_verifies(client: Relay, staged: Stage, receiver: Receiver) -> None:
    identifier, secret = example(staged, "subscribe.py", receiver.url).split()
    staged.device.send_done(staged.device.punch("8"))
    got = receiver.wait(1)[0]
    assert verify(secret, got.headers, got.body)[0]["user_id"] == "8"
    client.unsubscribe(identifier)


def test_a_user_is_enrolled(staged: Stage) -> None:
    assert example(staged, "enrol_user.py", staged.device.id, "77", "0004829371").endswith(" completed\n")
    assert wait_for(lambda: "77" in staged.machine(staged.device).users)


def test_a_failed_command_is_explained(client: Relay, staged: Stage) -> None:
    assert example(staged, "failed_command.py", staged.device.id, "999") == "Add the user first.\n"
    with pytest.raises(CommandError) as failed:
        client.run("enable-user", staged.device.id, user_id="999")
    with pytest.raises(CommandError) as later:
        client.wait_for_command(failed.value.command_id)
    assert later.value.code == failed.value.code == "user_not_found"
