"""The node's operations on attendance, employees, subscriptions and deliveries, in a real n8n."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.harness import Device, Receiver, wait_for
from tests.n8n.n8n import ACTION, Json, N8n
from tests.n8n.operations import chosen, read
from tests.stage import Stage

pytestmark = pytest.mark.timeout(900)  # the first one may have to install n8n

DAY = "2026-11-24"


@pytest.fixture
def user(device: Device) -> str:
    """A user ID that only this test uses, with a day of attendance: in at 09:00, out at 17:30."""
    user = f"7{device.id[3:]}"
    for hour, minute, kind in ((9, 0, "CheckIn"), (17, 30, "CheckOut")):
        at = datetime(2026, 11, 24, hour, minute, tzinfo=UTC)
        device.send_done(device.punch(user, at, Type=kind))
    return user


def test_the_attendance_of_a_day_is_read(n8n: N8n, stage: Stage, user: str) -> None:
    query = {"date": DAY, "user_id": user}
    row = stage.relay.get("/v1/attendance", params=query)["data"]
    filters = {"user_id": user}
    assert read(n8n, "attendance", "getAll", date=f"{DAY}T00:00:00", filters=filters).json("Cams") == row
    today = f"={{{{ DateTime.fromISO('{DAY}T12:00:00') }}}}"
    (simple,) = read(n8n, "attendance", "getAll", date=today, filters=filters, simplify=True).json("Cams")
    assert len(simple) == 10 and simple.items() <= row[0].items()
    assert (simple["user_id"], simple["worked_hours"]) == (user, 8.5)


def test_a_month_is_read_as_days_or_with_its_totals(n8n: N8n, stage: Stage, user: str) -> None:
    month = stage.relay.get(f"/v1/attendance/{user}", params={"month": "2026-11"})
    about: Json = {"userId": chosen(user), "month": "2026-11"}
    assert read(n8n, "attendance", "getMonth", splitDays=True, **about).json("Cams") == month["data"]
    about["month"] = f"{DAY}T00:00:00"
    (whole,) = read(n8n, "attendance", "getMonth", splitDays=False, **about).json("Cams")
    assert whole == {**{name: month[name] for name in month if name != "data"}, "days": month["data"]}


def test_attendance_is_exported_as_a_file(n8n: N8n, stage: Stage, user: str) -> None:
    filters = {"user_id": user}
    about = {"fileFormat": "csv", "period": "month", "month": "2026-11", "filters": filters}
    (item,) = read(n8n, "attendance", "export", binaryPropertyName="file", **about).output("Cams")
    query = {"month": "2026-11", "user_id": user}
    wanted = stage.relay.call("GET", "/v1/attendance.csv", params=query)
    assert n8n.binary(item, "file") == wanted.content
    assert item["json"] == {"file_name": f"attendance-{user}-2026-11.csv"}
    assert item["binary"]["file"]["mimeType"] == "text/csv"
    day = {"fileFormat": "xlsx", "period": "date", "date": DAY, "filters": filters}
    (item,) = read(n8n, "attendance", "export", binaryPropertyName="data", **day).output("Cams")
    assert n8n.binary(item, "data").startswith(b"PK")
    wrong = n8n.run({"resource": "attendance", "operation": "export", **about, "month": "November"})
    assert (wrong.error["httpCode"], "month" in wrong.error["message"]) == ("422", True)


def test_employees_are_created_changed_and_deleted(n8n: N8n, stage: Stage, device: Device) -> None:
    user = f"8{device.id[3:]}"
    about: Json = {"userId": user, "employeeId": "EMP-1", "additionalFields": {"name": "Asha Rao"}}
    (made,) = read(n8n, "employee", "create", **about).json("Cams")
    assert made == stage.relay.get(f"/v1/employees/{user}")
    again = n8n.run({"resource": "employee", "operation": "create", **about})
    assert (again.status, again.error["httpCode"]) == ("error", "412")
    assert "already" in again.error["message"]
    where = {"userId": chosen(user)}
    (changed,) = read(n8n, "employee", "update", additionalFields={"name": "Asha"}, **where).json("Cams")
    assert (changed["employee_id"], changed["name"]) == ("EMP-1", "Asha")
    (either,) = read(n8n, "employee", "upsert", **{**about, "employeeId": "EMP-2"}).json("Cams")
    assert (either["employee_id"], either["name"]) == ("EMP-2", "Asha Rao")
    assert read(n8n, "employee", "get", **where).json("Cams") == [either]
    assert either in read(n8n, "employee", "getAll", returnAll=True).json("Cams")
    (found,) = n8n.choices(ACTION, "searchEmployees", {}, search=user)
    assert found == {"name": f"Asha Rao, EMP-2, user {user}", "value": user}
    nothing = n8n.run({"resource": "employee", "operation": "update", **where})
    assert nothing.error["message"] == "There is nothing to update"
    assert read(n8n, "employee", "delete", **where).json("Cams") == [{"deleted": True}]
    assert n8n.run({"resource": "employee", "operation": "get", **where}).error["httpCode"] == "404"


def test_an_employee_can_have_an_entry_for_one_device(n8n: N8n, stage: Stage, device: Device) -> None:
    user = f"9{device.id[3:]}"
    only = {"device_id": device.id}
    about = {"userId": user, "employeeId": "EMP-3", "additionalFields": only}
    (made,) = read(n8n, "employee", "create", **about).json("Cams")
    assert made == stage.relay.get(f"/v1/employees/{user}", params=only)
    where = {"userId": chosen(user), "additionalFields": only}
    assert read(n8n, "employee", "get", **where).json("Cams") == [made]
    assert read(n8n, "employee", "delete", **where).json("Cams") == [{"deleted": True}]
    assert stage.relay.call("GET", f"/v1/employees/{user}", params=only).status_code == 404


@pytest.fixture
def subscription(stage: Stage, device: Device) -> Iterator[tuple[Json, Receiver]]:
    """A subscription to the device's punches, and its target."""
    receiver = Receiver()
    body = {
        "target_url": receiver.url,
        "event_types": ["attendance.punch"],
        "filters": {"device_ids": [device.id]},
        "description": f"n8n test {device.id}",
    }
    made = stage.relay.call("POST", "/v1/subscriptions", json=body).json()
    yield made, receiver
    stage.relay.call("DELETE", f"/v1/subscriptions/{made['id']}", params={"now": "true"})
    receiver.close()


