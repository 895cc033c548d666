"""Requests with an `Idempotency-Key`: the running ones, and the answers of those that have ended.

A value consists of the request's digest, a blank, and `running:TOKEN`, `answer:` with the encrypted answer, or the ID
of the action's command (`Commands.reserve`).
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from app.base.vault import SealError, Vault
from app.store.server.connection import Connection
from app.store.server.keys import idempotency

KEPT_SECONDS = 86_400
RUNNING_SECONDS = 60  # after that, the process that ran the request counts as dead
_RUNNING = b"running:"
_ANSWER = b"answer:"


class KeyReused(Exception):
    """The Idempotency-Key was used with another request."""


class StillRunning(Exception):
    """The request with this Idempotency-Key has not ended yet."""


class AnswerUnreadable(Exception):
    """The stored answer can't be decrypted."""


@dataclass(frozen=True, slots=True)
class Reservation:
    """A running request with an Idempotency-Key."""

    name: str
    digest: bytes
    value: bytes


def key_name(vault: Vault, caller: str, idempotency_key: str) -> str:
    """Return the name of the store's key for a caller's Idempotency-Key."""
    return idempotency(vault.digest("idempotency", f"{caller}\n{idempotency_key}"))


def sealed_part(value: bytes) -> tuple[bytes, bytes]:
    """Split a stored value into the part before its encrypted answer, and the answer, which may be empty."""
    digest, _, rest = value.partition(b" ")
    if not rest.startswith(_ANSWER):
        return value, b""
    return digest + b" " + _ANSWER, rest[len(_ANSWER) :]


class IdempotencyKeys:
    """The stored requests with an Idempotency-Key."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._end = connection.script("idempotency_end")

    def reserve(self, caller: str, idempotency_key: str, request: bytes) -> Reservation | bytes:
        """Return a reservation for a request that must be carried out, or the answer to the first one.

        Raises KeyReused, StillRunning, AnswerUnreadable.
        """
        vault, redis = self._connection.vault, self._connection.redis
        name = key_name(vault, caller, idempotency_key)
        digest = vault.digest("idempotency-body", request).encode()  # keyed, because it may contain a secret
        value = digest + b" " + _RUNNING + secrets.token_hex(8).encode()
        if redis.set(name, value, nx=True, ex=RUNNING_SECONDS):
            return Reservation(name, digest, value)
        stored = redis.get(name)
        if stored == value:  # the first call arrived, but its answer was lost
            return Reservation(name, digest, value)
        if stored is None:  # it has just expired
            raise StillRunning
        known, _, rest = stored.partition(b" ")
        if known != digest:
            raise KeyReused(idempotency_key)
        if not rest.startswith(_ANSWER):
            raise StillRunning
        try:
            return vault.open("answer", rest[len(_ANSWER) :], name)
        except SealError:
            raise AnswerUnreadable from None

    def keep(self, reservation: Reservation, answer: bytes) -> None:
        """Keep the answer for a day, unless another request has the key by now."""
        sealed = self._connection.vault.seal("answer", answer, reservation.name)
        value = reservation.digest + b" " + _ANSWER + sealed
        self._end(keys=[reservation.name], args=[reservation.value, value, KEPT_SECONDS])

    def release(self, reservation: Reservation) -> None:
        """Allow the request to be carried out again."""
        self._end(keys=[reservation.name], args=[reservation.value, "", 0])
