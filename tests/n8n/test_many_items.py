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


def two(stage: Stage) -> list[Device]:
    devices = [stage.new_device() for _ in range(2)]
    for device in devices:
        stage.add_user(device)
    return devices


def test_an_item_goes_to_several_devices(n8n: N8n, stage: Stage, device: Device) -> None:
    first, second = two(stage)
    listed = f"{first.id}, {second.id},"
    execution = n8n.run({**enable(listed, "100"), "options": {"moreDevices": [device.id, first.id]}})
    results = execution.output("Cams")
    assert [item["json"]["device_id"] for item in results] == [first.id, second.id, device.id]
    assert {item["json"]["status"] for item in results} == {"completed"}
    for one in (first, second, device):
        assert users_of(stage, one) == ["100"]
    rows = [{"devices": [first.id, second.id], "user": "100"}]
    execution = n8n.run(enable("={{ $json.devices }}"), items=rows)
    assert [row["device_id"] for row in execution.json("Cams")] == [first.id, second.id]


def test_a_chosen_idempotency_key_counts_for_each_device(n8n: N8n, stage: Stage) -> None:
    devices = two(stage)
    listed = ",".join(device.id for device in devices)
    for _ in range(2):
        execution = n8n.run({**enable(listed, "100"), "options": {"idempotencyKey": f"once {listed}"}})
        assert execution.status == "success", execution.error
    assert [len(stage.received(device)) for device in devices] == [1, 1]


def test_an_error_names_its_device_if_there_are_several(n8n: N8n, stage: Stage) -> None:
    first, second = two(stage)
    stage.machine(second).drop_user("100")
    wanted = enable(f"{first.id},{second.id}", "100")
    good, bad = n8n.run(wanted, onError="continueRegularOutput").json("Cams")
    assert (good["device_id"], good["status"]) == (first.id, "completed")
    assert (bad["device_id"], bad["status"]) == (second.id, 404) and "error" in bad
    execution = n8n.run(wanted, onError="continueErrorOutput")
    assert [row["device_id"] for row in execution.json("Cams")] == [first.id]
    (failed,) = execution.output("Cams", branch=1)
    assert failed["json"]["details"] == {"status": 404, "device_id": second.id}
    stopped = n8n.run(wanted)
    assert stopped.error["description"].endswith(f"Device: {second.id}")


def test_a_punch_log_is_loaded_for_dates_without_times(n8n: N8n, stage: Stage, device: Device) -> None:
    other = stage.new_device()
    body = {
        "device_id": other.id,
        "start_time": "2026-11-01T00:00:00",
        "end_time": "2026-11-02T23:59:59",
    }
    assert stage.relay.call("POST", "/v1/actions/load-log", json=body).status_code == 200
    wanted = {"resource": "log", "operation": "load-log", "deviceId": chosen(device.id)}
    execution = n8n.run({**wanted, "startTime": "2026-11-01", "endTime": "2026-11-02"})
    assert execution.status == "success", execution.error
    assert stage.received(device) == stage.received(other)
