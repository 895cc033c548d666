"""A registered device as a process knows it, and changes of its secrets.

The secrets are one sealed JSON object: `auth_token`, `security_key`, `previous_security_key` with
`previous_security_key_until`, and `callback_secret` with `previous_callback_secret` and its `…_until`. Times are
seconds since 1970. `auth_token_unproven` is true once an API key without `admin` has replaced the AuthToken.
"""

from __future__ import annotations

import hmac
import secrets as random
import time
from dataclasses import dataclass, field
from datetime import tzinfo
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from app.gateway.cipher import SecurityKey
from app.store.server.keys import Shard

OVERLAP_SECONDS = 24 * 3600  # how long a previous Security Key or callback secret stays valid
_SECRET_BYTES = 24
_NEEDED = {"label", "serial_number", "timezone"}  # fields of a record that receiving callbacks requires

Secrets = dict[str, Any]


class Unreadable(ValueError):
    """A device's stored data can't be read: it is damaged, or encrypted with another key."""


class Person(NamedTuple):
    """A user's name and employee ID. The list of employees takes precedence over the device."""

    name: str | None
    employee_id: str | None


@dataclass(slots=True)
class Device:
    """A registered device as a process knows it."""

    id: str
    shard: Shard
    version: str
    record: dict[str, Any]
    auth_token: str = field(repr=False)
    security_key: SecurityKey | None
    former_key: SecurityKey | None
    former_key_until: float | None  # None until the upkeep sets it
    callback_secrets: tuple[tuple[bytes, float | None], ...] = field(
        repr=False
    )  # and until when; None: forever
    auth_token_unproven: bool = False
    people_version: str = "0"
    people: dict[str, Person] = field(default_factory=dict)  # users that were needed so far

    @property
    def timezone(self) -> tzinfo:
        return ZoneInfo(self.record["timezone"])

    @property
    def direction(self) -> str | None:
        """Return the direction of all its punches; None if it depends on each punch's type."""
        fixed = self.record.get("direction")
        return fixed if fixed in ("in", "out") else None

    @property
    def legacy_callbacks(self) -> str:
        """Return the older version of the Web API whose callbacks are also accepted: "2.0", "1.0", or "off"."""
        return str(self.record.get("legacy_callbacks") or "off")

    @property
    def keys(self) -> list[SecurityKey]:
        """Return the current Security Key, then the previous one until it expires; none if encryption is off."""
        if self.security_key is None:
            return []
        if self.former_key is None or _is_over(self.former_key_until):
            return [self.security_key]
        return [self.security_key, self.former_key]

    @property
    def wants_callback_secret(self) -> bool:
        """Return whether its Callback URL must contain `?k=SECRET`."""
        return bool(self.record.get("require_callback_secret"))

    @property
    def callback_secret(self) -> str | None:
        """Return the current callback secret."""
        return next((secret.decode() for secret, until in self.callback_secrets if until is None), None)

    def takes_callback_secret(self, offered: str) -> bool:
        """Return whether `offered` is a valid callback secret of the device, compared in constant time."""
        sent = offered.encode("utf-8", "surrogatepass")
        fits = [
            hmac.compare_digest(secret, sent) and not _is_over(until)
            for secret, until in self.callback_secrets
        ]
        return any(fits)


def _is_over(until: float | None) -> bool:
    return until is not None and until <= time.time()


def device_of(
    device_id: str, shard: Shard, version: str, people: str, record: Any, secrets: Secrets
) -> Device:
    """Create a device from its stored record and its decrypted secrets. Raises Unreadable."""
    try:
        if not record.keys() >= _NEEDED:
            raise Unreadable(device_id)
        return _device_of(device_id, shard, version, people, record, secrets)
    except (LookupError, TypeError, AttributeError) as error:
        raise Unreadable(device_id) from error


def _device_of(
    device_id: str, shard: Shard, version: str, people: str, record: dict[str, Any], secrets: Secrets
) -> Device:
    key, former = secrets.get("security_key"), secrets.get("previous_security_key")
    pairs = (
        (secrets.get("callback_secret"), None),
        (secrets.get("previous_callback_secret"), secrets.get("previous_callback_secret_until") or 0.0),
    )
    return Device(
        id=device_id,
        shard=shard,
        version=version,
        record=record,
        auth_token=secrets["auth_token"],
        security_key=SecurityKey(key) if key else None,
        former_key=SecurityKey(former) if former else None,
        former_key_until=secrets.get("previous_security_key_until"),
        callback_secrets=tuple((secret.encode(), until) for secret, until in pairs if secret),
        auth_token_unproven=bool(secrets.get("auth_token_unproven")),
        people_version=people,
    )


def changed_secrets(kept: Secrets, wanted: Secrets) -> Secrets:
    """Return the secrets after a change. A replaced Security Key stays valid for OVERLAP_SECONDS.

    `wanted` may also contain `previous_security_key_until` in seconds since 1970, or None to end the previous key now.
    """
    merged = kept | {name: wanted[name] for name in ("auth_token", "security_key") if name in wanted}
    if merged["security_key"] != kept["security_key"]:
        former = kept["security_key"] if merged["security_key"] else None
        merged["previous_security_key"] = former
        merged["previous_security_key_until"] = time.time() + OVERLAP_SECONDS if former else None
    if "previous_security_key_until" in wanted:
        until = wanted["previous_security_key_until"]
        merged["previous_security_key_until"] = until
        if until is None:
            merged["previous_security_key"] = None
    if merged["auth_token"] != kept["auth_token"]:
        merged["auth_token_unproven"] = wanted.get("auth_token_unproven", False)
    return merged


def with_callback_secret(secrets: Secrets) -> Secrets:
    """Return the secrets with a new callback secret. The current one stays valid for OVERLAP_SECONDS."""
    former = secrets.get("callback_secret")
    return secrets | {
        "callback_secret": random.token_urlsafe(_SECRET_BYTES),
        "previous_callback_secret": former,
        "previous_callback_secret_until": time.time() + OVERLAP_SECONDS if former else None,
    }


def without_callback_secret(secrets: Secrets) -> Secrets:
    """Return the secrets without any callback secret."""
    return {name: value for name, value in secrets.items() if "callback_secret" not in name}


def dated_former_key(secrets: Secrets) -> Secrets | None:
    """Return the secrets with a date for a previous Security Key without one; None if nothing has to be changed.

    Earlier versions saved previous keys without a date. Their 24 hours begin with the first upkeep after the upgrade.
    """
    if not secrets.get("previous_security_key") or secrets.get("previous_security_key_until") is not None:
        return None
    return secrets | {"previous_security_key_until": time.time() + OVERLAP_SECONDS}
