"""The stored part of a target's answer to a failed attempt: the beginning of its body, without the relay's secrets."""

from __future__ import annotations

import codecs
from collections.abc import Iterator

import orjson

from app.base.addresses import AddressGuard
from app.store.subscriptions.records import Subscription
from app.store.subscriptions.signing import SECRET_PREFIX
from workers.http.messages import Response

MOST = 2_048  # bytes of a body
_SHORTEST_SECRET = 4  # a shorter value of a header is no secret, and replacing it would spoil the text
_PUBLIC = AddressGuard("")
_LINES = "\t\n\r"


def answer_to_keep(subscription: Subscription, response: Response, at: str) -> str:
    """JSON with the attempt's time and the body's beginning; empty if the response had no body.

    `restricted` means that only a key with `admin` may read it: it comes from a private address, or the target got
    something that a key with `subscriptions:write` can't read (values of headers, card numbers) and may repeat it.
    """
    if not response.body:
        return ""
    restricted = (
        bool(subscription.headers)
        or subscription.include_card_numbers
        or not _PUBLIC.permits(response.address)
    )
    body = _text(_without_secrets(subscription, response.body))
    return orjson.dumps({"at": at, "body": body, "restricted": restricted}).decode()


def _without_secrets(subscription: Subscription, body: bytes) -> bytes:
    for secret in sorted(set(_secrets(subscription)), key=len, reverse=True):
        body = body.replace(secret, "…".encode())
    return body


def _secrets(subscription: Subscription) -> Iterator[bytes]:
    """What was sent or signed with and must not be shown, also as PHP's JSON spells it."""
    texts = [secret for secret, _ in subscription.secrets]
    texts += [secret.removeprefix(SECRET_PREFIX) for secret in texts]
    for value in subscription.headers.values():
        texts += [value.strip(), value.strip().rpartition(" ")[2]]  # `Bearer …` with and without the scheme
    for text in texts:
        if len(text) >= _SHORTEST_SECRET:
            yield text.encode("utf-8")
            yield text.encode("latin-1", "replace")
            yield text.replace("/", "\\/").encode("utf-8")


def _text(body: bytes) -> str:
    """The first bytes as text; how many there are if they aren't text."""
    try:
        # A character that the limit cuts is left out.
        text = codecs.getincrementaldecoder("utf-8")().decode(body[:MOST], len(body) <= MOST)
    except UnicodeDecodeError:
        text = "\0"
    if any(ord(character) < 32 and character not in _LINES for character in text):
        return f"(binary, {len(body)} bytes)"
    return text
