"""Cams Biometrics Trigger in a real n8n: its subscription, and which deliveries start a workflow."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import requests
from standardwebhooks import Webhook

from simulator.jpeg import make_jpeg
from tests.harness import Device, wait_for
from tests.n8n.n8n import TRIGGER, Execution, Json, N8n, Workflow
from tests.n8n.operations import chosen
from tests.stage import Stage

pytestmark = pytest.mark.timeout(900)  # the first one may have to install n8n

Publish = Callable[..., "Published"]


class Published:
    """A workflow that starts with the trigger ("When"), and its subscription in the relay."""

    def __init__(self, workflow: Workflow, stage: Stage) -> None:
        self.workflow, self.stage = workflow, stage

    @property
    def hook(self) -> str:
        """The unique end of its webhook's URL."""
        (node,) = (node for node in self.workflow.document()["nodes"] if node["name"] == "When")
        return f"{node['webhookId']}/webhook"

    def subscriptions(self) -> list[Json]:
        """The relay's subscriptions for this workflow."""
        hook, rows = self.hook, self.stage.relay.get("/v1/subscriptions", params={"limit": 200})["data"]
        return [row for row in rows if row["target_url"].endswith(hook)]

    def subscription(self) -> Json:
        """Waits for the only subscription and returns it."""
        (found,) = wait_for(self.subscriptions, 30)
        return dict(found)

    def static_data(self) -> Json:
        """The `id` and `secret` of the subscription that the node has stored in n8n."""
        found: Json = wait_for(lambda: (self.workflow.document()["staticData"] or {}).get("node:When"), 20)
        return found

    def deliver(self, event: Any, secret: str | None = None, **headers: str) -> requests.Response:
        """Posts a delivery that isn't from the relay, signed with the right secret unless another is given."""
        body, moment = json.dumps(event).encode(), datetime.now(UTC)
        number = f"evt_{secrets.token_hex(4)}"
        signature = Webhook(secret or self.static_data()["secret"]).sign(number, moment, body.decode())
        signed = {
            "content-type": "application/json",
            "webhook-id": number,
            "webhook-timestamp": str(int(moment.timestamp())),
            "webhook-signature": signature,
            **headers,
        }
        given = {name: value for name, value in signed.items() if value}
        return requests.post(self.subscription()["target_url"], data=body, headers=given, timeout=20)

    def started(self, least: int = 1) -> list[Execution]:
        return self.workflow.executions(least)


@pytest.fixture
def publish(n8n: N8n, stage: Stage, device: Device) -> Iterator[Publish]:
    """Publishes a workflow with the trigger, limited to the test's device, with these parameters."""
    made: list[Workflow] = []

    def publish(events: list[str], **parameters: Any) -> Published:
        parameters = {"events": events, "deviceIds": [device.id], **parameters}
        workflow = n8n.workflow(
            n8n.node(TRIGGER, "When", parameters), n8n.node("n8n-nodes-base.noOp", "Then", {})
        )
        made.append(workflow)
        workflow.publish()
        published = Published(workflow, stage)
        published.subscription()
        return published

    yield publish
    for workflow in made:
        workflow.unpublish()


def test_publishing_subscribes_and_unpublishing_unsubscribes(publish: Publish, device: Device) -> None:
    published = publish(
        ["attendance.punch", "user.updated"],
        users={"user": [{"userId": chosen("1")}, {"userId": chosen("3")}]},
        userIds="2, 3",
        punchTypes=["check_in", "check_out"],
        options={"batchMax": 20, "batchWaitMs": 100, "maxInFlight": 2, "includeCardNumbers": True},
    )
    shown = published.subscription()
    assert shown["event_types"] == ["attendance.punch", "user.updated"]
    assert shown["filters"] == {
        "device_ids": [device.id],
        "user_ids": ["1", "2", "3"],
        "punch_types": ["check_in", "check_out"],
        "command_ids": [],
    }
    assert (shown["batch_max"], shown["batch_wait_ms"], shown["max_in_flight"]) == (20, 100, 2)
    assert shown["include_card_numbers"] is True
    assert shown["description"] == "n8n: made up, When"
    assert published.workflow.publication()["status"] == "published"
    published.workflow.unpublish()
    wait_for(lambda: not published.subscriptions(), 20)


def test_a_punch_at_the_device_starts_the_workflow_with_its_data(
    publish: Publish, device: Device, stage: Stage
) -> None:
    published = publish(["attendance.punch"])
    stage.simulator.gateway.device(device.id).punch("2", "CheckOut", "Face")
    (execution,) = published.started()
    assert (execution.status, execution.mode, execution.nodes) == ("success", "webhook", ["When", "Then"])
    (event,) = execution.json("Then")
    assert event == stage.relay.events(device_id=device.id, type="attendance.punch")[-1]
    assert (event["user_id"], event["punch_type"], event["input_type"]) == ("2", "check_out", "face")


