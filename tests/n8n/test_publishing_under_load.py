"""Publishing a changed trigger in a real n8n while punches arrive: each one starts the workflow."""

from __future__ import annotations

import re
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.harness import Device, Relay, wait_for
from tests.n8n.n8n import TRIGGER, Json, N8n, Workflow
from tests.stage import Stage

pytestmark = pytest.mark.timeout(900)  # the first one may have to install n8n

PER_SECOND = 15
BETWEEN_SECONDS = 2.0
MOST_REPEATED = 0.02  # of all events; in November 2026, none of 1,692 was repeated


@contextmanager
def punching(device: Device) -> Iterator[None]:
    """Send punches at a constant rate from another thread, with a connection of its own."""
    stop = threading.Event()
    failures: list[Exception] = []

    def send() -> None:
        due = time.monotonic()
        try:
            while not stop.wait(max(0.0, due - time.monotonic())):
                device.send_done(device.punch("2"))
                due += 1 / PER_SECOND
        except Exception as error:
            failures.append(error)

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
    assert not failures, failures


def deliveries_of_events(workflow: Workflow) -> Counter[str]:
    """Return how many executions of the workflow each event started."""
    rows = workflow.n8n.query(
        "SELECT data FROM execution_data JOIN execution_entity ON id = executionId"
        f" WHERE status = 'success' AND execution_entity.workflowId = '{workflow.id}'"
    )
    return Counter(event for (data,) in rows for event in set(re.findall(r'"(evt_\w+)"', data)))


def stored(relay: Relay, device: Device) -> set[str]:
    """Return the IDs of the device's punches, without the one that made its user known."""
    punches = relay.events(device_id=device.id, type="attendance.punch")
    return {event["id"] for event in punches if event["user_id"] == "2"}


@pytest.fixture
def workflow(n8n: N8n, stage: Stage, device: Device) -> Iterator[Workflow]:
    parameters = {"events": ["attendance.punch"], "deviceIds": [device.id]}
    made = n8n.workflow(n8n.node(TRIGGER, "When", parameters), n8n.node("n8n-nodes-base.noOp", "Then", {}))
    made.publish()
    wait_for(lambda: subscriptions(made, stage), 30)
    yield made
    made.unpublish()


def subscriptions(workflow: Workflow, stage: Stage) -> list[Json]:
    """Return the workflow's subscriptions."""
    (hook,) = (node["webhookId"] for node in workflow.document()["nodes"] if node["name"] == "When")
    rows = stage.relay.get("/v1/subscriptions", params={"limit": 200})["data"]
    return [row for row in rows if hook in row["target_url"]]


def publish_changed(workflow: Workflow, stage: Stage, size: int) -> None:
    """Publish the workflow with another batch size, and wait for the new subscription."""
    workflow.change("When", options={"batchMax": size})
    workflow.publish()
    wait_for(lambda: [row["batch_max"] for row in subscriptions(workflow, stage)] == [size], 30)


@pytest.mark.parametrize("times", [10, pytest.param(20, marks=pytest.mark.soak)])
def test_publishing_while_punches_arrive_loses_none(
    times: int, workflow: Workflow, stage: Stage, device: Device
) -> None:
    with punching(device):
        for number in range(times):
            time.sleep(BETWEEN_SECONDS)
            publish_changed(workflow, stage, 20 + number)
    sent = stored(stage.relay, device)
    wait_for(lambda: deliveries_of_events(workflow).keys() >= sent, 60)
    time.sleep(2)
    found = deliveries_of_events(workflow)
    assert found.keys() == sent
    assert len(sent) > times * BETWEEN_SECONDS * PER_SECOND * 0.8
    # A delivery is repeated if n8n accepts it, but its answer doesn't reach the relay.
    assert sum(found.values()) - len(found) <= MOST_REPEATED * len(found)


def test_deliveries_that_wait_for_a_retry_survive_a_publishing(
    workflow: Workflow, stage: Stage, device: Device, n8n: N8n
) -> None:
    (subscription,) = subscriptions(workflow, stage)
    n8n.stop()
    for _ in range(3):
        device.send_done(device.punch("2"))
    path = f"/v1/subscriptions/{subscription['id']}"
    wait_for(lambda: stage.relay.get(path)["retrying"], 30)
    n8n.start()
    publish_changed(workflow, stage, 7)
    sent = stored(stage.relay, device)
    wait_for(lambda: deliveries_of_events(workflow).keys() >= sent, 60)
    assert len(sent) == 3
    assert deliveries_of_events(workflow) == dict.fromkeys(sent, 1)
