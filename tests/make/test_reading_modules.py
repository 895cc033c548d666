"""The app's searches, other reading modules, pickers and connection, run with a relay."""

from __future__ import annotations

import json
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from simulator.jpeg import make_jpeg
from tests.harness import API_KEY, Device, wait_for
from tests.make.app import App
from tests.make.checks import fails, shown
from tests.make.runtime import Make, MakeError, https
from tests.stage import Stage

pytestmark = pytest.mark.usefixtures("user_100")


# Modules that read


def test_devices_are_read(app: App, make: Make, stage: Stage, device: Device) -> None:
    (one,) = shown(app, "getDevice", make.run("getDevice", device_id=device.id))
    assert one == stage.relay.get(f"/v1/devices/{device.id}")
    found = shown(app, "searchDevices", make.run("searchDevices"))
    assert found == stage.relay.get("/v1/devices", params={"limit": 100})["data"]
    assert make.run("searchDevices", limit=1) == found[:1]


def test_users_are_read(app: App, make: Make, stage: Stage, device: Device) -> None:
    (one,) = shown(app, "getUser", make.run("getUser", user_id="8"))
    assert one == stage.relay.get("/v1/users/8")
    (here,) = make.run("getUser", user_id="8", device_id=device.id)
    assert [row["device_id"] for row in here["devices"]] == [device.id]
    (row,) = shown(app, "searchUsers", make.run("searchUsers", device_id=device.id))
    assert (row["user_id"], row["device_id"]) == ("8", device.id)
    of_card = {"user_id": "8", "device_id": device.id, "credential_type": "card"}
    (card,) = shown(app, "getCredential", make.run("getCredential", **of_card))
    assert card == stage.relay.get("/v1/users/8/credentials/card/0", params={"device_id": device.id})


def test_events_are_read_page_by_page(app: App, make: Make, stage: Stage, device: Device) -> None:
    for number in range(205):  # more than one page
        device.send_done(device.punch(str(number)))
    wanted = {"device_id": device.id, "type": "attendance.punch"}
    stored = stage.relay.events(**wanted)[::-1]
    found = shown(app, "searchEvents", make.run("searchEvents", **wanted, limit=1000))
    assert found == stored and len(found) > 200
    assert make.run("searchEvents", **wanted) == stored[:100]  # the form's default limit
    assert [event["user_id"] for event in make.run("searchEvents", **wanted, user_id="7")] == ["7"]
    assert make.run("searchEvents", **wanted, since="2036-01-01T00:00:00Z") == []
    assert len(make.run("searchEvents", **wanted, until="2036-01-01T00:00:00Z", limit=3)) == 3
    (one,) = shown(app, "getEvent", make.run("getEvent", event_id=found[0]["id"]))
    assert one == found[0]


def test_an_events_photo_is_a_file(app: App, make: Make, stage: Stage, device: Device) -> None:
    photo = make_jpeg("another")
    stage.machine(device).take_photo("8", photo)
    event = wait_for(lambda: stage.relay.events(device_id=device.id, type="attendance.photo"), 20)[0]
    (file,) = shown(app, "downloadPhoto", make.run("downloadPhoto", event_id=event["id"]))
    assert file == {"name": f"{event['id']}.jpeg", "mime": "image/jpeg", "data": photo}
    other = stage.relay.events(device_id=device.id, type="attendance.punch")[0]
    error = fails(make, "downloadPhoto", event_id=other["id"])
    assert error.message == "This event has no photo: its type is attendance.punch."


