"""`RateLimit` and `RateLimit-Policy` contain the remaining quotas of an API key. Contract §8."""

from __future__ import annotations

from dataclasses import replace

import pytest

from app.limits.key_quotas import KeyQuotas, OverQuota
from app.settings.limits import MIB
from app.settings.table import load
from tests.harness import Relay
from tests.relay.tools import problem

POLICY = (
    f'"key-minute";q={256 * MIB};qu="content-bytes";w=60, "key-day";q={8192 * MIB};qu="content-bytes";w=86400'
)


@pytest.fixture
def clock() -> list[float]:
    return [1_000.0]


@pytest.fixture
def quotas(clock: list[float]) -> KeyQuotas:
    """Quotas of 60 MiB a minute and 24 × 60 MiB a day, so that both refill by a whole number of bytes per second."""
    limits = replace(load({}).limits, key_mib_per_minute=60, key_mib_per_day=1440)
    return KeyQuotas(limits, lambda: clock[0])


def left(quotas: KeyQuotas) -> str:
    return quotas.headers("key_1")["RateLimit"]


def test_headers_say_what_is_left_and_when_it_is_full_again(quotas: KeyQuotas, clock: list[float]) -> None:
    assert left(quotas) == f'"key-minute";r={60 * MIB};t=0, "key-day";r={1440 * MIB};t=0'
    quotas.charge("key_1", 30 * MIB)
    assert left(quotas) == f'"key-minute";r={30 * MIB};t=30, "key-day";r={1410 * MIB};t=1800'
    clock[0] += 30
    assert left(quotas).startswith(f'"key-minute";r={60 * MIB};t=0, ')
    assert quotas.headers("key_2")["RateLimit"].startswith(f'"key-minute";r={60 * MIB};t=0')


def test_a_refused_request_is_accepted_after_the_stated_time(quotas: KeyQuotas, clock: list[float]) -> None:
    quotas.charge("key_1", 50 * MIB)
    with pytest.raises(OverQuota, match="RELAY_KEY_MIB_PER_MINUTE") as refused:
        quotas.charge("key_1", 20 * MIB)
    assert refused.value.seconds == 10
    clock[0] += 9.5
    with pytest.raises(OverQuota):
        quotas.charge("key_1", 20 * MIB)
    clock[0] += 0.5
    quotas.charge("key_1", 20 * MIB)


def test_the_answer_to_a_body_has_the_headers(relay: Relay) -> None:
    body = {"device_id": "RATE1", "auth_token": "a" * 31 + "r"}
    made = relay.call("POST", "/v1/devices", json=body)
    assert made.status_code == 201 and made.headers["RateLimit-Policy"] == POLICY
    minute, day = made.headers["RateLimit"].split(", ")
    assert minute.startswith('"key-minute";r=') and day.startswith('"key-day";r=')
    refused = relay.call("PATCH", "/v1/devices/RATE1", json={"label": 7})
    problem(refused, 422)
    assert refused.headers["RateLimit-Policy"] == POLICY


def test_a_request_without_a_body_or_a_key_has_none(relay: Relay) -> None:
    for answer in (relay.call("GET", "/v1/me"), relay.call("POST", "/v1/devices", key=None, json={})):
        assert not {"RateLimit", "RateLimit-Policy"} & set(answer.headers)
