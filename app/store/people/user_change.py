"""Changes of one user by one callback. Stamps decide: the newest value of each field, template and deletion wins.

A deletion removes everything that is older, and leaves a mark with its stamp, so that older callbacks that come later
are recognised. So the result is the same in whatever order callbacks are stored.
"""

from __future__ import annotations

from typing import Any

from app.gateway.callbacks import CredentialUpdated, UserUpdated
from app.store.people.device_timestamps import Stamp
from app.store.people.users import DELETED, DEVICE, PROFILE, KnownUser, Users, credential_field, stamp_field


class UserChange:
    """Begins with the stored data about a user, and takes the callback's facts one after the other."""

    def __init__(self, known: KnownUser, source: str = DEVICE) -> None:
        """`source` says where the change comes from: the device, or a command."""
        self.known = known
        self._source = source
        self.profile = dict(known.profile)  # without unknown values
        self._profile_stamps = dict(known.profile_stamps)
        self._updated_at = known.updated_at
        self._is_listed = known.has_profile  # an update of the user itself exists
        self._stamps = dict(known.credentials)
        self._deleted = known.deleted
        self._new: dict[str, dict[str, Any]] = {}
        self._profile_changed = False

    @property
    def exists(self) -> bool:
        """Return whether the device has the user."""
        return self._is_listed or bool(self._stamps)

    @property
    def adds_user(self) -> bool:
        """Return whether the device has the user now, and didn't before."""
        return self.exists and not (self.known.has_profile or self.known.credentials)

    @property
    def name_changed(self) -> bool:
        """Return whether the user's name in events has changed."""
        return self.profile != self.known.profile

    def is_new(self, credential: CredentialUpdated) -> bool:
        """Return whether there is no such credential yet."""
        return credential_field(credential.type, credential.index) not in self._stamps

    def update(self, fact: UserUpdated, stamp: Stamp, received: str) -> bool:
        """Merge an update of the profile; False if all of it is older than the stored data."""
        if stamp < self._deleted:
            return False
        stamps, changed = self._profile_stamps, False
        for name in PROFILE:
            value = getattr(fact, name)
            if value is not None and stamp >= stamps[name]:
                self.profile[name], stamps[name] = value, stamp
                changed = True
        if stamp >= stamps["updated_at"]:
            self._updated_at, stamps["updated_at"] = received, stamp
            self._is_listed = changed = True
        self._profile_changed |= changed
        return changed

    def credential(self, fact: CredentialUpdated, stamp: Stamp, digest: str, received: str) -> bool:
        """Merge a credential; False if it is older than the stored data."""
        name = credential_field(fact.type, fact.index)
        if stamp < self._deleted or stamp < self._stamps.get(name, stamp):
            return False
        self._stamps[name] = stamp
        self._new[name] = {
            "data": fact.data,
            "size_bytes": fact.size_bytes,
            "digest": digest,
            "updated_at": received,
        }
        return True

    def delete(self, stamp: Stamp) -> bool:
        """Remove everything older than a deletion; False if there is newer data, or was a newer deletion."""
        if stamp < self._deleted:
            return False
        self._deleted = stamp
        for name, known in list(self._stamps.items()):
            if known <= stamp:
                del self._stamps[name]
                self._new.pop(name, None)
        for name in PROFILE:
            if self._profile_stamps[name] <= stamp and self.profile.pop(name, None) is not None:
                self._profile_changed = True
        if self._is_listed and self._profile_stamps["updated_at"] <= stamp:
            self._is_listed, self._profile_changed = False, True
        return not self.exists

    # Fields to write

    def fields(self, users: Users, device_id: str, user_id: str) -> dict[str, bytes | str]:
        """Return the fields to set."""
        found: dict[str, bytes | str] = {}
        for name, value in self._new.items():
            found[name] = users.seal(device_id, user_id, value)
            found[stamp_field(name)] = self._stamps[name].text
        if self._profile_changed and self._is_listed:
            profile = {name: self.profile.get(name) for name in PROFILE}
            stamps = {name: stamp.text for name, stamp in self._profile_stamps.items()}
            value = {**profile, "updated_at": self._updated_at, "stamps": stamps}
            if self._source != DEVICE:
                value["source"] = self._source
            found["profile"] = users.seal(device_id, user_id, value)
        if self._deleted != self.known.deleted:
            found[DELETED] = self._deleted.text
        return found

    def removed(self) -> list[str]:
        """Return the fields to remove."""
        gone = [name for name in self.known.credentials if name not in self._stamps]
        profile = ["profile"] if self.known.has_profile and not self._is_listed else []
        return [*gone, *map(stamp_field, gone), *profile]