def test_commands_are_read_and_cancelled(app: App, make: Make, stage: Stage, device: Device) -> None:
    stage.machine(device).spec.delay_seconds = 3
    try:
        first, second = (
            make.run(name, device_id=device.id, user_id="100", wait=0)[0]["command_id"]
            for name in ("disableUser", "enableUser")
        )
        (gone,) = shown(app, "cancelCommand", make.run("cancelCommand", command_id=second))
        assert gone["status"] == "cancelled"
        assert make.run("cancelCommand", command_id=second) == [gone]
        error = fails(make, "cancelCommand", command_id=first)
        assert (error.kind, error.message[:5]) == ("DataError", "[409]")
    finally:
        stage.machine(device).spec.delay_seconds = 0
    found = shown(app, "searchCommands", make.run("searchCommands", device_id=device.id))
    assert [row["command_id"] for row in found] == [second, first]
    (only,) = make.run("searchCommands", device_id=device.id, status="cancelled")
    assert only["command_id"] == second


def test_any_api_call_can_be_made(app: App, make: Make, stage: Stage, device: Device) -> None:
    path = f"/v1/devices/{device.id}"
    (read,) = shown(app, "makeApiCall", make.run("makeApiCall", url=path))
    assert (read["statusCode"], read["body"]["device_id"]) == (200, device.id)
    assert read["headers"]["content-type"] == "application/json"
    body = json.dumps({"label": "Back Door"})
    (changed,) = make.run("makeApiCall", url=path, method="PATCH", body=body)
    assert changed["body"]["label"] == "Back Door"
    query = [{"key": "limit", "value": "1"}]
    (few,) = make.run("makeApiCall", url="/v1/devices", qs=query)
    assert len(few["body"]["data"]) == 1
    asked = [
        {"key": "prefer", "value": "respond-async"},
        {"key": "content-type", "value": "application/json"},
    ]
    body = json.dumps({"device_id": device.id, "user_id": "100"})
    (sent,) = make.run("makeApiCall", url="/v1/actions/enable-user", method="POST", body=body, headers=asked)
    assert sent["statusCode"] == 202


@pytest.mark.parametrize(
    "elsewhere", ["https://example.com/v1/me", "//example.com/v1/me", "@example.com/v1/me"]
)
def test_the_key_is_only_sent_to_the_relay(elsewhere: str, make: Make) -> None:
    with pytest.raises(AssertionError, match="doesn't fit"):
        make.run("makeApiCall", url=elsewhere)


# Attendance and employees


def test_attendance_is_read_by_day_and_by_month(app: App, make: Make, stage: Stage, device: Device) -> None:
    user = secrets.token_hex(4)
    device.send_done(device.punch(user))
    (event,) = stage.relay.events(device_id=device.id, user_id=user, type="attendance.punch")
    day = event["occurred_at"][:10]
    found = wait_for(lambda: make.run("searchAttendance", date=day, user_id=user), 20)
    (row,) = shown(app, "searchAttendance", found)
    assert (row["user_id"], row["date"], row["punch_count"]) == (user, day, 1)
    assert row in make.run("searchAttendance", date=day, device_id=device.id, limit=1000)
    assert make.run("searchAttendance", date="2001-01-01", user_id=user) == []
    (month,) = shown(app, "getAttendance", make.run("getAttendance", user_id=user, month=day[:7]))
    assert month == stage.relay.get(f"/v1/attendance/{user}", params={"month": day[:7]})
    assert (month["days_present"], month["data"]) == (1, [row])
    with pytest.raises(AssertionError, match="doesn't fit"):
        make.run("getAttendance", user_id=user, month=day)


def test_attendance_of_several_people_with_one_user_id_is_an_error_about_the_data(
    make: Make, stage: Stage
) -> None:
    user, devices = secrets.token_hex(4), [stage.new_device() for _ in range(2)]
    for number, device in enumerate(devices):
        entry = {"user_id": user, "employee_id": f"EMP-{number}"}
        make.run("updateEmployee", **entry, device_id=device.id)
        device.send_done(device.punch(user))
    day = stage.relay.events(device_id=devices[0].id, user_id=user)[0]["occurred_at"]
    wait_for(lambda: len(make.run("searchAttendance", date=day[:10], user_id=user)) == 2, 20)
    error = fails(make, "getAttendance", user_id=user, month=day[:7])
    assert (error.kind, "several people" in error.message) == ("DataError", True)
    (month,) = make.run("getAttendance", user_id=user, month=day[:7], employee_id="EMP-1")
    assert month["employee_id"] == "EMP-1"


