"""50,000 events for a target that is down for an hour, with a retry schedule compressed to seconds."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from tests.delivery.tools import scheduled_jobs, shown
from tests.faults import ledger
from tests.faults.load import Identity, all_came_once
from tests.harness import Device, Receiver, Relay, free_port, wait_for
from tests.processes import child, resident

EVENTS = 50_000
ROWS = 200  # per callback, as from a device that was offline
BATCH = 100
HOUR = 10.0  # seconds after all are queued
MORE_BYTES = 32 << 20


def send_punches(device: Device, count: int) -> list[Identity]:
    """Send punches in order, several hundred per callback, which must all be acknowledged."""
    start = datetime.now(UTC).replace(microsecond=0) - timedelta(days=1)
    sent = []
    for first in range(0, count, ROWS):
        rows = []
        for number in range(first, first + ROWS):
            at, user = start + timedelta(seconds=number), str(number % 500)
            time_of_it = at.strftime("%Y-%m-%d %H:%M:%S GMT %z")
            rows.append({"Type": "CheckIn", "InputType": "Face", "UserId": user, "LogTime": time_of_it})
            sent.append(Identity(device.id, user, at.strftime("%Y-%m-%dT%H:%M:%SZ")))
        device.send_done(device.envelope(PunchLog={"ReturnRowCount": ROWS, "Log": rows}))
    return sent


def test_50_000_events_for_a_target_that_is_down_are_kept_and_delivered_in_order(
    start: Callable[..., Relay],
) -> None:
    relay = start(RELAY_RETRY_SCHEDULE="0.1,1,3,6,6,6,6,6,6,6,6,6")
    device = relay.device()
    dispatcher = child(relay, "worker", "workers.dispatcher")
    port = free_port()

    class Down:
        url = f"http://127.0.0.1:{port}/hook"

    subscription = relay.subscribe(
        Down, device, max_in_flight=1, batch_max=BATCH, events=["attendance.punch"]
    )
    before, began, jobs = resident(dispatcher), time.monotonic(), 0
    sent = send_punches(device, EVENTS)
    took = time.monotonic() - began
    wait_for(lambda: shown(relay, subscription)["pending"] >= EVENTS - BATCH, 30)
    began = time.monotonic()
    while time.monotonic() < began + HOUR:
        jobs = max(jobs, len(scheduled_jobs(relay, subscription)))
        time.sleep(0.05)
    while_down = resident(dispatcher)
    waiting = shown(relay, subscription)
    assert waiting["retrying"] == 1, "the first batch; the rest has burnt no attempt"
    assert waiting["pending"] >= EVENTS - BATCH
    receiver = Receiver(port)
    wait_for(lambda: len(receiver.events()) >= EVENTS, 60, 0.2)
    all_came_once(sent, receiver, f"a target down for an hour, {EVENTS:,} events")
    after = resident(dispatcher)
    delivered = [
        Identity(event["device_id"], event["user_id"], event["occurred_at_utc"])
        for event in receiver.events()
    ]
    assert delivered == sent, "in order"
    assert jobs == 1, "one RQ job, whatever the backlog"
    assert waiting["delivered"] == waiting["dead"] == 0
    assert while_down - before < MORE_BYTES
    assert after - before < MORE_BYTES
    ledger.note(
        f"{EVENTS:,} events acknowledged in {took:.1f} s; RQ jobs: {jobs}; the dispatcher's memory was "
        f"{before / 2**20:.0f} MiB before, {while_down / 2**20:.0f} while it was down, {after / 2**20:.0f} after"
    )
    receiver.close()
