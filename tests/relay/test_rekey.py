"""Changing RELAY_SECRET_KEY loses nothing: data encrypted with the old key is encrypted again with the new one."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from app.base.vault import SealError, Vault
from app.store.spool.rekey import seal_spool_anew
from app.store.spool.spool import Spool, Spooled
from app.store.upkeep.rekey import PURPOSES
from tests.command_line import cli
from tests.harness import ROOT, Receiver, Relay, verify, wait_for
from tests.relay.tools import KEY, corrected_punch, events, key_with, sealed

OLD = "made-up-secret-key-before-0123456789abcdef"
NEW = "made-up-secret-key-after-0123456789abcdefg"


def restart(relay: Relay, **environment: str) -> None:
    relay.stop()
    for name in ("RELAY_SECRET_KEY", "RELAY_SECRET_KEY_OLD"):
        relay.environment.pop(name, None)
    relay.environment.update(environment)
    relay.start()


def test_all_data_is_readable_after_a_change_of_the_key(tmp_path: Path, receiver: Receiver) -> None:
    relay = Relay(tmp_path, RELAY_SECRET_KEY=OLD).start()
    try:
        device = relay.device(security_key=KEY, gateway_url="http://127.0.0.1:9/api")
        plain = relay.device()
        secret = relay.subscribe(receiver, include_card_numbers=True)["secret"]
        signing_keys = relay.get("/.well-known/jwks.json")
        api_key = key_with(relay, "events:read")
        repeated: Any = {
            "json": {"name": "kept", "scopes": ["events:read"]},
            "headers": {"Idempotency-Key": "1"},
        }
        answer = relay.call("POST", "/v1/api-keys", **repeated).json()
        user = {
            "UserID": "7",
            "FirstName": "Asha",
            "Template": [{"Type": "Card", "UserID": "7", "Data": "0004829371"}],
        }
        document = device.envelope(UserUpdated=user)
        assert device.send(sealed(document)).ok
        plain.send_done(plain.sample(10))
        wait_for(lambda: len(receiver.received) >= 3)
        photo = events(plain, type="attendance.photo")[0]["photo_url"]
        (credential,) = events(device, type="credential.updated")
        corrected = corrected_punch(relay, plain.id, "7")

        restart(relay, RELAY_SECRET_KEY=NEW, RELAY_SECRET_KEY_OLD=OLD)
        assert "Run `python3 -m app rekey`" in cli(relay, "doctor")
        assert relay.call("GET", "/v1/me", key=api_key).ok
        assert relay.session.get(photo).ok
        output = cli(relay, "rekey")
        assert "2 devices" in output and "1 subscriptions" in output and "1 photos" in output, output
        assert "1 corrections of punches" in output, output
        assert "devices encrypted with" not in cli(relay, "rekey")  # nothing is left to encrypt
        assert "RELAY_SECRET_KEY_OLD is still set but no longer needed" in cli(relay, "doctor")

        restart(relay, RELAY_SECRET_KEY=NEW)
        assert "SECRET_KEY" not in cli(relay, "doctor")
        assert relay.call("GET", "/v1/me", key=api_key).ok
        assert relay.call("POST", "/v1/api-keys", **repeated).json() == answer
        assert relay.get("/v1/corrections", params={"user_id": "7"})["data"] == [corrected]
        assert relay.get("/.well-known/jwks.json") == signing_keys
        assert relay.session.get(photo).status_code == 403
        assert relay.session.get(events(plain, type="attendance.photo")[0]["photo_url"]).ok
        path = f"/v1/users/7/credentials/card/0?device_id={device.id}"
        shown = relay.get(path)
        assert (shown["data"], shown["credential_digest"]) == ("0004829371", credential["credential_digest"])
        assert device.send(sealed(document)).ok  # a duplicate, so nothing is published again
        assert device.send(sealed(device.punch("7"))).ok
        (punch,) = (got for got in receiver.wait(5) if got.json["type"] == "attendance.punch")
        assert verify(secret, punch)["user_name"] == "Asha"
        assert len(events(device)) == 3
        relay.call(
            "POST",
            f"/v1/subscriptions/{relay.get('/v1/subscriptions')['data'][0]['id']}/replay",
            json={"event_ids": [credential["id"]]},
        )
        again = wait_for(lambda: [got for got in receiver.received if got.json["id"] == credential["id"]][1:])
        assert again[0].json["card_number"] == "0004829371"
    finally:
        relay.stop()


def test_a_mistyped_old_key_changes_nothing(tmp_path: Path) -> None:
    relay = Relay(tmp_path, RELAY_SECRET_KEY=OLD).start()
    try:
        device, api_key = relay.device(), key_with(relay, "events:read")
        relay.stop()
        relay.environment.update(RELAY_SECRET_KEY=NEW, RELAY_SECRET_KEY_OLD=f"{OLD}x")
        relay.start("store")
        wait_for(lambda: (tmp_path / "data" / "store" / "valkey.sock").exists())
        cli(relay, "rekey", status=1)
        relay.stop()
        restart(relay, RELAY_SECRET_KEY=NEW, RELAY_SECRET_KEY_OLD=OLD)
        assert "1 devices" in cli(relay, "rekey")
        assert relay.call("GET", "/v1/me", key=api_key).ok
        device.send_done(device.punch("7"))
    finally:
        relay.stop()


def test_callbacks_spooled_with_another_key_are_recovered(tmp_path: Path) -> None:
    before = Spool(tmp_path, Vault(OLD))
    before.append(Spooled("DEV1", 1.0, "http://relay", b"{}"))
    assert seal_spool_anew(tmp_path, Vault(NEW, OLD)) == (0, 1, 0)  # the segment is still being written
    (segment,) = tmp_path.glob("*.spool")
    segment.with_name("1-copy.unreadable").write_bytes(segment.read_bytes())
    segment.unlink()
    assert seal_spool_anew(tmp_path, Vault("c" * 32)) == (0, 0, 1)
    assert seal_spool_anew(tmp_path, Vault(NEW, OLD)) == (1, 0, 0)
    found: list[Spooled] = []
    Spool(tmp_path, Vault(NEW)).replay(found.append)
    assert [item.device_id for item in found] == ["DEV1"]


def test_data_that_neither_key_decrypts_is_reported(tmp_path: Path) -> None:
    sealed_before = Vault("c" * 32).seal("user", b"x")
    with pytest.raises(SealError):
        Vault(NEW, OLD).open("user", sealed_before)


def test_all_kinds_of_encrypted_data_are_encrypted_again() -> None:
    code = "".join(path.read_text() for path in (ROOT / "app").rglob("*.py"))
    used = set(re.findall(r'\.seal\(\s*"([a-z-]+)"', code))
    assert used == set(PURPOSES)
