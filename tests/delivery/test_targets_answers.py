"""The stored part of a target's response."""

from __future__ import annotations

import base64
from dataclasses import replace
from typing import Any

import orjson
import pytest

from app.store.subscriptions.records import Subscription
from app.store.subscriptions.signing import new_secret
from workers.delivery.answers import MOST, answer_to_keep
from workers.http.messages import Response

PUBLIC = "93.184.215.14"
SUBSCRIPTION = Subscription(
    id="sub_4h3gw8x2m1k6p9r5t7v3y2b1",
    target_url="https://example.com/hook",
    events=("*",),
    device_ids=frozenset(),
    user_ids=frozenset(),
    punch_types=frozenset(),
    command_ids=frozenset(),
    format="flat",
    description=None,
    max_in_flight=16,
    batch_max=1,
    batch_wait_ms=500,
    include_card_numbers=False,
    status="active",
    disabled_reason=None,
    created_at="2026-11-24T00:00:00Z",
    after={},
    secrets=[[new_secret(), None]],
)


def stored_answer(body: bytes, address: str = PUBLIC, **fields: Any) -> dict[str, Any]:
    """Return the stored part of a body that came from an address."""
    response = Response(status=500, body=body, address=address)
    text = answer_to_keep(replace(SUBSCRIPTION, **fields), response, "2026-11-24T00:00:00.000Z")
    found: dict[str, Any] = orjson.loads(text) if text else {}
    return found


@pytest.mark.parametrize(
    "address", ["10.1.2.3", "127.0.0.1", "169.254.169.254", "::1", "::ffff:10.0.0.1", ""]
)
def test_a_response_from_a_private_address_is_restricted(address: str) -> None:
    assert stored_answer(b"oops", address)["restricted"] is True


def test_a_response_from_a_public_address_is_not_restricted() -> None:
    assert stored_answer(b"oops")["restricted"] is False


def test_a_response_to_confidential_data_is_restricted() -> None:
    assert stored_answer(b"oops", headers={"X-Team": "payroll"})["restricted"] is True
    assert stored_answer(b"oops", include_card_numbers=True)["restricted"] is True


def test_text_is_cut_at_a_character_and_an_empty_response_is_not_stored() -> None:
    assert stored_answer(b"") == {}
    assert len(stored_answer("ä".encode() * MOST)["body"].encode()) == MOST
    assert len(stored_answer(b"x" + "ä".encode() * MOST)["body"].encode()) == MOST - 1
    assert stored_answer(b"\xff\xfe")["body"] == "(binary, 2 bytes)"
    assert stored_answer(b"cut \xc3")["body"] == "(binary, 5 bytes)"


def test_secrets_are_replaced_in_every_encoding() -> None:
    password = base64.b64encode(b"made/up:user?").decode()
    headers = {"Authorization": f"Basic {password}", "X-Key": "väl/ue"}
    secret = SUBSCRIPTION.secrets[0][0]
    body_text = f"{headers['Authorization']} {password} väl/ue väl\\/ue {secret} {secret[6:]}"
    assert stored_answer(body_text.encode(), headers=headers)["body"] == "… … … … … …"
