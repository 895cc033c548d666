"""The catalogue has a JSON Schema for every event type. Its sample and real events match the schema."""

from __future__ import annotations

from jsonschema import Draft202012Validator

from app.events.types import EVENT_TYPES
from tests.harness import Relay


def test_every_type_has_a_schema_that_its_sample_fits(relay: Relay) -> None:
    found = relay.get("/v1/event-types")
    assert [one["type"] for one in found["data"]] == list(EVENT_TYPES) and found["next_cursor"] is None
    for one in found["data"]:
        assert one["summary"] and one["schema_version"] == 1 and one["deprecated"] is False
        Draft202012Validator(one["schema"]).validate(one["sample"])


def test_a_real_event_fits_its_schema(relay: Relay) -> None:
    device = relay.device()
    device.send_done(device.punch())
    (event,) = relay.events(device_id=device.id)
    schemas = {one["type"]: one["schema"] for one in relay.get("/v1/event-types")["data"]}
    Draft202012Validator(schemas[event["type"]]).validate(event)
    assert set(event) == set(schemas[event["type"]]["properties"])


def test_responses_of_the_api_are_not_cached(relay: Relay) -> None:
    for path in ("/v1/me", "/v1/events", "/v1/events/evt_none"):
        assert relay.call("GET", path).headers["cache-control"] == "no-store"
