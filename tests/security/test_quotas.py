"""No device or key can fill the store. A callback over a quota is refused, and accepted when it is sent again later."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from app.callbacks.body import Refused
from app.callbacks.quotas import Quotas
from app.limits.streams import Streams, TooManyStreams
from app.settings.limits import MIB, Limits
from app.settings.table import load
from app.store import Store
from tests.clocks import Clock
from tests.command_line import run_for
from tests.harness import Relay, wait_for
from tests.relay.tools import gateway_time, now, place_of, problem

SECRET = "made-up-secret-key-for-tests-only-0123456789"


def limits(**settings: str) -> Limits:
    return load({"RELAY_SECRET_KEY": SECRET, **settings}).limits


def test_a_device_over_its_quota_waits_and_others_do_not() -> None:
    clock = Clock(1_000.0)
    quotas = Quotas(limits(RELAY_DEVICE_MIB_PER_MINUTE="16"), clock)
    for _ in range(16):
        quotas.charge("greedy", 1, MIB)
    assert quotas.trouble() is None
    with pytest.raises(Refused) as refused:
        quotas.charge("greedy", 1, MIB)
    assert refused.value.status == 429 and "RELAY_DEVICE_MIB_PER_MINUTE" in refused.value.detail
    quotas.charge("other", 1, MIB)
    assert "RELAY_DEVICE_MIB_PER_MINUTE" in (quotas.trouble() or "")
    clock.now += 5
    quotas.charge("greedy", 1, MIB)
    clock.now += 700
    assert quotas.trouble() is None


def test_days_and_events_have_separate_quotas() -> None:
    clock = Clock(1_000.0)
    quotas = Quotas(limits(RELAY_DEVICE_MIB_PER_DAY="20", RELAY_DEVICE_EVENTS_PER_MINUTE="10000"), clock)
    with pytest.raises(Refused, match="EVENTS_PER_MINUTE"):
        quotas.charge("a", 10_001, 10)
    for _ in range(20):
        quotas.charge("b", 1, MIB)
        clock.now += 60
    with pytest.raises(Refused, match="MIB_PER_DAY"):
        quotas.charge("b", 1, MIB)


def test_the_largest_valid_callback_fits_into_the_lowest_quotas() -> None:
    least = limits(
        RELAY_DEVICE_MIB_PER_MINUTE="16",
        RELAY_DEVICE_MIB_PER_DAY="16",
        RELAY_DEVICE_EVENTS_PER_MINUTE="10000",
    )
    Quotas(least).charge("a", 10_000, 16 * MIB)


def test_streams_are_limited_by_key_and_address_until_they_close() -> None:
    streams = Streams(limits(RELAY_STREAMS_PER_KEY="2", RELAY_STREAMS_PER_ADDRESS="3"))
    streams.open("k", "a")
    streams.open("k", "b")
    with pytest.raises(TooManyStreams, match="API key"):
        streams.open("k", "c")
    streams.open("l", "a")
    streams.open("m", "a")
    with pytest.raises(TooManyStreams, match="address"):
        streams.open("n", "a")
    streams.close("k", "a")
    streams.open("n", "a")


@pytest.fixture(scope="module")
def tight(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Relay]:
    """A relay with the smallest quotas."""
    with Relay(
        tmp_path_factory.mktemp("tight"),
        WEB_CONCURRENCY="1",
        RELAY_DEVICE_MIB_PER_DAY="16",
        RELAY_STREAMS_PER_KEY="2",
        RELAY_MOST_SUBSCRIPTIONS="2",
        RELAY_MOST_API_KEYS="2",
        RELAY_DEVICE_USERS="2",
        RELAY_KEY_MIB_PER_MINUTE="16",
        RELAY_MOST_DEVICES="30",
    ) as relay:
        yield relay


def test_over_the_quota_is_429_with_retry_after_counted_and_shown(tight: Relay) -> None:
    device, other = tight.device(), tight.device()
    answers = [device.send(device.punch(Padding="x" * 5 * MIB)) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert int(answers[-1].headers["Retry-After"]) > 0
    assert "RELAY_DEVICE_MIB_PER_DAY" in answers[-1].json()["detail"]
    other.send_done(other.punch())
    assert any("RELAY_DEVICE_MIB_PER_DAY" in text for text in tight.get("/health")["warnings"])

    reports = Store(load(tight.environment)).loop_reports
    # Each process reports every few seconds.
    wait_for(lambda: any("RELAY_DEVICE_MIB_PER_DAY" in text for text in reports.read()), 60)
    ran = run_for(tight, "doctor")
    assert "RELAY_DEVICE_MIB_PER_DAY" in ran.stdout
    assert 'callbacks_refused_total{reason="over_quota"} 1.0' in tight.call("GET", "/metrics").text
    assert f"device {device.id} has exceeded" in tight.logs()


def test_one_stream_too_many_is_429_until_another_closes(tight: Relay) -> None:
    key = {"X-API-Key": tight.environment["RELAY_API_KEY"]}

    def opened() -> requests.Response:
        return requests.get(f"{tight.url}/v1/events/stream", headers=key, stream=True, timeout=20)

    streams = [opened(), opened()]
    assert [stream.status_code for stream in streams] == [200, 200]
    assert opened().status_code == 429
    streams[0].close()

    def is_free() -> bool:
        with opened() as stream:
            return stream.status_code == 200

    device = tight.device()
    # The relay notices a closed stream when it sends something.
    wait_for(lambda: device.send_done(device.punch()) or is_free(), 30)
    streams[1].close()


def test_subscriptions_and_keys_have_a_limit(tight: Relay) -> None:
    body = {"target_url": "http://127.0.0.1:9/", "events": ["*"]}
    others = [{**body, "max_in_flight": number} for number in (1, 2, 3)]
    made = [tight.call("POST", "/v1/subscriptions", json=other) for other in others]
    assert [answer.status_code for answer in made] == [201, 201, 409]
    assert "RELAY_MOST_SUBSCRIPTIONS" in made[-1].json()["detail"]
    assert tight.call("POST", "/v1/subscriptions", json=others[0]).status_code == 200  # it exists already
    tight.call("DELETE", f"/v1/subscriptions/{made[0].json()['id']}")
    assert tight.call("POST", "/v1/subscriptions", json=body).status_code == 201
    key = {"name": "a", "scopes": ["events:read"]}
    statuses = [tight.call("POST", "/v1/api-keys", json=key).status_code for _ in range(3)]
    assert statuses.count(409) >= 1 and statuses[0] == 201


def test_the_length_of_filters_is_limited(tight: Relay) -> None:
    body = {"target_url": "http://127.0.0.1:9/", "events": ["*"], "filters": {"user_ids": ["x" * 300]}}
    assert tight.call("POST", "/v1/subscriptions", json=body).status_code == 422


def test_one_user_too_many_is_429_until_there_is_room(tight: Relay) -> None:
    device = tight.device()

    def sent(section: str, user: str, **fields: Any) -> int:
        values = {"UserID": user, "OperationTime": gateway_time(now()), **fields}
        return device.send(device.envelope(**{section: values})).status_code

    def updated(user: str) -> int:
        return sent("UserUpdated", user, FirstName="Asha", LastName="", UserType="User", Template=[])

    assert [updated(name) for name in ("1", "2", "1", "3")] == [200, 200, 200, 429]
    assert "RELAY_DEVICE_USERS" in " ".join(tight.get("/health")["warnings"])
    device.send_done(device.punch("3"))
    assert sent("UserDeleted", "1") == 200
    assert updated("3") == 200
    users = tight.get("/v1/users", params={"device_id": device.id})["data"]
    assert [row["user_id"] for row in users] == ["2", "3"]


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/v1/devices", {"label": "x" * 201}, "label"),
        ("/v1/devices", {"serial_number": "x" * 101}, "serial_number"),
        ("/v1/devices", {"device_id": "x" * 300}, "device_id"),
        ("/v1/devices", {"gateway_url": "http://127.0.0.1:9/" + "x" * 2_048}, "gateway_url"),
        ("/v1/devices", {"working_hours": "Mon 08:00-18:00," * 1_000}, "working_hours"),
        ("/v1/subscriptions", {"description": "x" * 501}, "description"),
        ("/v1/subscriptions", {"target_url": "http://127.0.0.1:9/" + "x" * 2_048}, "target_url"),
        ("/v1/subscriptions", {"event_types": ["*"] * 51}, "event_types"),
        ("/v1/subscriptions", {"filters": {"user_ids": ["x"] * 1_001}}, "filters.user_ids"),
        ("/v1/api-keys", {"name": "x" * 101}, "name"),
        ("/v1/api-keys", {"scopes": ["events:read"] * 100}, "scopes"),
        ("/v1/employees", {"employees": [{"user_id": "x" * 129, "employee_id": "1"}]}, "employees.0.user_id"),
        (
            "/v1/employees",
            {"employees": [{"user_id": "1", "employee_id": "1", "name": "x" * 201}]},
            "employees.0.name",
        ),
    ],
)
def test_the_length_of_every_name_is_limited(tight: Relay, path: str, body: Any, field: str) -> None:
    errors = problem(tight.call("POST", path, json=body), 422)["errors"]
    assert field in {place_of(error) for error in errors}


def test_only_the_first_of_many_errors_are_reported(tight: Relay) -> None:
    """2,000 unknown event types, 12 KB in all, once caused a response of 688 KB."""
    body = {"target_url": "http://127.0.0.1:1/", "events": [f"no.{number}" for number in range(2_000)]}
    answer = tight.call("POST", "/v1/subscriptions", json=body)
    assert answer.status_code == 422
    assert len(answer.json()["errors"]) == 50
    assert answer.json()["detail"].endswith("; and 1995 more")


def test_a_key_over_its_quota_waits_and_others_do_not(tight: Relay) -> None:
    for one in tight.get("/v1/api-keys")["data"]:
        tight.call("DELETE", f"/v1/api-keys/{one['id']}")
    keys = [
        tight.call("POST", "/v1/api-keys", json={"name": "a", "scopes": ["actions:write"]}).json()["key"]
        for _ in range(2)
    ]
    device = tight.device(gateway_url="http://127.0.0.1:9/")
    picture = base64.b64encode(bytes(MIB)).decode()
    values = {"device_id": device.id, "user_id": "1", "first_name": "Asha", "last_name": "B"}
    values |= dict.fromkeys(("face_data", "palm_data", "user_photo_data"), picture)

    def added(key: str) -> requests.Response:
        return tight.call(
            "POST", "/v1/actions/add-user", key, json=values, headers={"Prefer": "respond-async"}
        )

    answers = [added(keys[0]) for _ in range(5)]
    assert [answer.status_code for answer in answers] == [202, 202, 202, 202, 429]
    seconds = int(answers[-1].headers["Retry-After"])
    assert f"RELAY_KEY_MIB_PER_MINUTE. Send the request again in {seconds} s." in answers[-1].json()["detail"]
    assert 1 <= seconds <= 60 and answers[-1].headers["RateLimit"].startswith('"key-minute";r=')
    assert added(keys[1]).status_code == 202
    assert any("RELAY_KEY_MIB_PER_MINUTE" in text for text in tight.get("/health")["warnings"])
    assert "cams_relay_api_over_quota_total 1.0" in tight.call("GET", "/metrics").text
    assert "has exceeded RELAY_KEY_MIB_PER_MINUTE; requests answered with 429: 1" in tight.logs()


def test_devices_have_a_limit(tight: Relay) -> None:
    def register() -> requests.Response:
        body = {"device_id": f"MANY{secrets.token_hex(4)}", "auth_token": secrets.token_hex(16)}
        return tight.call("POST", "/v1/devices", json=body)

    last = [register() for _ in range(31)][-1]
    assert last.status_code == 409 and "RELAY_MOST_DEVICES" in last.json()["detail"]
    some = tight.get("/v1/devices")["data"][-1]["device_id"]
    assert tight.call("DELETE", f"/v1/devices/{some}").status_code == 204
    assert register().status_code == 201
