"""Users and their credentials are merged, encrypted, shown without data, and removed on deletion. Contract §3, §5."""

from __future__ import annotations

import base64
import json
import secrets
from typing import Any
from urllib.parse import quote

import pytest
import requests

from tests.harness import Device, Relay, wait_for
from tests.relay.tools import cursor_at, done, events, key_with, only, problem


def update(device: Device, user: str | None, *templates: dict[str, Any], **fields: Any) -> None:
    """Send a UserUpdated. If `user` is None, it has no UserID of its own, as in #6 to #8."""
    own = {} if user is None else {"UserID": user}
    section = {**own, **fields, "OperationTime": "2026-03-01 09:00:00 GMT +0530", "Template": list(templates)}
    device.send_done(device.envelope(UserUpdated=section))


def template(kind: str, data: str, user: str = "2", **fields: Any) -> dict[str, Any]:
    return {"Type": kind, "UserID": user, "Data": data, **fields}


def user(device: Device, user_id: str = "2") -> dict[str, Any]:
    """Return the user on this device, as in the API."""
    shown = device.relay.get(f"/v1/users/{quote(user_id, safe='')}", params={"device_id": device.id})
    assert shown["user_id"] == user_id
    (found,) = shown["devices"]
    return dict(found)


def held(device: Device, user_id: str = "2") -> set[tuple[str, int]]:
    return {(c["credential_type"], c["credential_index"]) for c in user(device, user_id)["credentials"]}


def data_of(device: Device, kind: str, index: int = 0, user_id: str = "2") -> requests.Response:
    path = f"/v1/users/{quote(user_id, safe='')}/credentials/{kind}/{index}"
    return device.relay.call("GET", path, params={"device_id": device.id})


def test_templates_are_merged_by_type_and_index(device: Device) -> None:
    update(device, "2", template("Card", "9804445"), FirstName="Asha", LastName="Rao", UserType="Admin")
    update(device, None, template("Fingerprint", "Zmlyc3Q=", Index="1", Size="5"))
    update(device, None, template("Fingerprint", "c2Vjb25k", Index="6", Size="6"))
    update(device, None, template("Face", "ZmFjZQ==", Index="0"), template("Palm", "cGFsbQ==", Index="0"))
    update(device, "2", template("Password", "124445"), FirstName="", LastName="")
    assert held(device) == {
        ("card", 0),
        ("fingerprint", 1),
        ("fingerprint", 6),
        ("face", 0),
        ("palm", 0),
        ("password", 0),
    }
    update(device, None, template("Fingerprint", "b3RoZXI=", Index="6"))
    assert data_of(device, "fingerprint", 6).json()["data"] == "b3RoZXI="
    assert data_of(device, "fingerprint", 1).json()["data"] == "Zmlyc3Q="
    shown = user(device)
    assert (shown["first_name"], shown["last_name"], shown["full_name"]) == ("Asha", "Rao", "Asha Rao")
    assert shown["user_type"] == "admin"


def test_an_update_without_names_does_not_clear_them(device: Device) -> None:
    update(device, "2", FirstName="Asha", LastName="Rao", UserType="User")
    update(device, "2", template("Card", "9804445"), FirstName="", LastName=None)
    latest = events(device, type="user.updated")[-1]
    assert latest["full_name"] == "Asha Rao"
    assert latest["user_type"] == "user"
    assert latest["credentials_changed"] == "card"


def test_a_template_without_user_data_is_not_a_user_update(device: Device) -> None:
    update(device, None, template("Fingerprint", "Zmlyc3Q=", Index="6"))
    assert [event["type"] for event in events(device)] == ["credential.updated"]
    assert only(device, "credential.updated")["credential_size_bytes"] == 5
    assert user(device)["full_name"] is None


def test_each_template_of_a_callback_is_an_event(device: Device) -> None:
    update(
        device,
        "2",
        template("Card", "9804445"),
        template("Password", "124445"),
        *(template("Fingerprint", base64.b64encode(b"x%d" % n).decode(), Index=str(n)) for n in range(10)),
        FirstName="Asha",
    )
    assert len(events(device, type="credential.updated")) == 12
    assert only(device, "user.updated")["credentials_changed"] == "card,password,fingerprint"
    assert len(held(device)) == 12


def test_a_template_can_belong_to_another_user(device: Device) -> None:
    update(device, "2", template("Card", "111222333", user="3"), FirstName="Asha")
    assert only(device, "credential.updated")["user_id"] == "3"
    assert held(device, "3") == {("card", 0)}
    assert held(device, "2") == set()