def test_only_matching_events_start_the_workflow(publish: Publish, device: Device, stage: Stage) -> None:
    published = publish(["attendance.punch"], userIds="3", punchTypes=["check_in"])
    for document in (
        device.punch("2"),
        device.punch("3", Type="CheckOut"),
        device.sample(1),
        stage.new_device().punch("3"),
        device.punch("3"),
    ):
        device.send_done(document)
    (execution,) = published.started()
    (event,) = execution.json("When")
    assert (event["user_id"], event["punch_type"]) == ("3", "check_in")


def test_a_forged_delivery_is_refused_and_starts_nothing(publish: Publish, device: Device) -> None:
    published = publish(["attendance.punch"])
    event = {"type": "attendance.punch", "user_id": "2"}
    old = str(int(time.time()) - 301)
    forged = [
        published.deliver(event, secret="whsec_" + "A" * 32),
        published.deliver(event, **{"webhook-id": "evt_other"}),
        published.deliver(event, **{"webhook-timestamp": old}),
        published.deliver(event, **{"webhook-signature": ""}),
        published.deliver(event, **{"webhook-signature": "v1,"}),
        requests.post(published.subscription()["target_url"], json=event, timeout=20),
    ]
    assert [answer.status_code for answer in forged] == [401] * len(forged)
    assert forged[0].json() == {"message": "The signature is not valid."}
    assert "too old" in forged[2].json()["message"]
    assert "not signed" in forged[3].json()["message"]
    assert published.deliver(event).status_code == 200  # the same event, correctly signed
    (execution,) = published.started()
    assert execution.json("When") == [event]


def test_a_repeated_delivery_is_dropped_if_the_option_is_set(publish: Publish) -> None:
    published = publish(["attendance.punch"], options={"dropRepeated": True})
    moment = datetime.now(UTC)
    body = json.dumps({"type": "attendance.punch"}).encode()
    signed = {
        "content-type": "application/json",
        "webhook-id": "evt_once",
        "webhook-timestamp": str(int(moment.timestamp())),
        "webhook-signature": Webhook(published.static_data()["secret"]).sign(
            "evt_once", moment, body.decode()
        ),
    }
    url = published.subscription()["target_url"]
    answers = [requests.post(url, data=body, headers=signed, timeout=20) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200] * 3
    assert published.deliver({"type": "attendance.punch"}).status_code == 200  # a different delivery
    (first, other) = published.started(2)  # all responses had arrived, so a third would be there
    assert first.json("When") == other.json("When")


def test_events_come_in_batches_and_a_published_subscription_does_not_expire(publish: Publish) -> None:
    shown = publish(["attendance.punch"]).subscription()
    assert (shown["batch_max"], shown["batch_wait_ms"], shown["expires_at"]) == (50, 250, None)


def test_a_batch_becomes_the_items_of_one_execution(publish: Publish, device: Device) -> None:
    published = publish(["attendance.punch"], options={"batchMax": 50, "batchWaitMs": 1500})
    for number in range(20):
        device.send_done(device.punch(str(number)))
    wait_for(lambda: sum(len(run.json("When")) for run in published.started()) >= 20, 30)
    runs = published.started()
    assert len(runs) <= 3  # the first batch may be incomplete
    users = [event["user_id"] for run in runs for event in run.json("Then")]
    assert sorted(users, key=int) == [str(number) for number in range(20)]


def test_a_photo_comes_as_binary_data(publish: Publish, device: Device, stage: Stage, n8n: N8n) -> None:
    published = publish(["attendance.photo"], options={"downloadPhoto": True})
    photo = make_jpeg("made up")
    stage.simulator.gateway.device(device.id).take_photo("2", photo)
    (execution,) = published.started()
    (item,) = execution.output("When")
    assert item["json"]["type"] == "attendance.photo"
    assert item["binary"]["photo"]["mimeType"] == "image/jpeg"
    assert n8n.binary(item, "photo") == photo


def test_without_the_option_a_photo_stays_a_link(publish: Publish, device: Device, stage: Stage) -> None:
    published = publish(["attendance.photo"])
    photo = make_jpeg("made up")
    stage.simulator.gateway.device(device.id).take_photo("2", photo)
    (execution,) = published.started()
    (item,) = execution.output("When")
    assert "binary" not in item
    assert requests.get(item["json"]["photo_url"], timeout=20).content == photo


def test_changed_parameters_update_the_subscription(publish: Publish, device: Device) -> None:
    published = publish(["attendance.punch"])
    published.workflow.change("When", events=["user.deleted"], options={"batchMax": 5})
    published.workflow.publish()
    wait_for(lambda: [row["event_types"] for row in published.subscriptions()] == [["user.deleted"]], 30)
    assert published.subscription()["batch_max"] == 5
    device.send_done(device.punch())
    device.send_done(device.sample(1))
    (execution,) = published.started()
    assert execution.json("When")[0]["type"] == "user.deleted"