def test_events_are_replayed_to_a_subscription(
    n8n: N8n, stage: Stage, device: Device, subscription: tuple[Json, Receiver]
) -> None:
    made, receiver = subscription
    where: Json = {"subscriptionId": chosen(made["id"])}
    device.send_done(device.punch("8"))
    receiver.wait(1)
    (one,) = read(n8n, "subscription", "get", **where).json("Cams")
    assert one["description"] == made["description"]
    listed = read(n8n, "subscription", "getAll", returnAll=True, simplify=True).json("Cams")
    (row,) = (row for row in listed if row["id"] == made["id"])
    assert len(row) == 10
    (found,) = n8n.choices(ACTION, "searchSubscriptions", {}, search=made["id"])
    assert found == {"name": f"{made['description']} ({made['id']})", "value": made["id"]}
    event = stage.relay.events(device_id=device.id, type="attendance.punch")[-1]
    ids = {"replayBy": "ids", "eventIds": event["id"]}
    (replay,) = read(n8n, "subscription", "replay", **where, **ids).json("Cams")
    assert replay["subscription_id"] == made["id"]
    receiver.wait(2)
    since = {"replayBy": "time", "since": datetime.now(UTC).strftime("%Y-%m-%dT00:00:00Z")}
    execution = n8n.run(
        {"resource": "subscription", "operation": "replay", **where, **since},
        retryOnFail=True,
        maxTries=2,
        waitBetweenTries=100,
    )
    assert execution.status == "success", execution.error
    receiver.wait(3)


def test_deliveries_are_listed_and_retried(
    n8n: N8n, stage: Stage, device: Device, subscription: tuple[Json, Receiver]
) -> None:
    made, receiver = subscription
    device.send_done(device.punch("8"))
    receiver.wait(1)
    where: Json = {"subscriptionId": chosen(made["id"])}

    def listed(**more: Any) -> list[Json]:
        return read(n8n, "delivery", "getAll", returnAll=True, **where, **more).json("Cams")

    (delivery,) = wait_for(listed, 20)
    assert delivery == stage.relay.get(f"/v1/deliveries/{delivery['id']}")
    assert listed(filters={"status": "dead"}) == []
    (simple,) = listed(simplify=True)
    assert len(simple) == 10 and simple.items() <= delivery.items()
    assert read(n8n, "delivery", "get", deliveryId=delivery["id"]).json("Cams") == [delivery]
    (again,) = read(n8n, "delivery", "retry", deliveryId=delivery["id"]).json("Cams")
    assert again["id"] == delivery["id"]
    receiver.wait(2)