def test_is_new_and_digest_show_a_change_without_revealing_the_data(relay: Relay, device: Device) -> None:
    for data in ("9804445", "9804445", "9804446", "9804445"):
        update(device, "2", template("Card", data))
    changes = events(device, type="credential.updated")
    assert [event["is_new"] for event in changes] == [True, False, False, False]
    digests = [event["credential_digest"] for event in changes]
    assert digests[0] == digests[1] == digests[3] != digests[2]
    other = relay.device()
    update(other, "2", template("Card", "9804445"))
    assert only(other, "credential.updated")["credential_digest"] != digests[0], (
        "otherwise, it could be looked up"
    )
    assert user(device)["credentials"][0]["credential_digest"] == digests[0]


def test_a_deleted_user_is_removed_with_all_credentials(device: Device) -> None:
    update(device, "2", template("Card", "9804445"), template("Password", "124445"), FirstName="Asha")
    update(device, "3", FirstName="Bela")
    device.send_done(device.envelope(UserDeleted={"UserID": "2"}))
    assert only(device, "user.deleted")["user_id"] == "2"
    problem(device.relay.call("GET", "/v1/users/2", params={"device_id": device.id}), 404)
    problem(data_of(device, "card"), 404)
    listed = device.relay.get("/v1/users", params={"device_id": device.id})["data"]
    assert [row["user_id"] for row in listed] == ["3"]
    update(device, "2", template("Card", "9804445"))
    assert events(device, type="credential.updated")[-1]["is_new"] is True
    assert user(device)["first_name"] is None
    assert held(device) == {("card", 0)}


# Reading credentials


def test_reading_a_credential_needs_its_scope_and_is_audited(relay: Relay, device: Device) -> None:
    data = base64.b64encode(secrets.token_bytes(60)).decode()
    update(device, None, template("Fingerprint", data, Index="6", Size="60"))
    path = f"/v1/users/2/credentials/fingerprint/6?device_id={device.id}"
    shown = user(device)["credentials"][0]
    assert "data" not in shown and shown["credential_size_bytes"] == 60
    problem(relay.call("GET", path, key=key_with(relay, "events:read", "devices:write", "metrics:read")), 403)
    problem(relay.call("GET", path, key=None), 401)
    reader = key_with(relay, "templates:read")
    reader_id = relay.get("/v1/me", key=reader)["id"]
    answer = relay.call("GET", path, key=reader)
    assert answer.json()["data"] == data
    assert answer.json()["credential_digest"] == shown["credential_digest"]
    assert "no-store" in answer.headers["cache-control"]
    logs = wait_for(lambda: reader_id in relay.logs() and relay.logs())
    (line,) = (line for line in logs.splitlines() if reader_id in line and device.id in line)
    assert "INFO    relay.audit" in line and "fingerprint" in line
    assert data not in logs


@pytest.mark.parametrize("kind", ["Card", "Password", "UserPhoto"])
def test_the_index_is_0_for_types_without_index(device: Device, kind: str) -> None:
    update(device, "2", template(kind, "123456"))
    name = {"UserPhoto": "user_photo"}.get(kind, kind.lower())
    assert data_of(device, name, 0).json()["data"] == "123456"
    problem(data_of(device, name, 1), 404)


@pytest.mark.parametrize(
    "path, status",
    [
        ("/v1/users/2/credentials/card/0", 422),
        ("/v1/users/2/credentials/card/0?device_id=nobody", 422),
        ("/v1/users/2/credentials/tail/0?device_id={id}", 404),
        ("/v1/users/2/credentials/card/x?device_id={id}", 404),
        ("/v1/users/404?device_id={id}", 404),
        ("/v1/users/2?device_id=nobody", 404),
        ("/v1/users?limit=201", 422),
    ],
)
def test_an_invalid_request_returns_a_problem(relay: Relay, device: Device, path: str, status: int) -> None:
    fields = {422: ["limit" if "limit" in path else "device_id"]}.get(status, [])
    problem(relay.call("GET", path.format(id=device.id)), status, *fields)


@pytest.mark.parametrize("path", ["/v1/users", "/v1/events", "/v1/attendance?date=2026-11-24"])
def test_the_list_for_an_unknown_device_is_empty(relay: Relay, path: str) -> None:
    page = relay.get(path, params={"device_id": "nobody"})
    assert page["data"] == [] and page["next_cursor"] is None


