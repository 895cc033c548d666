"""The receivers in examples/receivers accept genuine deliveries once, and nothing else."""

from __future__ import annotations

import json
import secrets
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.harness import ROOT, Device, wait_for
from tests.integrations import signing
from tests.integrations.programs import Program, running
from tests.stage import Stage

FOLDER = ROOT / "examples" / "receivers"
BODY = '{"id": "evt_forged"}'


@pytest.fixture(scope="module")
def secret() -> str:
    return signing.new_secret()


def _command(language: str) -> tuple[str | Path, ...]:
    php = shutil.which("php")
    assert php, "PHP is not installed: run scripts/install-php"
    return {
        "py": (sys.executable, FOLDER / "receiver.py", "{port}"),
        "mjs": ("node", FOLDER / "receiver.mjs", "{port}"),
        "php": (php, "-S", "127.0.0.1:{port}", FOLDER / "receiver.php"),
    }[language]


@pytest.fixture(scope="module", params=["py", "mjs", "php"])
def program(
    request: pytest.FixtureRequest, secret: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Program]:
    """Each receiver, running."""
    folder = tmp_path_factory.mktemp("receiver")
    environment = {"WEBHOOK_SECRET": secret, "SEEN_FOLDER": str(folder / "seen")}
    with running(folder, *_command(request.param), **environment) as made:
        yield made


def _events(program: Program) -> list[dict[str, Any]]:
    return [json.loads(line) for line in program.printed()]


def _punches(program: Program, user: str) -> list[dict[str, Any]]:
    return [event for event in _events(program) if event.get("user_id") == user]


def _recorded(stage: Stage, device: Device, user: str) -> list[dict[str, Any]]:
    return stage.relay.events(type="attendance.punch", user_id=user, device_id=device.id)


def _answers(stage: Stage, subscription: dict[str, Any]) -> list[int]:
    """The response statuses of all attempts so far."""
    log = stage.relay.get(f"/v1/subscriptions/{subscription['id']}/deliveries")["data"]
    return [attempt["response_status"] for row in log for attempt in row["attempts"]]


def test_accepts_a_punch_with_204(stage: Stage, program: Program, secret: str) -> None:
    device = stage.new_device()
    made = stage.relay.subscribe(program, device, events=["attendance.punch"], secret=secret)
    device.send_done(device.punch("one"))
    wait_for(lambda: _answers(stage, made) == [204])
    (event,) = _punches(program, "one")
    assert event == _recorded(stage, device, "one")[0]


def test_accepts_the_events_of_a_batch(stage: Stage, program: Program, secret: str) -> None:
    device = stage.new_device()
    made = stage.relay.subscribe(
        program, device, events=["attendance.punch"], secret=secret, batch_max=3, batch_wait_ms=60_000
    )
    for _ in range(3):
        device.send_done(device.punch("many"))
    wait_for(lambda: _answers(stage, made) == [204])
    assert _punches(program, "many") == _recorded(stage, device, "many")


def test_accepts_deliveries_signed_with_two_secrets(stage: Stage, program: Program, secret: str) -> None:
    """The relay's secret was rotated, and the receiver still has the former one."""
    device = stage.new_device()
    made = stage.relay.subscribe(program, device, events=["attendance.punch"], secret=secret)
    rotated = stage.relay.call("POST", f"/v1/subscriptions/{made['id']}/rotate-secret").json()["secret"]
    assert rotated != secret
    device.send_done(device.punch("rotated"))
    wait_for(lambda: _answers(stage, made) == [204])
    assert len(_punches(program, "rotated")) == 1


def test_refuses_deliveries_of_the_relay_with_another_secret(stage: Stage, program: Program) -> None:
    device = stage.new_device()
    made = stage.relay.subscribe(program, device, events=["attendance.punch"])
    device.send_done(device.punch("other"))
    assert wait_for(lambda: _answers(stage, made))[0] == 401
    assert not _punches(program, "other")


@pytest.mark.parametrize("position", [0, 1])
def test_accepts_either_of_two_signatures(program: Program, secret: str, position: int) -> None:
    signing_with = [signing.new_secret(), signing.new_secret()]
    signing_with[position] = secret
    event = {"id": f"evt_{secrets.token_hex(8)}", "user_name": "Zoë"}
    body = json.dumps(event, ensure_ascii=False)
    headers = signing.headers(body, *signing_with, webhook_id=event["id"])
    assert signing.post(program.url, body, headers) == 204
    assert _events(program)[-1] == event


def test_prints_a_repeated_delivery_once(program: Program, secret: str) -> None:
    event = {"id": f"evt_{secrets.token_hex(8)}"}
    for seconds_ago in (20, 0):  # each attempt has its own timestamp
        headers = signing.headers(json.dumps(event), secret, webhook_id=event["id"], seconds_ago=seconds_ago)
        assert signing.post(program.url, json.dumps(event), headers) == 204
    assert _events(program).count(event) == 1


@pytest.mark.parametrize(
    "changed",
    [
        {"webhook-signature": "v1,"},
        {"webhook-signature": "v1,AAAA v1,"},
        {"webhook-signature": ""},
        {"webhook-id": "evt_other"},
        {"webhook-timestamp": ""},
        {"webhook-timestamp": "soon"},
    ],
    ids=str,
)
def test_refuses_changed_deliveries(program: Program, secret: str, changed: dict[str, str]) -> None:
    _refuses(program, BODY, {**signing.headers(BODY, secret), **changed})


@pytest.mark.parametrize("name", ["webhook-id", "webhook-timestamp", "webhook-signature"])
def test_refuses_deliveries_with_a_missing_header(program: Program, secret: str, name: str) -> None:
    headers = signing.headers(BODY, secret)
    del headers[name]
    _refuses(program, BODY, headers)


def test_refuses_another_body(program: Program, secret: str) -> None:
    _refuses(program, BODY + " ", signing.headers(BODY, secret))


def test_refuses_another_secret(program: Program) -> None:
    _refuses(program, BODY, signing.headers(BODY, signing.new_secret()))


@pytest.mark.parametrize("seconds_ago", [310, -310])
def test_refuses_old_deliveries(program: Program, secret: str, seconds_ago: int) -> None:
    _refuses(program, BODY, signing.headers(BODY, secret, seconds_ago=seconds_ago))


@pytest.mark.parametrize("language", ["py", "mjs"])
def test_does_not_start_without_a_secret(language: str, tmp_path: Path) -> None:
    with (
        pytest.raises(AssertionError, match="Set WEBHOOK_SECRET"),
        running(tmp_path, *_command(language), WEBHOOK_SECRET=""),
    ):
        pass


def test_refuses_everything_without_a_secret(tmp_path: Path) -> None:
    """Only PHP starts without a secret, as its web server starts it."""
    with running(tmp_path, *_command("php"), WEBHOOK_SECRET="") as program:
        _refuses(program, BODY, signing.headers(BODY, ""))


def _refuses(program: Program, body: str, headers: dict[str, str]) -> None:
    before = program.printed()
    assert signing.post(program.url, body, headers) == 401
    assert program.printed() == before
