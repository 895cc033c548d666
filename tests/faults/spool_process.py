"""A web process with a spool and a store, for tests that move callbacks from one to the other."""

from __future__ import annotations

import json
import secrets

from app.callbacks.receiver import Receiver
from app.settings.table import load
from app.store import Store
from app.store.spool.spool import Spool

SECRET_KEY = "made-up-secret-key-for-tests-only-0123456789"


class Process:
    """The part of a web process that handles callbacks, without sockets. Tests run its loops step by step."""

    def __init__(self, environment: dict[str, str]) -> None:
        settings = load(environment)
        self.store = Store(settings)
        self.spool = Spool(settings.data_dir / "spool", self.store.vault)
        self.receiver = Receiver(self.store, self.spool)
        self.turn()

    def turn(self) -> None:
        """Run one step of the background loops, including the errors that they raise."""
        self.receiver._keep_up()
        self.spool.check()
        self.receiver._parked_tried = (-1e9, 0)
        self.receiver._replay()

    def drain_until_it_stops(self) -> None:
        for _ in range(3):
            self.turn()

    def register(self, device_id: str, **secrets_: str) -> str:
        token = secrets.token_hex(16)
        record = {
            "device_id": device_id,
            "label": None,
            "serial_number": None,
            "timezone": "UTC",
            "mode": "native",
            "gateway_url": None,
        }
        credentials = {"auth_token": token, "security_key": None, "previous_security_key": None, **secrets_}
        self.store.devices.register(record, credentials)
        self.turn()
        return token

    def send(self, token: str, number: int) -> None:
        """Send a punch. Raises Refused."""
        self.receiver.receive(punch(token, number), [], "http://relay")

    def events(self, device_id: str) -> list[str]:
        """Return the users of the stored punches, in order."""
        shard = self.store.connection.shard_of(device_id)
        rows = [] if shard is None else self.store.connection.redis.xrange(shard.events)
        bodies = [json.loads(fields[b"b"]) for _, fields in rows]
        return [body["user_id"] for body in bodies if body["device_id"] == device_id]

    @property
    def waiting(self) -> tuple[int, int]:
        """Return how many callbacks wait, and how many are parked."""
        self.spool._summed = None
        found = self.spool.summary()
        return found.waiting, found.parked


def punch(token: str, number: int) -> bytes:
    log = {"Type": "CheckIn", "InputType": "Card", "UserID": f"u{number}"}
    log["LogTime"] = f"2026-01-01 {number // 3600:02d}:{number // 60 % 60:02d}:{number % 60:02d} GMT +0000"
    body = {"OperationID": secrets.token_hex(6), "AuthToken": token, "Time": log["LogTime"], "PunchLog": log}
    return json.dumps({"RealTime": body}).encode()


def users(count: int, start: int = 0) -> list[str]:
    return [f"u{number}" for number in range(start, start + count)]
