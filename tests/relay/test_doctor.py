"""`doctor` distinguishes problems from warnings, for people and programs, and names targets that don't respond."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import requests

from app.settings.table import load
from app.store import Store
from app.store.subscriptions.records import Subscription
from tests.console.tools import Client
from tests.harness import API_KEY, ROOT, Device, Receiver, Relay, free_port, wait_for
from tests.processes import child


def doctor(relay: Relay, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "app", "doctor", *options],
        cwd=relay.folder,
        env={**relay.environment, **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )


def found(relay: Relay, **environment: str) -> dict[str, Any]:
    """Return the output of `doctor --json`, after checking that its exit status fits."""
    ran = doctor(relay, "--json", **environment)
    report: dict[str, Any] = json.loads(ran.stdout)
    assert set(report) == {"problems", "warnings", "facts"}
    assert ran.returncode == (1 if report["problems"] else 0), ran.stdout
    return report


def disable(subscription: Subscription) -> None:
    """Disable a subscription as the worker does if a target fails for days."""
    subscription.status, subscription.disabled_reason = "disabled", "of a test"


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Relay]:
    """A relay that no other test uses."""
    with Relay(tmp_path) as started:
        yield started


def test_warnings_leave_the_exit_status_at_0_and_problems_make_it_1(alone: Relay) -> None:
    ran = doctor(alone)
    assert ran.returncode == 0, ran.stdout
    lines = ran.stdout.splitlines()
    assert lines[-1] == f"! no problems found, but {len(lines) - 1} warnings"
    assert all(line.startswith("! ") for line in lines[:-1])
    assert any("RELAY_PUBLIC_URL is not set" in line for line in lines)
    assert found(alone)["problems"] == []
    alone.kill("worker")
    wait_for(lambda: doctor(alone).returncode == 1, 60, every=1.0)
    (problem,) = found(alone)["problems"]
    assert "No worker delivers for shard" in problem
    alone.kill("web")
    alone.kill("store")
    (problem,) = found(alone)["problems"]
    assert "No relay is running with the data folder" in problem


def test_a_public_url_of_another_server_is_a_problem(alone: Relay, tmp_path: Path) -> None:
    alone.device()
    assert found(alone, RELAY_PUBLIC_URL=alone.url)["problems"] == []
    (problem,) = found(alone, RELAY_PUBLIC_URL=f"http://127.0.0.1:{free_port()}")["problems"]
    assert "doesn't answer" in problem and "tunnel" in problem

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(404)
            self.end_headers()
            self.wfile.write(b"<h1>Tunnel not found</h1>")

        def log_message(self, *_: object) -> None:
            pass

    elsewhere = HTTPServer(("127.0.0.1", 0), Page)
    threading.Thread(target=elsewhere.serve_forever, args=(0.05,), daemon=True).start()
    try:
        (problem,) = found(alone, RELAY_PUBLIC_URL=f"http://127.0.0.1:{elsewhere.server_port}")["problems"]
        assert "something else answers (status 404)" in problem
    finally:
        elsewhere.shutdown()
        elsewhere.server_close()
    other_folder = tmp_path / "other"
    other_folder.mkdir()
    other = Relay(other_folder).start("store", "web")
    try:
        (problem,) = found(alone, RELAY_PUBLIC_URL=other.url)["problems"]
        assert "another relay answers" in problem
    finally:
        other.stop()
    report = found(alone, RELAY_PUBLIC_URL=alone.url, RELAY_ALLOW_PRIVATE_TARGETS="")
    assert any("RELAY_PUBLIC_URL was not checked" in one for one in report["warnings"])


def test_a_target_that_is_down_or_disabled_is_named_by_id_and_origin(alone: Relay) -> None:
    target = Receiver()
    target.answer = lambda _: (500, {}, b"")
    device = alone.device()
    made = alone.subscribe(target, device, target_url=f"{target.url}?token=made-up-secret")
    origin = target.url.rpartition("/")[0]
    device.send_done(device.punch())
    target.wait(1)
    store = Store(load(alone.environment))
    shard = store.connection.shards[0]
    key = shard.subscription(made["id"], "health")
    wait_for(lambda: store.connection.redis.hget(key, "failing_since"))
    report = found(alone)
    assert report["problems"] == []  # it is being retried
    assert any(made["id"] in one and "has been failing since" in one for one in report["warnings"])
    alone.kill("worker")
    store.connection.redis.hset(key, "failing_since", time.time() - 600)
    problems = [one for one in found(alone)["problems"] if made["id"] in one]
    assert len(problems) == 1 and f"({origin}): the target has been failing since" in problems[0]
    store.subscriptions.change(made["id"], disable)
    problems = [one for one in found(alone)["problems"] if made["id"] in one]
    assert len(problems) == 1 and f"({origin}) is disabled" in problems[0]
    assert "made-up-secret" not in json.dumps(found(alone))
    target.close()


def test_a_device_that_never_sent_a_callback_is_reported_after_some_time(alone: Relay) -> None:
    device, heard = alone.device(), alone.device()
    heard.send_done(heard.punch())
    assert not any(device.id in one for one in found(alone)["warnings"])
    store = Store(load(alone.environment))
    for one in (device, heard):
        store.devices.change(one.id, {"created_at": "2026-01-01T00:00:00+00:00"}, {})
    (warning,) = [one for one in found(alone)["warnings"] if "Never heard from" in one]
    assert device.id in warning and heard.id not in warning


def test_health_distinguishes_problems_from_warnings_and_names_no_device(alone: Relay) -> None:
    device = alone.device()
    store = Store(load(alone.environment))
    store.devices.change(device.id, {"created_at": "2026-01-01T00:00:00+00:00"}, {})
    alone.stop()
    alone.start()
    report = requests.get(f"{alone.url}/health", timeout=10).json()
    assert report["problems"] == []
    assert any("has never sent a callback" in one for one in report["warnings"])
    assert device.id not in json.dumps(report)


def test_health_and_the_console_report_that_no_worker_delivers(alone: Relay) -> None:
    client = Client(alone)
    client.sign_in(API_KEY)

    def health() -> dict[str, Any]:
        answer = requests.get(f"{alone.url}/health", timeout=10)
        assert answer.status_code == 200
        report: dict[str, Any] = answer.json()
        assert report["status"] == "ok"
        return report

    assert health()["problems"] == []
    dispatcher = child(alone, "worker", "workers.dispatcher")
    os.kill(dispatcher, signal.SIGSTOP)
    try:
        message = "No worker delivers for shard "
        wait_for(lambda: any(one.startswith(message) for one in health()["problems"]), 60, every=0.5)
        wait_for(lambda: any(one.startswith(message) for one in health()["warnings"]), 30, every=0.5)
        wait_for(lambda: message in client.get("/console/health").text, 30, every=0.5)
    finally:
        os.kill(dispatcher, signal.SIGCONT)
    wait_for(lambda: health()["problems"] == [], 60, every=0.5)


def test_health_explains_the_effect_of_an_absent_store(alone: Relay) -> None:
    device = alone.device()

    def warnings() -> list[str]:
        answers = [requests.get(f"{alone.url}/health", timeout=20) for _ in range(6)]
        problems = {tuple(answer.json()["problems"]) for answer in answers}
        assert all(set(answer.json()["problems"]) <= set(answer.json()["warnings"]) for answer in answers)
        return [one for some in problems for one in some]

    wait_for(lambda: device.send(device.punch()).ok)
    alone.kill("store")
    wait_for(lambda: any("kept on this machine's disk" in one for one in warnings()), 30)
    alone.kill("web")
    alone._start("web")
    wait_for(
        lambda: any("has read no devices yet" in one for one in _warnings_if_up(alone)),
        60,
        every=0.5,
    )
    assert Device(alone, device.id, device.token).send(device.punch()).status_code == 503
    wait_for(
        lambda: "callbacks are refused, because this process has read no devices yet" in alone.logs(), 30
    )
    assert requests.get(f"{alone.url}/health", timeout=10).status_code == 503


def _warnings_if_up(relay: Relay) -> list[str]:
    try:
        problems: list[str] = requests.get(f"{relay.url}/health", timeout=20).json()["problems"]
    except requests.RequestException:
        return []
    return problems


@pytest.mark.parametrize(
    "command", [[], ["up"], ["keys", "create"], ["spool"], ["simulate", "punch"], ["connector"]]
)
def test_every_command_accepts_h_for_help(tmp_path: Path, command: list[str]) -> None:
    def helped(option: str) -> str:
        ran = subprocess.run(
            [sys.executable, "-m", "app", *command, option],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert ran.returncode == 0, ran.stderr
        return ran.stdout

    assert helped("-h") == helped("--help") and "-h, --help" in helped("-h")