@pytest.mark.parametrize("user_id", ["A/12", "a b", "..", "?", "用户", "%2F", "credentials"])
def test_any_user_id_can_be_requested(device: Device, user_id: str) -> None:
    update(device, user_id, template("Card", "9804445", user=user_id), FirstName="Asha")
    if user_id != "..":  # no client sends this as a path segment
        assert user(device, user_id)["first_name"] == "Asha"
        assert data_of(device, "card", 0, user_id).json()["data"] == "9804445"
    listed = device.relay.get("/v1/users", params={"device_id": device.id})["data"]
    assert [row["user_id"] for row in listed] == [user_id]


def test_a_user_on_several_devices_is_listed_for_each(relay: Relay) -> None:
    user_id = secrets.token_hex(4)
    devices = sorted([relay.device(label=f"Gate {n}") for n in range(3)], key=lambda device: device.id)
    for number, device in enumerate(devices):
        update(device, user_id, FirstName=f"Asha{number}")
    shown = relay.get(f"/v1/users/{user_id}")
    assert [row["device_id"] for row in shown["devices"]] == [device.id for device in devices]
    assert [row["first_name"] for row in shown["devices"]] == ["Asha0", "Asha1", "Asha2"]
    assert {row["device_label"] for row in shown["devices"]} == {"Gate 0", "Gate 1", "Gate 2"}


@pytest.mark.parametrize("limit", [1, 2, 3, 50])
def test_pages_of_the_list_have_no_gaps_or_duplicates(relay: Relay, limit: int) -> None:
    prefix = secrets.token_hex(3)
    devices = [relay.device() for _ in range(2)]
    expected = set()
    for number in range(4):
        for device in devices[: 1 + number % 2]:
            update(device, f"{prefix}{number}", FirstName="Asha")
            expected.add((f"{prefix}{number}", device.id))
    found, cursor = [], cursor_at(relay, "/v1/users", f"{prefix}\n")
    while cursor is not None:
        page = relay.get("/v1/users", params={"limit": limit, "cursor": cursor})
        assert len(page["data"]) <= limit
        found += [(row["user_id"], row["device_id"]) for row in page["data"]]
        cursor = page["next_cursor"]
        if found and not found[-1][0].startswith(prefix):
            break
    found = [row for row in found if row[0].startswith(prefix)]
    assert sorted(found) == sorted(expected) and found == sorted(found)


def test_concurrent_updates_are_both_merged(relay: Relay, device: Device) -> None:
    from concurrent.futures import ThreadPoolExecutor

    def send(index: int) -> requests.Response:
        section = {"Template": [template("Fingerprint", "Zmlyc3Q=", Index=str(index))]}
        document = device.envelope(UserUpdated=section)
        return requests.post(f"{relay.url}/callback", json=document, timeout=15)

    with ThreadPoolExecutor(10) as pool:
        for answer in pool.map(send, range(10)):
            done(answer)
    assert len(held(device)) == 10


@pytest.mark.parametrize("name", ["UserId", "UserID"])
def test_a_photo_next_to_templates_is_the_users_photo(device: Device, name: str) -> None:
    """Two gateways send it without a Template, so that only the Photo has the user's ID."""
    photo = {"Type": "Jpg", name: "31", "Size": "4", "Data": "cGhvdG8="}
    device.send_done(device.envelope(UserUpdated={"Photo": photo}))
    assert held(device, "31") == {("user_photo", 0)}
    assert data_of(device, "user_photo", user_id="31").json()["data"] == "cGhvdG8="
    event = only(device, "credential.updated")
    assert (event["user_id"], event["credential_type"], event["credential_size_bytes"]) == (
        "31",
        "user_photo",
        5,
    )
    assert only(device, "user.updated")["credentials_changed"] == "user_photo"
    assert not events(device, type="callback.unrecognised")


@pytest.mark.parametrize(
    "photo",
    ["cGhvdG8=", {"Data": "cGhvdG8="}, [{"Type": "UserPhoto", "Data": "cGhvdG8=", "Size": 5}]],
    ids=["text", "object", "list"],
)
def test_a_photo_belongs_to_the_user_whose_update_carries_it(device: Device, photo: Any) -> None:
    update(device, "2", template("Card", "9804445"), Photo=photo)
    assert held(device) == {("card", 0), ("user_photo", 0)}
    assert only(device, "user.updated")["credentials_changed"] == "card,user_photo"
    shown = json.dumps(events(device))
    assert "cGhvdG8" not in shown


@pytest.mark.parametrize("photo", [{"UserId": "31", "Data": ""}, {"UserId": "31"}, {"Data": "cGhvdG8="}, 7])
def test_an_unreadable_photo_is_reported(device: Device, photo: Any) -> None:
    device.send_done(device.envelope(UserUpdated={"Photo": photo}))
    assert "UserUpdated.Photo" in only(device, "callback.unrecognised")["reason"]
