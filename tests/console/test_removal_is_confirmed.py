"""Removing a device in the console shows the number of users, and requires the device's name."""

from __future__ import annotations

import re

from tests.console.tools import Client
from tests.harness import API_KEY
from tests.stage import Stage


def test_the_console_requires_the_devices_name_to_remove_it(stage: Stage) -> None:
    device = stage.new_device()
    device.send_done(device.punch("100"))
    path = f"/v1/devices/{device.id}"
    client = Client(stage.relay)
    client.sign_in(API_KEY)
    page = client.get(f"/console/devices/{device.id}").text
    token = re.search(r'name="csrf-token" content="([0-9a-f]+)"', page)
    assert token
    asked = client.get(f"/console/confirm/remove-device?device_id={device.id}").json()
    assert device.id in asked["names"]
    assert "records of 1 user and" in asked["question"]
    for typed in (None, "another"):
        headers = {"X-CSRF-Token": token[1], **({"X-Confirm-Device": typed} if typed else {})}
        answer = client.session.delete(stage.relay.url + path, headers=headers, timeout=20)
        assert answer.status_code == 422 and asked["names"][0] in answer.text
    assert stage.relay.get(path)["device_id"] == device.id
    headers = {"X-CSRF-Token": token[1], "X-Confirm-Device": asked["names"][0]}
    assert client.session.delete(stage.relay.url + path, headers=headers, timeout=20).status_code == 204
    assert stage.relay.call("GET", path).status_code == 404


def test_an_api_key_needs_no_name_to_remove_a_device(stage: Stage) -> None:
    device = stage.new_device()
    assert stage.relay.call("DELETE", f"/v1/devices/{device.id}").status_code == 204


def test_the_confirmation_page_of_an_unknown_device_is_422(stage: Stage) -> None:
    client = Client(stage.relay)
    client.sign_in(API_KEY)
    answer = client.get("/console/confirm/remove-device?device_id=NONE")
    assert answer.status_code == 422 and "device_id" in answer.text
