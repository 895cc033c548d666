"""Turns a callback's content other than punches into items of one script call: events, photos, changes of users."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import orjson

from app.base import ids
from app.base.vault import Vault
from app.events import flatten
from app.gateway.callbacks import AttendancePhoto, CredentialUpdated, TimeChanged, UserDeleted, UserUpdated
from app.store.intake.script_call import Call, Received
from app.store.people.device_timestamps import Stamp
from app.store.people.user_change import UserChange
from app.store.people.users import TooManyUsers, Users, credential_digest


class CallbackItems:
    """Adds the facts of one callback to a call, one after the other. `finish` adds the changes of users.

    A fact that is older than the user's stored data changes nothing, publishes no event, and counts as stale.
    """

    def __init__(
        self,
        call: Call,
        received: Received,
        raw: bytes,
        digest: str,
        *,
        vault: Vault,
        users: Users,
        keep_seconds: int,
        remember_seconds: int,
    ) -> None:
        """`digest` is the digest of the callback's content. Deletions are remembered for `remember_seconds`."""
        self._call = call
        self._received = received
        self._raw = raw
        self._tie = digest[:8]
        self._vault = vault
        self._users = users
        self._keep_seconds = keep_seconds
        self._remember_seconds = remember_seconds
        self._changes: dict[str, UserChange] = {}

    def add(self, fact: Any) -> None:
        receipt, callback, at = self._received.receipt, self._received.callback, self._received.at
        extra, event = b"", None
        match fact:
            case AttendancePhoto():
                event = self._photo(fact)
            case UserUpdated():
                change = self._change_of(fact.user_id)
                if change.update(fact, self._stamp(fact.at), at):
                    event = flatten.user_event(fact, receipt, callback, at, change.profile)
            case CredentialUpdated():
                event = self._credential(fact)
                if event is not None and fact.type == "card":
                    card = orjson.dumps({"card_number": fact.data})
                    extra = self._vault.seal("extra", card, self._received.device.id)
            case UserDeleted():
                if self._change_of(fact.user_id).delete(self._stamp(fact.at)):
                    event = flatten.deleted_event(fact, receipt, callback, at)
            case TimeChanged():
                event = flatten.time_event(fact, receipt, callback, at)
            case _:
                raise TypeError(f"a {type(fact).__name__} can't become an event")
        if event is None:
            self._call.count("stale")
            self._call.count("duplicates")  # so that each callback is counted somewhere
        else:
            self._call.add_event(self._received.device, event, self._raw, extra)

    def add_unrecognised(self, body: bytes, why: str) -> None:
        """Add an event for the parts of the callback that weren't understood."""
        received = self._received
        body_id = ids.random_id("bod", received.shard.number)
        self._keep(body_id, self._vault.seal("body", body, body_id))
        event = flatten.unrecognised_event(received.receipt, received.callback, received.at, body_id, why)
        self._call.add_event(received.device, event, self._raw)
        self._call.count("unrecognised")

    def finish(self) -> None:
        """Add the changes of users. Raises TooManyUsers."""
        for user_id, change in self._changes.items():
            if change.adds_user and not self._users.has_room(self._received.device):
                raise TooManyUsers(self._received.device.id)
            fields = change.fields(self._users, self._received.device.id, user_id)
            removed = change.removed()
            self._call.add(
                "user",
                self._keys_of(user_id),
                change.known.version,
                user_id,
                int(change.name_changed),
                int(change.exists),
                self._remember_seconds,
                len(fields),
                *(part for pair in fields.items() for part in pair),
                len(removed),
                *removed,
            )

    def _stamp(self, at: datetime | None) -> Stamp:
        received = self._received
        return Stamp(received.device_ms(at), received.received_ms, self._tie)

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

    def _credential(self, fact: CredentialUpdated) -> dict[str, Any] | None:
        """Return the event of a credential; None if it is older than the stored one."""
        received = self._received
        change = self._change_of(fact.user_id)
        digest = credential_digest(self._vault, received.device.id, fact.user_id, fact.data)
        is_new = change.is_new(fact)
        if not change.credential(fact, self._stamp(fact.at), digest, received.at):
            return None
        return flatten.credential_event(
            fact, received.receipt, received.callback, received.at, digest=digest, is_new=is_new
        )

    def _keep(self, blob_id: str, sealed: bytes) -> None:
        """Keep a photo or an unrecognised body for as long as events."""
        self._call.add("blob", [self._received.shard.blob(blob_id)], self._keep_seconds, sealed)

    def _change_of(self, user_id: str) -> UserChange:
        if user_id not in self._changes:
            self._changes[user_id] = UserChange(self._users.known(self._received.device, user_id))
        return self._changes[user_id]

    def _keys_of(self, user_id: str) -> list[str]:
        shard, device = self._received.shard, self._received.device
        return [shard.user(device.id, user_id), shard.users(device.id)]
