"""Users of devices and their credentials: merged by type and index, never replaced, sealed at rest."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import orjson

from app.store.connection import Connection
from app.store.devices import Device

PROFILE = ("first_name", "last_name", "user_type")


@dataclass(frozen=True, slots=True)
class KnownUser:
    """What is stored of a user: the version it was read at, the profile, and which credentials there are."""

    version: str
    profile: dict[str, Any]
    credentials: frozenset[str]


def credential_field(credential_type: str, index: int) -> str:
    """The hash field of a credential."""
    return f"c:{credential_type}:{index}"


def full_name(profile: dict[str, Any]) -> str | None:
    """First and last name together."""
    return " ".join(part for part in (profile.get("first_name"), profile.get("last_name")) if part) or None


class Users:
    """What is kept of the users of all devices."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def seal(self, device_id: str, user_id: str, value: dict[str, Any]) -> bytes:
        """A profile or credential as it is stored; it opens only for the same device and user."""
        return self._connection.vault.seal("user", orjson.dumps(value), f"{device_id}\n{user_id}")

    def _open(self, device_id: str, user_id: str, sealed: bytes | None) -> dict[str, Any]:
        if sealed is None:
            return {}
        plain: dict[str, Any] = orjson.loads(
            self._connection.vault.open("user", sealed, f"{device_id}\n{user_id}")
        )
        return plain

    def names(self, device: Device, user_ids: Iterable[str]) -> dict[str, str | None]:
        """The full names of users; None for one that is not known."""
        wanted = list(user_ids)
        pipeline = self._connection.redis.pipeline(transaction=False)
        for user_id in wanted:
            pipeline.hget(device.shard.user(device.id, user_id), "profile")
        return {
            user_id: full_name(self._open(device.id, user_id, sealed))
            for user_id, sealed in zip(wanted, pipeline.execute(), strict=True)
        }

    def known(self, device: Device, user_id: str) -> KnownUser:
        """What is stored of a user, for merging."""
        fields = self._connection.redis.hgetall(device.shard.user(device.id, user_id))
        return KnownUser(
            version=fields.get(b"v", b"0").decode(),
            profile=self._open(device.id, user_id, fields.get(b"profile")),
            credentials=frozenset(name.decode() for name in fields if name.startswith(b"c:")),
        )

    def page(self, device: Device, after: str | None, limit: int) -> list[str]:
        """User ids of a device in their order, those after `after`."""
        least = f"({after}" if after is not None else "-"
        ids = self._connection.redis.zrangebylex(
            device.shard.users(device.id), least, "+", start=0, num=limit
        )
        return [user_id.decode() for user_id in ids]

    def show(self, device: Device, user_ids: list[str]) -> list[dict[str, Any] | None]:
        """Profiles and credentials without their data; None for a user the device doesn't have."""
        pipeline = self._connection.redis.pipeline(transaction=False)
        for user_id in user_ids:
            pipeline.hgetall(device.shard.user(device.id, user_id))
        return [
            self._shown(device, user_id, fields) if fields else None
            for user_id, fields in zip(user_ids, pipeline.execute(), strict=True)
        ]

    def _shown(self, device: Device, user_id: str, fields: dict[bytes, bytes]) -> dict[str, Any]:
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
            "user_id": user_id,
            "device_id": device.id,
            "device_label": device.record["label"],
            **{name: profile.get(name) for name in PROFILE},
            "full_name": full_name(profile),
            "updated_at": profile.get("updated_at"),
            "credentials": credentials,
        }

    def credential(
        self, device: Device, user_id: str, credential_type: str, index: int
    ) -> dict[str, Any] | None:
        """One credential with its data (`data`, `size_bytes`, `digest`, `updated_at`)."""
        sealed = self._connection.redis.hget(
            device.shard.user(device.id, user_id), credential_field(credential_type, index)
        )
        return self._open(device.id, user_id, sealed) if sealed else None
