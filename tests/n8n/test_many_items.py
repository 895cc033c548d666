"""Order, waiting, errors and Retry On Fail of several items in one run of the node, in a real n8n."""

from __future__ import annotations

import itertools
import time

import pytest

from tests.harness import Device
from tests.n8n.n8n import ACTION, Json, N8n
from tests.n8n.operations import chosen
from tests.stage import Stage

pytestmark = [
    pytest.mark.timeout(900),  # the first one may have to install n8n
    pytest.mark.usefixtures("user_100"),
]


def enable(device: str = "={{ $json.device }}", user: str = "={{ $json.user }}") -> Json:
    return {
        "resource": "user",
        "operation": "enable-user",
        "deviceId": chosen(device),
        "userId": chosen(user),
    }


def users_of(stage: Stage, device: Device) -> list[str]:
    """The users that the gateway was asked to enable, in order."""
    return [body["Update"]["User"]["UserID"] for _, body in stage.received(device)]


def test_devices_work_side_by_side_and_each_keeps_the_order_of_the_items(n8n: N8n, stage: Stage) -> None:
    devices = [stage.new_device() for _ in range(4)]
    for device in devices:
        stage.add_user(device)
        stage.machine(device).spec.delay_seconds = 1
    users = ["100", "9991", "100", "9992", "100"]
    rows = [{"device": device.id, "user": user} for user in users for device in devices]
    began = time.monotonic()
    execution = n8n.run(enable(), items=rows, onError="continueRegularOutput")
    took = time.monotonic() - began
    for device in devices:
        assert users_of(stage, device) == users
    results = execution.output("Cams")
    assert [item["pairedItem"]["item"] for item in results] == list(range(len(rows)))
    assert ["error" in item["json"] for item in results] == [row["user"] != "100" for row in rows]
    assert took < len(rows)  # in sequence, they would take a second each


def test_nothing_is_sent_if_an_item_is_wrong(n8n: N8n, stage: Stage, device: Device) -> None:
    wanted = {
        "resource": "log",
        "operation": "delete-log-all",
        "deviceId": chosen(device.id),
        "confirm": "={{ $json.confirm }}",
    }
    execution = n8n.run(wanted, items=[{"confirm": True}, {"confirm": False}])
    assert execution.status == "error"
    assert "was not confirmed" in execution.error["message"]
    assert stage.received(device) == []


def test_failures_take_the_error_output(n8n: N8n, stage: Stage, device: Device) -> None:
    rows = [{"device": device.id, "user": user} for user in ("100", "9999", "100")]
    code = n8n.node(
        "n8n-nodes-base.code",
        "Items",
        {"jsCode": f"return {rows!r}.map((json) => ({{ json }}));"},
        typeVersion=2,
    )
    cams = n8n.node(ACTION, "Cams", enable(), onError="continueErrorOutput")
    nodes = [n8n.start_node(), code, cams]
    execution = n8n.workflow(*nodes).run()
    assert [item["json"]["status"] for item in execution.output("Cams")] == ["completed", "completed"]
    (failed,) = execution.output("Cams", branch=1)
    assert failed["json"]["error"].startswith("There is no user with this ID")
    assert failed["json"]["details"] == {"status": 404}
    assert failed["json"]["user"] == "9999"  # n8n adds the input's fields


def test_retry_on_fail_repeats_no_command(n8n: N8n, stage: Stage, device: Device) -> None:
    rows = [{"device": device.id, "user": user} for user in ("100", "9999")]
    execution = n8n.run(enable(), items=rows, retryOnFail=True, maxTries=3, waitBetweenTries=100)
    assert execution.status == "error"
    assert users_of(stage, device) == ["100", "9999"]


def test_equal_items_and_later_runs_are_commands_of_their_own(n8n: N8n, stage: Stage, device: Device) -> None:
    rows = [{"device": device.id, "user": "100"}] * 2
    made = [n8n.run(enable(), items=rows).json("Cams") for _ in range(2)]
    assert len({one["command_id"] for one in itertools.chain(*made)}) == 4


def test_each_round_of_a_loop_sends_its_own_commands(n8n: N8n, stage: Stage, device: Device) -> None:
    """The item has the same index in each round."""
    rows = [{"device": device.id, "user": "100"}] * 3
    code = {"jsCode": f"return {rows!r}.map((json) => ({{ json }}));"}
    nodes = [
        n8n.start_node(),
        n8n.node("n8n-nodes-base.code", "Items", code, typeVersion=2),
        n8n.node("n8n-nodes-base.splitInBatches", "Loop", {}, typeVersion=3),
        n8n.node(ACTION, "Cams", enable()),
    ]

    def to(name: str) -> list[Json]:
        return [{"node": name, "type": "main", "index": 0}]

    connections = {
        "Start": {"main": [to("Items")]},
        "Items": {"main": [to("Loop")]},
        "Loop": {"main": [[], to("Cams")]},
        "Cams": {"main": [to("Loop")]},
    }
    execution = n8n.imported({"name": "loop", "nodes": nodes, "connections": connections}).run()
    assert execution.status == "success"
    assert len(stage.received(device)) == 3
