"""Changes of users by commands that a device carried out, until the device reports them itself.

Their stamps are as old as the stored data allows, so that whatever the device reports from now on wins.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from app.events.flatten import received_iso
from app.gateway import values as gateway_values
from app.gateway.callbacks import CredentialUpdated, UserUpdated
from app.store.devices.registry import Device
from app.store.people.user_change import UserChange
from app.store.people.users import Users, credential_digest
from app.store.server.connection import Connection

COMMAND = "command"
_TRIES = 20
_DAY = 86_400
_DATA = {
    "card": "card_number",
    "password": "password",
    "fingerprint": "fingerprint_data",
    "face": "face_data",
    "palm": "palm_data",
    "user_photo": "user_photo_data",
}
_TEXTS = ("card", "password")


class CommandedChanges:
    """Stores what commands changed."""

    def __init__(self, connection: Connection, users: Users) -> None:
        self._connection = connection
        self._users = users
        self._script = connection.script("change_user")
        settings = connection.settings
        self._remember = max(settings.retention_days, settings.dedupe_days) * _DAY

    def apply(self, device: Device, action: str, values: Mapping[str, Any]) -> None:
        """Store the change of a completed command, if it added or deleted a user.

        If the device was changed or removed meanwhile, or has too many users, nothing is stored.
        """
        adds = action.startswith("add-user")
        if not adds and action != "delete-user":
            return
        user_id = str(values["user_id"])
        for _ in range(_TRIES):
            change = UserChange(self._users.known(device, user_id), source=COMMAND)
            known = change.known
            stamp = max((known.deleted, *known.profile_stamps.values(), *known.credentials.values()))
            if adds:
                now = received_iso(datetime.now(UTC))
                first_name, last_name = values.get("first_name"), values.get("last_name")
                added = UserUpdated(None, user_id, first_name, last_name, values.get("user_type"), None, ())
                change.update(added, stamp, now)
                for fact in _credentials(user_id, values):
                    digest = credential_digest(self._connection.vault, device.id, user_id, fact.data)
                    change.credential(fact, stamp, digest, now)
                if change.adds_user and not self._users.has_room(device):
                    return
            else:
                change.delete(stamp)
            if self._stored(device, user_id, change) != b"user":
                return

    def _stored(self, device: Device, user_id: str, change: UserChange) -> bytes:
        fields, removed = change.fields(self._users, device.id, user_id), change.removed()
        shard = device.shard
        answer: bytes = self._script(
            keys=[shard.device(device.id), shard.user(device.id, user_id), shard.users(device.id)],
            args=[
                device.version,
                change.known.version,
                user_id,
                int(change.name_changed),
                int(change.exists),
                self._remember,
                len(fields),
                *(part for pair in fields.items() for part in pair),
                len(removed),
                *removed,
            ],
        )
        return answer


def _credentials(user_id: str, values: Mapping[str, Any]) -> Iterator[CredentialUpdated]:
    """Yield the credentials that a command added."""
    for kind, name in _DATA.items():
        if values.get(name) is not None:
            data = str(values[name])
            held = None if kind in _TEXTS else gateway_values.base64_bytes(data)
            size = len(data.encode()) if held is None else len(held)
            index = int(values.get(f"{kind}_index") or 0)
            yield CredentialUpdated(None, user_id, kind, index, data, size, None)
