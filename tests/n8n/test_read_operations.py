"""The node's reading operations, its pickers and its credential, in a real n8n."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from simulator.jpeg import make_jpeg
from tests.harness import API_KEY, Device, free_port, wait_for
from tests.n8n.n8n import ACTION, TRIGGER, Execution, Json, N8n
from tests.n8n.operations import chosen, read
from tests.stage import Stage

pytestmark = [
    pytest.mark.timeout(900),  # the first one may have to install n8n
    pytest.mark.usefixtures("user_100"),
]


# Reading from the relay


def test_devices_are_read(n8n: N8n, stage: Stage, device: Device) -> None:
    (one,) = read(n8n, "device", "get", deviceId=chosen(device.id)).json("Cams")
    assert one == stage.relay.get(f"/v1/devices/{device.id}")
    listed = read(n8n, "device", "getAll", returnAll=True).json("Cams")
    assert [row["device_id"] for row in listed] == [
        row["device_id"] for row in stage.relay.get("/v1/devices", params={"limit": 200})["data"]
    ]
    assert len(read(n8n, "device", "getAll", limit=2).json("Cams")) == 2


def test_users_are_read(n8n: N8n, stage: Stage, device: Device) -> None:
    (one,) = read(n8n, "user", "get", userId=chosen("8")).json("Cams")
    assert one == stage.relay.get("/v1/users/8")
    filters = {"device_id": device.id}
    (row,) = read(n8n, "user", "getAll", returnAll=True, filters=filters).json("Cams")
    assert (row["user_id"], row["device_id"]) == ("8", device.id)
    more = {"credentialType": "card", "credentialIndex": 0, "deviceId": chosen(device.id)}
    (card,) = read(n8n, "user", "getCredential", userId=chosen("8"), **more).json("Cams")
    assert card == stage.relay.get("/v1/users/8/credentials/card/0", params={"device_id": device.id})


def test_events_are_read_page_by_page(n8n: N8n, stage: Stage, device: Device) -> None:
    stage.machine(device).punch("8")
    for number in range(205):  # more than a page
        device.send_done(device.punch(str(number)))
    filters = {"device_id": device.id, "type": ["attendance.punch"]}
    whole = read(n8n, "event", "getAll", returnAll=True, filters=filters).json("Cams")
    stored = stage.relay.events(device_id=device.id, type="attendance.punch")
    assert whole == stored[::-1] and len(whole) > 200
    few = read(n8n, "event", "getAll", limit=3, filters={**filters, "user_id": "7"}).json("Cams")
    assert [event["user_id"] for event in few] == ["7"]
    (one,) = read(n8n, "event", "get", eventId=chosen(whole[0]["id"])).json("Cams")
    assert one == whole[0]


def punch_of_77(stage: Stage, device: Device) -> Json:
    rows = stage.relay.events(device_id=device.id, type="attendance.punch")
    found: Json = next(row for row in rows if row["user_id"] == "77")
    return found


def test_results_are_simplified(n8n: N8n, stage: Stage, device: Device) -> None:
    device.send_done(device.punch("77"))
    event = punch_of_77(stage, device)
    body = {"device_id": device.id, "user_id": "100"}
    command = stage.relay.call("POST", "/v1/actions/enable-user", json=body).json()
    whole = {
        ("device", "deviceId"): stage.relay.get(f"/v1/devices/{device.id}"),
        ("event", "eventId"): event,
        ("command", "commandId"): stage.relay.get(f"/v1/commands/{command['command_id']}"),
    }
    for (resource, name), row in whole.items():
        where = {name: chosen(row["id"])}
        (simple,) = read(n8n, resource, "get", simplify=True, **where).json("Cams")
        assert len(simple) == 10 and simple.items() <= row.items()
        (listed,) = read(n8n, resource, "getAll", simplify=True, limit=1).json("Cams")
        assert len(listed) <= 10


def test_an_events_photo_is_a_file(n8n: N8n, stage: Stage, device: Device) -> None:
    photo = make_jpeg("another")
    stage.machine(device).take_photo("8", photo)
    event = wait_for(lambda: stage.relay.events(device_id=device.id, type="attendance.photo"), 20)[0]
    (item,) = read(n8n, "event", "getPhoto", eventId=chosen(event["id"]), binaryPropertyName="face").output(
        "Cams"
    )
    assert n8n.binary(item, "face") == photo
    assert item["binary"]["face"]["mimeType"] == "image/jpeg"
    other = stage.relay.events(device_id=device.id, type="attendance.punch")[0]
    wrong = n8n.run({"resource": "event", "operation": "getPhoto", "eventId": chosen(other["id"])})
    assert "has no photo" in wrong.error["message"]


def test_commands_are_read_and_cancelled(n8n: N8n, stage: Stage, device: Device) -> None:
    stage.machine(device).spec.delay_seconds = 3
    try:
        body = {"device_id": device.id, "user_id": "100"}
        prefer = {"Prefer": "respond-async"}
        first, second = (
            stage.relay.call("POST", f"/v1/actions/{name}", json=body, headers=prefer).json()
            for name in ("disable-user", "enable-user")
        )
        (gone,) = read(n8n, "command", "cancel", commandId=chosen(second["command_id"])).json("Cams")
        assert gone["status"] == "cancelled"
    finally:
        stage.machine(device).spec.delay_seconds = 0
    (one,) = read(n8n, "command", "get", commandId=chosen(first["command_id"])).json("Cams")
    assert one["action"] == "disable-user"
    filters = {"device_id": device.id, "status": "cancelled"}
    listed = read(n8n, "command", "getAll", returnAll=True, filters=filters).json("Cams")
    assert [row["command_id"] for row in listed] == [second["command_id"]]


def test_missing_objects_are_reported(n8n: N8n, device: Device) -> None:
    for wanted in (
        {"resource": "event", "operation": "get", "eventId": chosen("evt_made-up")},
        {"resource": "device", "operation": "get", "deviceId": chosen("NOSUCH")},
    ):
        execution = n8n.run(wanted)
        assert (execution.status, execution.error["httpCode"]) == ("error", "404")
    empty = n8n.run({"resource": "device", "operation": "get", "deviceId": chosen("")})
    assert empty.status == "error"


# Pickers and the credential


def test_the_pickers_list_the_relays_data(n8n: N8n, stage: Stage, device: Device) -> None:
    label = f"Gate of {device.id}"
    stage.relay.call("PATCH", f"/v1/devices/{device.id}", json={"label": label})
    wanted = {"name": f"{label} ({device.id})", "value": device.id}
    assert wanted in n8n.choices(TRIGGER, "deviceOptions", {})
    assert n8n.choices(ACTION, "searchDevices", {}, search=f"gate of {device.id}".lower()) == [wanted]
    assert n8n.choices(ACTION, "searchDevices", {}, search="nothing is called this") == []
    of_device = n8n.choices(ACTION, "searchUsers", {"deviceId": chosen(device.id)}, search="")
    assert [user["value"] for user in of_device] == ["8"]
    for trigger in (TRIGGER, ACTION):
        found = n8n.choices(trigger, "searchUsers", {"deviceIds": [device.id]}, search="")
        assert [user["value"] for user in found] == ["8"]


def test_events_and_commands_are_picked_from_lists(n8n: N8n, stage: Stage, device: Device) -> None:
    device.send_done(device.punch("77"))
    event = punch_of_77(stage, device)
    (found,) = n8n.choices(ACTION, "searchEvents", {"operation": "get"}, search=event["id"])
    assert found["value"] == event["id"]
    assert found["name"].startswith("attendance.punch, user 77, ")
    assert n8n.choices(ACTION, "searchEvents", {"operation": "getPhoto"}, search=event["id"]) == []
    body = {"device_id": device.id, "user_id": "100"}
    made = stage.relay.call("POST", "/v1/actions/enable-user", json=body).json()
    (found,) = n8n.choices(ACTION, "searchCommands", {}, search=made["command_id"])
    name = f"enable-user, {device.id}, user 100: completed ({made['command_id']})"
    assert found == {"name": name, "value": made["command_id"]}


def test_a_picker_reads_page_by_page(n8n: N8n, stage: Stage, device: Device) -> None:
    for number in range(205):  # more than a page
        device.send_done(device.punch(str(number)))
    filters = {"operation": "get"}
    newest = stage.relay.events(device_id=device.id)
    ids = [event["id"] for event in newest]
    oldest = min(ids)
    assert oldest not in [one["value"] for one in n8n.choices(ACTION, "searchEvents", filters, search="")]
    assert [one["value"] for one in n8n.choices(ACTION, "searchEvents", filters, search=oldest)] == [oldest]


class Proxy:
    """Answers every request with a status and a web page, as a proxy does without the server behind it."""

    def __init__(self, status: int, **headers: str) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(status)
                for name, value in {**headers, "Content-Length": "13"}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(b"<html></html>")

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Proxy:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def with_url(n8n: N8n, url: str) -> Execution:
    """Reads devices with a credential for this URL."""
    credential = n8n.credential("camsRelayApi", {"relayUrl": url, "apiKey": API_KEY}, url)
    return n8n.run(
        {"resource": "device", "operation": "getAll", "returnAll": True},
        credentials={"camsRelayApi": credential},
    )


def test_a_wrong_url_is_explained(n8n: N8n, stage: Stage) -> None:
    wrong_path = with_url(n8n, f"{n8n.url}/nowhere")
    assert wrong_path.error["message"].startswith(f"There is no cams-relay at {n8n.url}/nowhere")
    not_https = with_url(n8n, stage.relay.url.replace("http:", "https:"))
    assert not_https.error["message"].endswith("doesn't use https")
    below = with_url(n8n, f"{stage.relay.url}/v1")
    assert below.error["message"] == f"There is no cams-relay at {stage.relay.url}/v1 (HTTP status 404)"
    down = with_url(n8n, f"http://127.0.0.1:{free_port()}")
    assert down.error["message"].startswith("The relay can't be reached at ")
    assert "(ECONNREFUSED)" in down.error["description"]


def test_the_answers_of_a_proxy_are_explained(n8n: N8n, stage: Stage) -> None:
    with Proxy(308, Location=f"{stage.relay.url}/v1/devices") as moved:
        told = with_url(n8n, moved.url).error
    assert told["message"] == f"{moved.url} redirects to {stage.relay.url}"
    assert told["description"].startswith(f"Change the credential’s Relay URL to {stage.relay.url}")
    with Proxy(502) as alone:
        told = with_url(n8n, alone.url).error
    assert told["message"] == f"The relay behind {alone.url} can't be reached (HTTP status 502)"


def test_the_credentials_test_says_what_is_wrong(n8n: N8n, stage: Stage) -> None:
    right = {"relayUrl": stage.relay.url + "/", "apiKey": API_KEY}
    assert n8n.test_credential("camsRelayApi", right)["status"] == "OK"
    unknown = n8n.test_credential("camsRelayApi", {**right, "apiKey": "crk_made-up-and-unknown"})
    assert unknown["status"] == "Error" and "doesn’t know this API key" in unknown["message"]
    elsewhere = n8n.test_credential("camsRelayApi", {**right, "relayUrl": f"{n8n.url}/nowhere"})
    assert elsewhere["status"] == "Error" and "no cams-relay at this URL" in elsewhere["message"]