def test_a_subscription_removed_by_hand_is_created_again(
    publish: Publish, device: Device, stage: Stage
) -> None:
    published = publish(["attendance.punch"])
    former = published.subscription()["id"]
    assert stage.relay.call("DELETE", f"/v1/subscriptions/{former}").status_code == 204
    published.workflow.unpublish()  # a missing subscription is not an error
    published.workflow.publish()
    assert published.subscription()["id"] != former
    device.send_done(device.punch())
    assert len(published.started()) == 1


def test_a_subscription_that_n8n_could_not_delete_is_used_again(
    publish: Publish, device: Device, stage: Stage, n8n: N8n
) -> None:
    """If the relay is down while a workflow is unpublished, its subscription and stored secret remain."""
    published = publish(["attendance.punch"])
    static_data = published.static_data()
    stage.relay.terminate("web")
    try:
        published.workflow.unpublish()
        # n8n unsubscribes after it has responded
        wait_for(lambda: f"can't be reached at {stage.relay.url}" in n8n.log(), 20)
    finally:
        stage.relay.start("web")
    assert published.subscription()["id"] == static_data["id"]
    stage.relay.call("POST", f"/v1/subscriptions/{static_data['id']}/rotate-secret")
    published.workflow.publish()
    wait_for(lambda: published.static_data()["secret"] != static_data["secret"], 30)
    assert published.subscription()["id"] == static_data["id"]
    device.send_done(device.punch())
    assert len(published.started()) == 1


def test_a_refused_key_fails_the_publication_with_the_relays_message(n8n: N8n, stage: Stage) -> None:
    data = {"relayUrl": stage.relay.url, "apiKey": "crk_made-up-and-unknown"}
    wrong = {"camsRelayApi": n8n.credential("camsRelayApi", data, "wrong key")}
    workflow = n8n.workflow(
        n8n.node(TRIGGER, "When", {"events": ["*"]}, credentials=wrong),
        n8n.node("n8n-nodes-base.noOp", "Then", {}),
    )
    workflow.publish()
    failed = wait_for(lambda: (workflow.publication()["status"] == "failed") and workflow.publication(), 60)
    (trigger,) = failed["triggers"]
    assert "API key" in trigger["errorMessage"]
    workflow.unpublish()


def test_listening_for_a_test_event_accepts_a_real_event(n8n: N8n, stage: Stage, device: Device) -> None:
    workflow = n8n.workflow(
        n8n.node(TRIGGER, "When", {"events": ["attendance.punch"], "deviceIds": [device.id]}),
        n8n.node("n8n-nodes-base.noOp", "Then", {}),
    )
    listening = Published(workflow, stage)
    workflow.listen("When")
    subscription = listening.subscription()
    assert "/webhook-test/" in subscription["target_url"]
    assert subscription["expires_at"] is not None  # it expires even if n8n stops first
    device.send_done(device.punch("5"))
    (execution,) = listening.started()
    assert (execution.mode, execution.json("When")[0]["user_id"]) == ("manual", "5")
    wait_for(lambda: not listening.subscriptions(), 20)  # after one event, it stops listening


def test_listening_for_a_test_event_gets_a_sample_if_no_event_arrives(
    n8n: N8n, stage: Stage, device: Device
) -> None:
    options = {"sampleAfter": 1}
    parameters = {"events": ["user.deleted"], "deviceIds": [device.id], "options": options}
    workflow = n8n.workflow(
        n8n.node(TRIGGER, "When", parameters), n8n.node("n8n-nodes-base.noOp", "Then", {})
    )
    workflow.listen("When")
    (execution,) = workflow.executions(1)
    (event,) = execution.json("Then")
    assert (event["type"], event["test"]) == ("user.deleted", True)


def test_a_test_does_not_disturb_the_published_workflow(publish: Publish, device: Device) -> None:
    published = publish(["attendance.punch"])
    live = published.subscription()["id"]
    published.workflow.listen("When")
    wait_for(lambda: len(published.subscriptions()) == 2, 20)
    device.send_done(device.punch())
    runs = published.started(2)
    assert sorted(run.mode for run in runs) == ["manual", "webhook"]
    wait_for(lambda: [row["id"] for row in published.subscriptions()] == [live], 20)
    device.send_done(device.punch())
    assert len(published.started(3)) == 3


def test_a_restart_of_n8n_loses_nothing(publish: Publish, device: Device, n8n: N8n) -> None:
    published = publish(["attendance.punch"])
    static_data = published.static_data()
    n8n.stop()
    for user in ("1", "2", "3"):
        device.send_done(device.punch(user))
    n8n.start()

    def users() -> list[str]:
        runs = published.workflow.executions()
        return sorted(event["user_id"] for run in runs for event in run.json("When"))

    wait_for(lambda: len(users()) == 3, 40)
    assert users() == ["1", "2", "3"]
    assert published.static_data() == static_data
