"""Processes that store one device's callbacks in any order."""

from __future__ import annotations

import secrets
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import redis

from app.events.flatten import Receipt
from app.gateway import callbacks
from app.settings.table import load
from app.store import Store
from app.store.devices.registry import Device
from app.store.events.query import Query
from app.store.people.users import PROFILE
from tests.harness import Relay, wait_for
from tests.relay.tools import gateway_time

BEGAN = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=2)
RECEIVED = BEGAN + timedelta(hours=1)


class Processes:
    """Several processes of a relay, each with its own memory, that store callbacks of one device."""

    def __init__(self, relay: Relay, count: int = 3) -> None:
        self.relay = relay
        self.environment = {
            name: relay.environment[name]
            for name in ("RELAY_DATA_DIR", "RELAY_SECRET_KEY", "REDIS_URL", "RELAY_SHARDS")
            if name in relay.environment
        }
        self._stores = [Store(load(self.environment)) for _ in range(count)]
        self.store = self._stores[0]
        wait_for(self._answers, 60)
        self.device_id = secrets.token_hex(6)
        record = {
            "device_id": self.device_id,
            "label": None,
            "serial_number": None,
            "timezone": "UTC",
            "mode": "native",
        }
        token = secrets.token_urlsafe(24)
        self.store.devices.register(record, {"auth_token": token, "security_key": None})

    def _answers(self) -> bool:
        with suppress(redis.RedisError, OSError):
            return bool(self.store.connection.redis.ping())
        return False

    def device(self, process: int = 0) -> Device:
        device = self._stores[process].devices.get(self.device_id)
        assert device is not None
        return device

    def document(self, section: dict[str, Any], sent: datetime | None = None) -> dict[str, Any]:
        """Return a callback. `sent` is the envelope's Time."""
        time = {"Time": gateway_time(sent)} if sent else {}
        return {"RealTime": {"OperationID": secrets.token_hex(6), **time, **section}}

    def deliver(self, process: int, document: dict[str, Any], received: datetime) -> None:
        """Store a callback with this time of receipt, in one of the processes."""
        device = self.device(process)
        receipt = Receipt(device.id, None, None, received, timedelta(days=30), "http://relay")
        body = orjson.dumps(document)
        self._stores[process].ingest.store(device, callbacks.read(document), document, body, receipt)

    def events(self, user_id: str) -> list[dict[str, Any]]:
        """Return the published events of a user, oldest first."""
        found = self.store.events.all(Query(device_ids=(self.device_id,), user_ids=(user_id,)))
        return list(found)[::-1]

    def users(self, user_ids: list[str]) -> dict[str, Any]:
        """Return stored users: their profiles, and the data of their credentials."""
        users, device, found = self.store.users, self.device(), {}
        listed = users.page(device, None, 10_000)
        for user_id, shown in zip(user_ids, users.show(device, user_ids), strict=True):
            assert (user_id in listed) == (shown is not None)
            if shown is not None:
                names = {name: shown[name] for name in PROFILE if shown[name]}
                held = [_key(credential) for credential in shown["credentials"]]
                data = {key: users.credential(device, user_id, *key) for key in held}
                found[user_id] = names | {key: stored["data"] for key, stored in data.items() if stored}
        return found


def _key(credential: dict[str, Any]) -> tuple[str, int]:
    return credential["credential_type"], credential["credential_index"]
