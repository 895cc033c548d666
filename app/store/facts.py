"""What a callback says besides punches, as items of one script call: events, photos, and what changes of users."""

from __future__ import annotations

from typing import Any

import orjson

from app import ids
from app.events import flatten
from app.gateway.callbacks import AttendancePhoto, CredentialUpdated, TimeChanged, UserDeleted, UserUpdated
from app.store.ingest_call import Call, Received
from app.store.users import KnownUser, Users, credential_field
from app.vault import Vault


class Facts:
    """Adds the facts of one callback to a call, one after the other; `finish` adds what they change of users."""

    def __init__(
        self, call: Call, received: Received, raw: bytes, *, vault: Vault, users: Users, keep_seconds: int
    ) -> None:
        self._call = call
        self._received = received
        self._raw = raw
        self._vault = vault
        self._users = users
        self._keep_seconds = keep_seconds
        self._changes: dict[str, _UserChange] = {}

    def add(self, fact: Any) -> None:
        receipt, callback, at = self._received.receipt, self._received.callback, self._received.at
        extra = b""
        match fact:
            case AttendancePhoto():
                event = self._photo(fact)
            case UserUpdated():
                change = self._change_of(fact.user_id)
                event = flatten.user_event(fact, receipt, callback, at, change.known.profile)
                change.profile(event)
            case CredentialUpdated():
                event = self._credential(fact)
                if fact.type == "card":
                    card = orjson.dumps({"card_number": fact.data})
                    extra = self._vault.seal("extra", card, self._received.device.id)
            case UserDeleted():
                event = flatten.deleted_event(fact, receipt, callback, at)
                self._changes.pop(fact.user_id, None)
                self._call.add("forget", self._keys_of(fact.user_id), fact.user_id)
            case TimeChanged():
                event = flatten.time_event(fact, receipt, callback, at)
            case _:
                raise TypeError(f"no event is made of a {type(fact).__name__}")
        self._call.add_event(self._received.device, event, self._raw, extra)

    def add_unrecognised(self, body: bytes) -> None:
        """What of the callback was not understood."""
        received = self._received
        body_id = ids.random_id("bod", received.shard.number)
        self._keep(body_id, self._vault.seal("body", body, body_id))
        why = " ".join(received.callback.problems[:5])
        event = flatten.unrecognised_event(received.receipt, received.callback, received.at, body_id, why)
        self._call.add_event(received.device, event, self._raw)
        self._call.count("unrecognised")

    def finish(self) -> None:
        for user_id, change in self._changes.items():
            fields = change.sealed(self._users, self._received.device.id, user_id)
            self._call.add(
                "user",
                self._keys_of(user_id),
                change.known.version,
                user_id,
                int(change.name_changed),
                len(fields),
                *(part for pair in fields.items() for part in pair),
            )

    def _photo(self, fact: AttendancePhoto) -> dict[str, Any]:
        received = self._received
        photo_id = ids.random_id("pho", received.shard.number)
        self._keep(photo_id, self._vault.seal("photo", fact.mime.encode() + b"\n" + fact.data, photo_id))
        person = received.device.people.get(fact.user_id or "")
        return flatten.photo_event(
            fact,
            received.receipt,
            received.callback,
            received.at,
            photo_id,
            person.employee_id if person else None,
        )

    def _credential(self, fact: CredentialUpdated) -> dict[str, Any]:
        received = self._received
        change = self._change_of(fact.user_id)
        digest = self._vault.digest("credential", f"{received.device.id}\n{fact.user_id}\n{fact.data}")
        event = flatten.credential_event(
            fact, received.receipt, received.callback, received.at, digest=digest, is_new=change.is_new(fact)
        )
        change.credential(fact, digest, received.at)
        return event

    def _keep(self, blob_id: str, sealed: bytes) -> None:
        """As long as events are."""
        self._call.add("blob", [self._received.shard.blob(blob_id)], self._keep_seconds, sealed)

    def _change_of(self, user_id: str) -> _UserChange:
        if user_id not in self._changes:
            self._changes[user_id] = _UserChange(self._users.known(self._received.device, user_id))
        return self._changes[user_id]

    def _keys_of(self, user_id: str) -> list[str]:
        shard, device = self._received.shard, self._received.device
        return [shard.user(device.id, user_id), shard.users(device.id)]


class _UserChange:
    """What one callback changes of one user."""

    def __init__(self, known: KnownUser) -> None:
        self.known = known
        self.name_changed = False
        self._profile: dict[str, Any] | None = None
        self._credentials: dict[str, dict[str, Any]] = {}

    def profile(self, event: dict[str, Any]) -> None:
        profile = {name: event[name] for name in ("first_name", "last_name", "user_type")}
        before = {name: self.known.profile.get(name) for name in profile}
        self.name_changed |= profile != before
        self._profile = {**profile, "updated_at": event["received_at"]}

    def is_new(self, credential: CredentialUpdated) -> bool:
        name = credential_field(credential.type, credential.index)
        return name not in self.known.credentials and name not in self._credentials

    def credential(self, credential: CredentialUpdated, digest: str, received: str) -> None:
        self._credentials[credential_field(credential.type, credential.index)] = {
            "data": credential.data,
            "size_bytes": credential.size_bytes,
            "digest": digest,
            "updated_at": received,
        }

    def sealed(self, users: Users, device_id: str, user_id: str) -> dict[str, bytes]:
        fields = {name: users.seal(device_id, user_id, value) for name, value in self._credentials.items()}
        if self._profile is not None:
            fields["profile"] = users.seal(device_id, user_id, self._profile)
        return fields
