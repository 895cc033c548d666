"""After a failure, the first success of a target releases deliveries that are waiting for a retry."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest

from tests.harness import Received, Receiver, Relay, wait_for
from workers.delivery.pace import DOWN_AFTER, Pace
from workers.http.messages import Response

FAILED = Response(status=500, duration=0.1)


@pytest.fixture(scope="module")
def slow_schedule(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Relay]:
    with Relay(tmp_path_factory.mktemp("releases"), RELAY_RETRY_SCHEDULE="600,600") as made:
        yield made


def test_deliveries_that_failed_in_a_short_outage_are_sent_when_the_target_is_back_up(
    slow_schedule: Relay, receiver: Receiver
) -> None:
    device = slow_schedule.device()
    slow_schedule.subscribe(receiver, device)
    receiver.answer = lambda got: (500, {}, b"")
    for user in ("1", "2", "3"):
        device.send_done(device.punch(user))
    receiver.wait(3)
    taken: list[str] = []

    def take(got: Received) -> tuple[int, dict[str, str], bytes]:
        taken.append(got.json["user_id"])
        return 200, {}, b""

    receiver.answer = take
    device.send_done(device.punch("4"))
    wait_for(lambda: sorted(taken) == ["1", "2", "3", "4"])


def _failing(pace: Pace, at: float) -> None:
    pace.failure(FAILED, 1_000.0 + at, at)


def test_an_early_attempt_uses_up_no_retry(slow_schedule: Relay, receiver: Receiver) -> None:
    """One event always fails, and others succeed after it."""
    device = slow_schedule.device()
    subscription = slow_schedule.subscribe(receiver, device)
    receiver.answer = lambda got: (400 if got.json["user_id"] == "bad" else 200, {}, b"")
    device.send_done(device.punch("bad"))
    receiver.wait(1)
    wait_for(lambda: _rows(slow_schedule, subscription, "retrying"))
    planned = _rows(slow_schedule, subscription, "retrying")[0]["next_attempt_at"]
    device.send_done(device.punch("good"))
    wait_for(lambda: len([got for got in receiver.received if got.json["user_id"] == "bad"]) == 2)
    row = wait_for(
        lambda: [row for row in _rows(slow_schedule, subscription, "retrying") if row["attempt_count"] == 2]
    )[0]
    early = datetime.fromisoformat(planned) - datetime.fromisoformat(row["next_attempt_at"])
    assert abs(early.total_seconds()) < 61  # not another 600 s from now


def _rows(relay: Relay, subscription: dict[str, Any], status: str) -> Any:
    return relay.get(f"/v1/subscriptions/{subscription['id']}/deliveries", params={"status": status})["data"]


def _failing(pace: Pace, at: float) -> None:
    pace.failure(FAILED, 1_000.0 + at, at)


def test_a_success_that_started_before_the_failure_releases_nothing() -> None:
    pace = Pace(16)
    _failing(pace, 100.0)
    assert not pace.success(5.0, 101.0, has_waiting=True)
    assert pace.success(0.5, 102.0, has_waiting=True)


def test_a_delivery_that_always_fails_is_released_at_most_once_a_minute() -> None:
    """A target accepts one event per second, except for one event that it never accepts."""
    pace, released = Pace(16), []
    for second in range(301):
        _failing(pace, float(second))
        if pace.success(0.1, second + 0.5, has_waiting=True):
            released.append(second)
    assert released == [0, 60, 120, 180, 240, 300]


def test_a_target_that_was_down_is_always_released() -> None:
    pace = Pace(16)
    for start in (0.0, 20.0):
        for number in range(DOWN_AFTER):
            _failing(pace, start + number)
        assert pace.down and pace.success(0.1, start + 15, has_waiting=True)


def test_without_an_earlier_failure_nothing_is_released() -> None:
    assert not Pace(16).success(0.1, 5.0, has_waiting=True)
