"""Users of devices and their credentials. They are merged by type and index, never replaced, and encrypted at rest."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import orjson

from app.base.vault import Vault
from app.store.devices.registry import Device
from app.store.devices.simulated import SimulatedDevices
from app.store.people.device_timestamps import Stamp, read_stamp
from app.store.server.connection import Connection
from app.store.server.damage import left_out, readable
from app.store.server.pipelines import asked

PROFILE = ("first_name", "last_name", "user_type")
DEVICE = "device"  # the source of a profile that the device reported
DELETED = "d"  # field in a user's hash: the stamp of the latest deletion
_STAMP = "t:"


class TooManyUsers(Exception):
    """A device has as many users as RELAY_DEVICE_USERS allows. The argument is its ID."""


@dataclass(frozen=True, slots=True)
class KnownUser:
    """A user's stored data: its version, the profile, and the existing credentials.

    `profile`: its known values. `has_profile`: whether an update of the user itself is stored, even an empty one. Each
    value has a stamp: OLDEST if it is missing, or was stored by an earlier version.
    """

    version: str
    profile: dict[str, Any]
    has_profile: bool
    updated_at: str | None
    profile_stamps: dict[str, Stamp]  # for fields of PROFILE; "updated_at" for the latest update
    credentials: dict[str, Stamp]
    deleted: Stamp


def credential_field(credential_type: str, index: int) -> str:
    """Return the hash field of a credential."""
    return f"c:{credential_type}:{index}"


def stamp_field(name: str) -> str:
    """Return the hash field of a credential's stamp."""
    return f"{_STAMP}{name}"


def is_sealed(name: bytes) -> bool:
    """Return whether a field in a user's hash is encrypted, like profile and credentials."""
    return name == b"profile" or name.startswith(b"c:")


def credential_digest(vault: Vault, device_id: str, user_id: str, data: str) -> str:
    """Return the keyed digest of a credential, which differs for each device and user."""
    # A line break in the user ID is escaped, so that no other user and data result in the same text. (Only later
    # versions of the relay keep line breaks.)
    name = orjson.dumps(user_id).decode() if "\n" in user_id else user_id
    return vault.digest("credential", f"{device_id}\n{name}\n{data}")


def full_name(profile: dict[str, Any]) -> str | None:
    """Return first and last name together."""
    return " ".join(part for part in (profile.get("first_name"), profile.get("last_name")) if part) or None


class Users:
    """The stored users of all devices."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def seal(self, device_id: str, user_id: str, value: dict[str, Any]) -> bytes:
        """Encrypt a profile or credential, so that it can only be decrypted for the same device and user."""
        return self._connection.vault.seal("user", orjson.dumps(value), f"{device_id}\n{user_id}")

    def _open(self, device_id: str, user_id: str, sealed: bytes | None) -> dict[str, Any]:
        if sealed is None:
            return {}
        plain: dict[str, Any] = orjson.loads(
            self._connection.vault.open("user", sealed, f"{device_id}\n{user_id}")
        )
        return plain

    def names(self, device: Device, user_ids: Iterable[str]) -> dict[str, str | None]:
        """Return the full names of users; None for an unknown one. Users with a damaged profile are left out."""

        def call(pipeline: Any, user_id: str) -> None:
            pipeline.hget(device.shard.user(device.id, user_id), "profile")

        names = {}
        for user_id, sealed in asked(self._connection.redis, user_ids, call, raise_on_error=False):
            with left_out(f"a user of device {device.id}"):
                (found,) = readable([sealed], (None,))
                names[user_id] = full_name(self._open(device.id, user_id, found))
        return names

    def known(self, device: Device, user_id: str) -> KnownUser:
        """Return a user's stored data, for merging."""
        fields = self._connection.redis.hgetall(device.shard.user(device.id, user_id))
        profile: dict[str, Any] = {}
        with left_out(f"a user of device {device.id}"):
            profile = self._open(device.id, user_id, fields.get(b"profile"))
        stamps = profile.get("stamps", {})
        names = [name.decode() for name in fields if name.startswith(b"c:")]
        return KnownUser(
            version=fields.get(b"v", b"0").decode(),
            profile={name: profile[name] for name in PROFILE if profile.get(name) is not None},
            has_profile=b"profile" in fields,
            updated_at=profile.get("updated_at"),
            profile_stamps={name: read_stamp(stamps.get(name)) for name in (*PROFILE, "updated_at")},
            credentials={name: read_stamp(fields.get(stamp_field(name).encode())) for name in names},
            deleted=read_stamp(fields.get(DELETED.encode())),
        )

    def has_room(self, device: Device) -> bool:
        """Return whether another user of a device may be stored."""
        return self.count(device) < self._connection.settings.limits.device_users

    def count(self, device: Device) -> int:
        """Return how many users of a device are known."""
        return int(self._connection.redis.zcard(device.shard.users(device.id)))

    def page(self, device: Device, after: str | None, limit: int) -> list[str]:
        """Return a device's user IDs in order, from the one after `after`."""
        least = f"({after}" if after is not None else "-"
        with left_out(f"the list of users of device {device.id}"):
            ids = self._connection.redis.zrangebylex(
                device.shard.users(device.id), least, "+", start=0, num=limit
            )
            return [user_id.decode() for user_id in ids]
        return []

    def show(self, device: Device, user_ids: list[str]) -> list[dict[str, Any] | None]:
        """Return profiles, and credentials without their data; None for an unknown user, and for damaged data."""

        def call(pipeline: Any, user_id: str) -> None:
            pipeline.hgetall(device.shard.user(device.id, user_id))

        simulated = device.id in SimulatedDevices(self._connection).ids()
        answers = asked(self._connection.redis, user_ids, call, raise_on_error=False)
        return [self._shown_if_readable(device, simulated, *answer) for answer in answers]

    def _shown_if_readable(
        self, device: Device, simulated: bool, user_id: str, fields: Any
    ) -> dict[str, Any] | None:
        with left_out(f"a user of device {device.id}"):
            if isinstance(fields, Exception):
                raise fields
            return self._shown(device, simulated, user_id, fields) if any(map(is_sealed, fields)) else None
        return None

    def _shown(
        self, device: Device, simulated: bool, user_id: str, fields: dict[bytes, bytes]
    ) -> dict[str, Any]:
        profile = self._open(device.id, user_id, fields.get(b"profile"))
        credentials = []
        for name in sorted(name for name in fields if name.startswith(b"c:")):
            _, credential_type, index = name.decode().split(":")
            kept = self._open(device.id, user_id, fields[name])
            credentials.append(
                {
                    "credential_type": credential_type,
                    "credential_index": int(index),
                    "credential_size_bytes": kept["size_bytes"],
                    "credential_digest": kept["digest"],
                    "updated_at": kept["updated_at"],
                }
            )
        return {
            "id": user_id,
            "user_id": user_id,
            "device_id": device.id,
            "device_label": device.record["label"],
            "simulated": simulated,
            **{name: profile.get(name) for name in PROFILE},
            "full_name": full_name(profile),
            "updated_at": profile.get("updated_at"),
            "source": profile.get("source", DEVICE),
            "credentials": credentials,
        }

    def credential(
        self, device: Device, user_id: str, credential_type: str, index: int
    ) -> dict[str, Any] | None:
        """Return one credential with its data (`data`, `size_bytes`, `digest`, `updated_at`)."""
        sealed = self._connection.redis.hget(
            device.shard.user(device.id, user_id), credential_field(credential_type, index)
        )
        return self._open(device.id, user_id, sealed) if sealed else None
