"""Private targets are refused when they are given and when they are connected to. Contract §1 and §4."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.delivery.tools import act, wait_rows
from tests.harness import Receiver, Relay
from tests.relay.tools import problem


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Relay]:
    """A relay that may reach public addresses only."""
    folder = tmp_path_factory.mktemp("strict")
    made = Relay(folder, RELAY_ALLOW_PRIVATE_TARGETS="", RELAY_RETRY_SCHEDULE="1").start()
    yield made
    made.stop()


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:8080/hook",
        "http://localhost:8080/hook",
        "http://[::1]/hook",
        "http://[::ffff:127.0.0.1]/hook",
        "http://10.1.2.3/",
        "http://192.168.0.1/",
        "http://169.254.169.254/latest/meta-data",
        "http://2130706433/",
        "http://0x7f.1/",
        "http://0.0.0.0/",
        "http://LOCALHOST./",
    ],
)
def test_a_private_target_is_refused_when_it_is_given(strict: Relay, url: str) -> None:
    body = {"target_url": url, "events": ["*"]}
    found = problem(strict.call("POST", "/v1/subscriptions", json=body), 422, "target_url")
    assert "RELAY_ALLOW_PRIVATE_TARGETS" in found["errors"][0]["message"]


def test_a_change_to_a_private_target_is_refused(strict: Relay) -> None:
    made = strict.call(
        "POST", "/v1/subscriptions", json={"target_url": "https://hooks.example/x", "events": ["*"]}
    )
    assert made.status_code == 201, made.text
    path = f"/v1/subscriptions/{made.json()['id']}"
    problem(strict.call("PATCH", path, json={"target_url": "http://127.0.0.1/"}), 422, "target_url")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_private_target_is_refused_when_it_is_connected_to(
    tmp_path_factory: pytest.TempPathFactory, receiver: Receiver, host: str
) -> None:
    """The subscription was made while it was allowed; the guard at the socket is what counts."""
    made = Relay(tmp_path_factory.mktemp("guarded"), RELAY_RETRY_SCHEDULE="1")
    try:
        made.start("store", "web")
        device = made.device()
        body = {"target_url": receiver.url.replace("127.0.0.1", host), "events": ["*"]}
        subscription = made.call("POST", "/v1/subscriptions", json=body).json()
        made.environment["RELAY_ALLOW_PRIVATE_TARGETS"] = ""
        made.start("worker")
        device.send_done(device.punch())
        act(made, subscription, "test")
        for row in wait_rows(made, subscription, 2, 15, status="dead"):
            assert row["error"] == "refused_address"
        assert receiver.received == []
    finally:
        made.stop()
