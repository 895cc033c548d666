"""Cursors for lists. A cursor is opaque, signed, and valid only for the list and filters it was made for.

It is the Base64 of a signature, a digest of the list and its filters, and the place in the list where the page ends.
A place stays valid if its row is deleted, because lists compare places instead of looking up the row.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Mapping

from flask import current_app, request

from app.api.problems import Problem, wrong
from app.base.vault import Vault

_PURPOSE = "cursor"
_SIGNATURE = 32
_DIGEST = 8
_NOT_FILTERS = ("cursor", "limit")


def after(of: str | None = None) -> str | None:
    """Return the place in the request's cursor, or None without a cursor. Raises a 422 Problem if it isn't valid.

    `of` is the path of the list that the cursor comes from, if it isn't the path of the request.
    """
    given = request.args.get("cursor")
    if not given:
        return None
    try:
        data = base64.b64decode(given.encode("ascii") + b"=" * (-len(given) % 4), b"-_", validate=True)
    except (ValueError, binascii.Error):
        raise invalid() from None
    signature, signed = data[:_SIGNATURE], data[_SIGNATURE:]
    if not _vault().is_signature(_PURPOSE, signed, signature.hex()):
        raise invalid()
    if signed[:_DIGEST] != _list_digest(of or request.path, request.args):
        raise wrong(
            "cursor",
            "belongs to another list, or to a request with other filters. Send it with the same path and parameters as "
            "the request that returned it; only limit may differ",
        )
    return signed[_DIGEST:].decode("utf-8", "surrogatepass")


def at(place: str) -> str:
    """Return the cursor for the next page of this request, which begins after `place`."""
    return make(_vault(), request.path, request.args, place)


def make(vault: Vault, path: str, filters: Mapping[str, str], place: str) -> str:
    """Return the cursor for a place in the list at `path` with these filters."""
    signed = _list_digest(path, filters) + place.encode("utf-8", "surrogatepass")
    data = bytes.fromhex(vault.signature(_PURPOSE, signed)) + signed
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def invalid() -> Problem:
    """Return the 422 Problem for an invalid cursor."""
    return wrong("cursor", "is not a valid cursor. Use the next_cursor from this list's previous page")


def _list_digest(path: str, filters: Mapping[str, str]) -> bytes:
    """Return a digest of a list and its filters. Parameters of the console's pages that aren't filters don't count."""
    given = filters.items() if path.startswith("/v1/") else ()
    text = "\n".join(
        [path, *sorted(f"{name}={value}" for name, value in given if value and name not in _NOT_FILTERS)]
    )
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:_DIGEST]


def _vault() -> Vault:
    vault: Vault = current_app.extensions["store"].vault
    return vault
