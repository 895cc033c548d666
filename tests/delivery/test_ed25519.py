"""Ed25519 signatures of deliveries (`v1a`), their public keys, and their rotation. Contract §4."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from app.base.vault import SealError
from app.health.delivery_checks import target_problems
from app.settings.table import load
from app.store import Store
from app.store.server.keys import SIGNING_KEYS
from tests.delivery.tools import punch
from tests.docs.conftest import block
from tests.harness import Received, Receiver, Relay, verify
from tests.relay.tools import problem

WELL_KNOWN = "/.well-known/jwks.json"
ROTATE = "/v1/signing-keys/rotate"


@pytest.fixture
def relay(tmp_path: Path) -> Iterator[Relay]:
    """Return a relay of its own, because the signing keys are those of the whole store."""
    relay = Relay(tmp_path).start()
    yield relay
    relay.stop()


def key_set(relay: Relay) -> list[dict[str, Any]]:
    answer = relay.session.get(relay.url + WELL_KNOWN)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["keys"]
    return found


def signatures(got: Received, version: str) -> list[bytes]:
    parts = (part.partition(",") for part in got.headers["webhook-signature"].split())
    return [base64.b64decode(text) for name, _, text in parts if name == version]


def is_signed(got: Received, key: dict[str, Any], body: bytes | None = None) -> bool:
    """Return whether one of the delivery's signatures is that of a key, by an independent check."""
    public = Ed25519PublicKey.from_public_bytes(base64.urlsafe_b64decode(key["x"] + "="))
    head = f"{got.headers['webhook-id']}.{got.headers['webhook-timestamp']}."
    for signature in signatures(got, "v1a"):
        try:
            public.verify(signature, head.encode() + (got.body if body is None else body))
        except InvalidSignature:
            continue
        return True
    return False


def test_a_delivery_has_both_signatures(relay: Relay, receiver: Receiver) -> None:
    subscription = relay.subscribe(receiver, signatures=["ed25519", "hmac"])
    assert subscription["signatures"] == ["hmac", "ed25519"]
    punch(relay.device())
    (got,) = receiver.wait(1)
    (key,) = key_set(relay)
    assert verify(subscription["secret"], got)["type"] == "attendance.punch"
    assert is_signed(got, key)
    assert not is_signed(got, key, got.body + b" ")
    assert key["public_key"] == "whpk_" + base64.b64encode(base64.urlsafe_b64decode(key["x"] + "=")).decode()


def test_the_documented_check_accepts_it(relay: Relay, receiver: Receiver) -> None:
    relay.subscribe(receiver, signatures=["hmac", "ed25519"])
    punch(relay.device())
    (got,) = receiver.wait(1)
    snippet = block("docs/webhooks.md", "python", "verify-ed25519-by-hand")
    known = {"body": got.body, "headers": got.headers, "key": key_set(relay)[0]}
    exec(snippet, known)
    with pytest.raises(InvalidSignature):
        exec(snippet, {**known, "body": got.body + b" "})


def test_the_default_is_hmac_alone(relay: Relay, receiver: Receiver) -> None:
    subscription = relay.subscribe(receiver)
    assert subscription["signatures"] == ["hmac"]
    punch(relay.device())
    (got,) = receiver.wait(1)
    assert len(signatures(got, "v1")) == 1 and not signatures(got, "v1a")


def test_a_subscription_can_change_to_ed25519_alone_and_back(relay: Relay, receiver: Receiver) -> None:
    device, subscription = relay.device(), relay.subscribe(receiver)
    path = f"/v1/subscriptions/{subscription['id']}"
    changed = relay.call("PATCH", path, json={"signatures": ["ed25519"]}).json()
    assert changed["signatures"] == ["ed25519"]
    punch(device)
    (got,) = receiver.wait(1)
    assert not signatures(got, "v1") and is_signed(got, key_set(relay)[0])
    assert relay.call("PATCH", path, json={"signatures": None}).json()["signatures"] == ["hmac"]
    for wrong, place in (([], "signatures"), (["rsa"], "signatures.0"), ("hmac", "signatures")):
        problem(relay.call("PATCH", path, json={"signatures": wrong}), 422, place)