def test_employees_are_created_changed_read_and_deleted(
    app: App, make: Make, stage: Stage, device: Device
) -> None:
    user = secrets.token_hex(4)
    wanted = {"user_id": user, "employee_id": "EMP-0042", "name": "Asha Rao"}
    (made,) = shown(app, "updateEmployee", make.run("updateEmployee", **wanted))
    assert made == stage.relay.get(f"/v1/employees/{user}")
    assert {name: made[name] for name in wanted} == wanted
    assert [made] == shown(app, "getEmployee", make.run("getEmployee", user_id=user))
    here = make.run("updateEmployee", user_id=user, employee_id="EMP-0043", device_id=device.id)
    assert here == make.run("getEmployee", user_id=user, device_id=device.id) != [made]
    found = shown(app, "searchEmployees", make.run("searchEmployees", limit=1000))
    entries = [row for row in found if row["user_id"] == user]
    assert sorted(entries, key=lambda row: row["device_id"] or "") == [made, *here]
    deleted = shown(app, "deleteEmployee", make.run("deleteEmployee", user_id=user))
    assert deleted == [{"user_id": user}]
    assert fails(make, "getEmployee", user_id=user).kind == "DataError"


# Pickers and the connection


@contextmanager
def web_page() -> Iterator[str]:
    """The URL of a server that answers every request with an HTML page."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-type", "text/html")
            self.end_headers()
            self.wfile.write(b"<h1>Welcome</h1>")

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_the_pickers_list_the_relays_data(make: Make, stage: Stage, device: Device) -> None:
    label = f"Gate of {device.id}"
    unnamed = stage.new_device()
    stage.relay.call("PATCH", f"/v1/devices/{device.id}", json={"label": label})
    offered = make.rpc("listDevices")
    assert {"label": f"{label} ({device.id})", "value": device.id} in offered
    assert {"label": unnamed.id, "value": unnamed.id} in offered
    device.send_done(device.sample(3))  # a user with a name
    rows = stage.relay.get("/v1/users", params={"device_id": device.id})["data"]
    names = {row["user_id"]: row["full_name"] for row in rows}
    assert len(names) == 2 and names["8"] is None
    assert make.rpc("listUsers", device_id=device.id) == [
        {"label": f"{name} ({user})" if name else user, "value": user} for user, name in names.items()
    ]
    assert len(make.rpc("listUsers")) > 2  # the users of all devices if none is selected


def test_the_connection_is_tested_and_named(app: App, stage: Stage) -> None:
    url = https(stage.relay.url)
    metadata = Make(app).connect(url=url, apiKey=API_KEY)
    name = stage.relay.get("/v1/me")["name"]
    assert metadata == {"type": "text", "value": f"{name}, {url}"}


def test_a_failed_connection_says_why(app: App, stage: Stage) -> None:
    def reason(url: str, key: str) -> str:
        with pytest.raises(MakeError) as raised:
            Make(app).connect(url=https(url), apiKey=key)
        return raised.value.message

    assert "doesn't know this API key" in reason(stage.relay.url, "crk_made-up-and-unknown")
    assert reason(f"{stage.simulator.url}/nowhere", API_KEY) == "[404] There is no cams-relay at this URL."
    with web_page() as url:
        assert reason(url, API_KEY) == "There is no cams-relay at this URL. Enter its URL without a path."
    for url in (https(stage.relay.url) + "/", stage.relay.url, "http://relay.example.com"):
        with pytest.raises(AssertionError, match="doesn't fit"):
            Make(app).connect(url=url, apiKey=API_KEY)
