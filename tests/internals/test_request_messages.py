"""Error messages for invalid values in request bodies say, for every field, what a valid value looks like."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask
from marshmallow import Schema, ValidationError, fields, validate

from app.attendance.employees import EmployeeRow
from app.base.addresses import AddressGuard
from app.base.request_schema import Body
from app.schemas import subscriptions
from app.schemas.actions import ACTIONS
from app.schemas.api_keys import KeyBody, KeyRotation
from app.schemas.corrections import CorrectionBody
from app.schemas.devices import DeviceBody, DeviceChange
from app.schemas.signing_keys import SigningKeyRotation

_SECRET = "s3cr3t-of-nobody"
_LONG = "x" * 5_000
_WRONG = [
    7, -1, 10**6, 1.5, "", "16", "tomorrow", "2001-01-01T00:00:00", _LONG, _SECRET, True, None, [], [7], [None],
    [_LONG], [""], ["x"] * 2_000, {}, {"a": 7}, {"x": [1]}, {_LONG: _LONG}, {"not a field": 1},
]  # fmt: skip
_SECRETS = ("auth_token", "security_key", "password", "secret", "card_number")
_BODIES = (
    CorrectionBody, DeviceBody, DeviceChange, EmployeeRow, KeyBody, KeyRotation, SigningKeyRotation,
    subscriptions.Filters, subscriptions.PreviewBody, subscriptions.ReplayBody, subscriptions.SubscriptionBody,
    subscriptions.TestBody,
)  # fmt: skip


def _schemas() -> Iterator[Schema]:
    yield from (body() for body in _BODIES)
    yield from (action.schema() for action in ACTIONS.values())


def _marshmallows() -> re.Pattern[str]:
    """Return a pattern for marshmallow's own messages, with any values in them."""
    texts = [
        text
        for kind in vars(fields).values()
        if isinstance(kind, type) and issubclass(kind, fields.Field)
        for text in getattr(kind, "default_error_messages", {}).values()
    ]
    texts += [
        "Unknown field.",
        "Invalid input type.",
        "Must be one of: {choices}.",
        "Must be greater than or equal to",
    ]
    texts += [text for name, text in vars(validate.Length).items() if name.startswith("message_")]
    return re.compile("|".join(re.sub(r"\\{.*?\\}", ".*", re.escape(text)) for text in texts))


def _messages(found: Any) -> Iterator[str]:
    if isinstance(found, dict):
        found = list(found.values())
    if isinstance(found, list):
        for each in found:
            yield from _messages(each)
    else:
        yield str(found)


def test_every_body_schema_uses_the_relays_messages() -> None:
    known = {type(schema) for schema in _schemas()}
    assert all(isinstance(schema, Body) for schema in _schemas())
    assert {kind for kind in _below(Body) if kind.__module__.startswith("app.")} <= known


def _below(kind: type[Schema]) -> set[type[Schema]]:
    return {kind for child in kind.__subclasses__() for kind in (child, *_below(child))}


@pytest.mark.parametrize("schema", list(_schemas()), ids=lambda schema: type(schema).__name__)
def test_an_invalid_value_has_one_of_the_relays_messages(schema: Schema) -> None:
    app = Flask("made up")
    app.extensions["guard"] = AddressGuard("")
    theirs, count = _marshmallows(), 0
    with app.app_context():
        for name in (*schema.fields, "no_such_field"):
            for value in _WRONG:
                for body in ({name: value}, {}):
                    try:
                        schema.load(body, partial=bool(body))
                    except ValidationError as error:
                        for message in _messages(error.messages):
                            count += 1
                            assert not theirs.search(message), (name, message)
                            assert len(message) < 2_000, (name, message[:80])
                            assert name not in _SECRETS or _SECRET not in message
    assert count > len(schema.fields)