def test_after_a_rotation_both_keys_sign_until_the_previous_one_expires(
    relay: Relay, receiver: Receiver
) -> None:
    device = relay.device()
    relay.subscribe(receiver, signatures=["ed25519"])
    (first,) = key_set(relay)
    rotated = relay.call("POST", ROTATE, json={}).json()["keys"]
    assert rotated == key_set(relay)
    second = rotated[0]
    assert rotated[1]["kid"] == first["kid"] and second["kid"] != first["kid"]
    assert second["expires_at"] is None and rotated[1]["expires_at"] is not None
    punch(device)
    (got,) = receiver.wait(1)
    assert is_signed(got, first) and is_signed(got, second)

    (third,) = relay.call("POST", ROTATE, json={"previous_key_expires_in": 0}).json()["keys"]
    punch(device)
    got = receiver.wait(2)[1]
    assert is_signed(got, third) and not is_signed(got, first) and not is_signed(got, second)
    problem(relay.call("POST", ROTATE, json={"previous_key_expires_in": -1}), 422, "previous_key_expires_in")
    assert [row["action"] for row in relay.get("/v1/audit")["data"]][:2] == ["signing_key.rotated"] * 2


def test_the_key_set_is_public_and_may_be_cached_but_only_admin_rotates(relay: Relay) -> None:
    answer = relay.session.get(relay.url + WELL_KNOWN)
    assert answer.headers["cache-control"] == "public, max-age=300"
    assert answer.headers["access-control-allow-origin"] == "*"
    assert relay.session.post(relay.url + ROTATE).status_code == 401
    key = relay.call(
        "POST", "/v1/api-keys", json={"name": "hooks", "scopes": ["subscriptions:write"]}
    ).json()["key"]
    problem(relay.call("POST", ROTATE, key=key), 403)


def damaged(relay: Relay, value: bytes | list[bytes]) -> None:
    """Replace the stored keys by a value that isn't encrypted, or by one of another type."""
    client = Store(load(relay.environment)).connection.redis
    client.delete(SIGNING_KEYS)
    client.rpush(SIGNING_KEYS, *value) if isinstance(value, list) else client.set(SIGNING_KEYS, value)


DAMAGED = pytest.mark.parametrize("value", [b"damaged", [b"another type"]])


@DAMAGED
def test_damaged_keys_are_reported_and_a_rotation_replaces_them(
    relay: Relay, receiver: Receiver, value: bytes | list[bytes]
) -> None:
    relay.subscribe(receiver, signatures=["hmac", "ed25519"])
    kept = Store(load(relay.environment))
    with pytest.raises(SealError):
        # It is encrypted, and for this purpose only.
        kept.vault.open("device", kept.connection.redis.get(SIGNING_KEYS))
    damaged(relay, value)
    problem(relay.session.get(relay.url + WELL_KNOWN), 409)
    assert any("The stored signing keys can't be read" in one for one in target_problems(kept))
    (key,) = relay.call("POST", ROTATE, json={}).json()["keys"]
    assert not target_problems(kept)
    punch(relay.device())
    (got,) = receiver.wait(1)
    assert is_signed(got, key)


@DAMAGED
def test_damaged_keys_stop_no_delivery(relay: Relay, receiver: Receiver, value: bytes | list[bytes]) -> None:
    device, (key,) = relay.device(), key_set(relay)
    relay.subscribe(receiver, signatures=["ed25519"], headers={"X-Signed": "ed25519"})
    punch(device)
    receiver.wait(1)
    damaged(relay, value)
    relay.subscribe(receiver, headers={"X-Signed": "hmac"})  # the worker reads the keys again
    punch(device)
    got = {one.headers["x-signed"]: one for one in receiver.wait(3)[1:]}
    assert signatures(got["hmac"], "v1")
    assert is_signed(got["ed25519"], key)  # the worker still has it

    relay.kill("worker")
    relay.start("worker")
    punch(device)
    got = {one.headers["x-signed"]: one for one in receiver.wait(5)[3:]}
    assert signatures(got["hmac"], "v1") and "webhook-signature" not in got["ed25519"].headers


def test_other_signatures_make_another_subscription(relay: Relay, receiver: Receiver) -> None:
    first = relay.subscribe(receiver)
    body = {"target_url": first["target_url"], "event_types": first["event_types"], "signatures": ["ed25519"]}
    made = [relay.call("POST", "/v1/subscriptions", json=body) for _ in range(2)]
    assert [answer.status_code for answer in made] == [201, 200]
    assert made[0].json()["id"] == made[1].json()["id"] != first["id"]
