"""A command that adds or deletes a user changes /v1/users at once, until the device reports the user itself."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from simulator.faults import Fault
from tests.actions.tools import Machine, events_of, store_of


def shown(one: Machine, user_id: str = "100") -> dict[str, Any] | None:
    """Return the user on the device as the API shows it; None if there is none."""
    answer = one.relay.call("GET", f"/v1/users/{user_id}", params={"device_id": one.id})
    listed = [row["user_id"] for row in one.relay.get("/v1/users", params={"device_id": one.id})["data"]]
    assert (user_id in listed) == answer.ok, listed
    if not answer.ok:
        assert answer.status_code == 404, answer.text
        return None
    found: dict[str, Any] = answer.json()["devices"][0]
    return found


def report(one: Machine, seconds_ago: int = 0, **user: Any) -> None:
    """Send a callback of the device about a user."""
    at = datetime.now(UTC) - timedelta(seconds=seconds_ago)
    document = one.registered.envelope(UserUpdated={"UserID": "100", **user})
    document["RealTime"]["Time"] = at.strftime("%Y-%m-%d %H:%M:%S GMT %z")
    one.registered.send_done(document)


def credential(one: Machine, kind: str) -> str:
    path = f"/v1/users/100/credentials/{kind}/0"
    found: str = one.relay.get(path, params={"device_id": one.id})["data"]
    return found


def test_an_added_user_is_shown_with_credentials_and_their_source(one: Machine) -> None:
    assert shown(one) is None
    one.done("add-user", user_id="100", first_name="Asha", last_name="Rao", card_number="0004829371")
    found = shown(one)
    assert found is not None
    assert (found["full_name"], found["source"]) == ("Asha Rao", "command")
    assert [row["credential_type"] for row in found["credentials"]] == ["card"]
    assert credential(one, "card") == "0004829371"
    assert events_of(one, "user.*") == events_of(one, "credential.*") == []
    assert len(events_of(one, "command.completed")) == 1


def test_a_report_of_the_device_corrects_it_even_if_its_clock_is_behind(one: Machine) -> None:
    one.done("add-user", user_id="100", first_name="Asha", card_number="0004829371")
    card = [{"Type": "Card", "UserID": "100", "Data": "0001111111"}]
    report(one, seconds_ago=600, FirstName="Asha B.", Template=card)
    found = shown(one)
    assert found is not None
    assert (found["first_name"], found["source"]) == ("Asha B.", "device")
    assert credential(one, "card") == "0001111111"


def test_a_command_replaces_what_the_device_reported(one: Machine) -> None:
    report(one, FirstName="Old")
    one.done("add-user", user_id="100", first_name="New", user_type="admin")
    found = shown(one)
    assert found is not None
    assert (found["first_name"], found["user_type"], found["source"]) == ("New", "admin", "command")


def test_a_deleted_user_is_gone_and_can_come_back(one: Machine) -> None:
    one.done("add-user", user_id="100", first_name="Asha", card_number="0004829371")
    report(one, FirstName="Asha")
    one.done("delete-user", user_id="100")
    assert shown(one) is None
    one.done("add-user", user_id="100", first_name="Asha again")
    assert (shown(one) or {})["first_name"] == "Asha again"
    one.done("delete-user", user_id="100")
    assert shown(one) is None
    report(one, FirstName="Asha after all")
    assert (shown(one) or {})["source"] == "device"


def test_a_failed_command_changes_nothing(one: Machine) -> None:
    one.fault(Fault(status_code=11))
    assert one.act("add-user", user_id="100", first_name="Asha").status_code == 422
    assert shown(one) is None


def test_a_damaged_user_doesnt_fail_the_command(one: Machine) -> None:
    client, name = store_of(one.relay), f"{{s0}}:user:{one.id}:100"
    client.set(name, "damaged")
    try:
        one.done("add-user", user_id="100", first_name="Asha")
    finally:
        client.delete(name)
        client.close()
