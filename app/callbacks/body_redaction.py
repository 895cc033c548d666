"""Removes the secrets from the body of an unrecognised callback, for readers who only have its link.

It isn't known what such a body means, so more is removed than from a callback that was understood: every value whose
name or content suggests a token, key, PIN, card, template or photo. If a body isn't JSON, only its shape is shown.
"""

from __future__ import annotations

import re
from typing import Any

import orjson

from app.callbacks.body import Refused, form_json, parse
from app.gateway import callbacks
from app.gateway.redaction import is_secret, leaf
from app.gateway.values import LONGEST_WORD, squeeze

_DEEPEST = 32
_MOST_PARTS = 20_000  # more would take too long for a request that only requires a link
_MOST_SECRETS = 200
_LONGEST_TEXT = 200
_SHORTEST_SECRET = 4  # shorter ones occur in half of all texts
_AROUND = b" \t\r\n\0\xef\xbb\xbf"

_SECRET_WORD = (
    "token|passw|passc|passphrase|pwd|secret|pincode|template|photo|image|picture|finger|face|palm|iris|vein|"
    "biometric|credential|card|rfid|otp|keys?$|pins?$"
)
_SECRET_NAME = re.compile(rf"{_SECRET_WORD}|^(?:pass|data|blob|signature|bytes|raw|content|values?)$")
_HARMLESS_NAME = frozenset({"facemask", "inputtype", "operationid"})
# In a template, only these are known to be harmless.
_HARMLESS_INSIDE = frozenset({"type", "userid", "size", "index"})
_CREDENTIAL = re.compile(r"password|pin|passcode|card|fingerprint|finger|face|palm|userphoto|photo|template")
_NAMES_KIND = frozenset({"type", "kind", "credentialtype", "templatetype", "name", "field"})
_TOLD_IN_TEXT = re.compile(rf"(?i)(?:{_SECRET_WORD.replace('$', '')}|pin|card|pass)\w*[\"']?\s*[:=]")
_BLOB = re.compile(r"[A-Za-z0-9+/_=-]{32,}")


def redacted_body(body: bytes) -> bytes | None:
    """Return the body's JSON without secrets; None if only its shape may be shown."""
    document = _document(body.strip(_AROUND))
    if document is None:
        return None
    redaction = _Redaction(document)
    return orjson.dumps(redaction.result()) if redaction.can_be_shown else None


def _document(text: bytes) -> dict[str, Any] | None:
    if sum(map(text.count, (b"[", b"{", b",", b"&"))) > _MOST_PARTS:
        return None
    try:
        if not text.startswith(b"{") and callbacks.old_version(text) is not None:
            return form_json(text)
        return parse(text)
    except Refused:
        return None


def content_kind(body: bytes) -> str:
    """Return the kind of a body that can't be shown: `json`, `form`, `text` or `binary`."""
    text = body.strip(_AROUND)
    if text[:1] in (b"{", b"["):
        return "json"
    if callbacks.old_version(text) is not None:
        return "form"
    try:
        return "text" if text.decode().isprintable() else "binary"
    except UnicodeDecodeError:
        return "binary"


class _Redaction:
    """The redaction of one document. Values under secret names are searched for in all its texts."""

    def __init__(self, document: dict[str, Any]) -> None:
        self._secrets: set[str] = set()
        self._document = document
        self._collect(document, _DEEPEST)

    @property
    def can_be_shown(self) -> bool:
        """There are too many secrets to search for each of them everywhere."""
        return len(self._secrets) <= _MOST_SECRETS

    def result(self) -> object:
        """Return the document without anything that may be a secret."""
        return self._of("", self._document, _DEEPEST, False)

    def _collect(self, value: object, depth: int) -> None:
        if depth == 0:
            return
        for name, item in value.items() if isinstance(value, dict) else []:
            if isinstance(item, str | int) and not isinstance(item, bool) and _is_secret_name(name):
                text = str(item) if isinstance(item, str) or -(2**63) <= item < 2**63 else ""
                if len(text) >= _SHORTEST_SECRET:
                    self._secrets.add(text)
            self._collect(item, depth - 1)
        for item in value if isinstance(value, list) else []:
            self._collect(item, depth - 1)

    def _of(self, name: str, value: object, depth: int, inside: bool) -> object:
        """`inside`: whether the value is part of a template or of anything else with a secret name."""
        secret = _is_secret_name(name)
        if isinstance(value, dict | list):
            if depth == 0:
                return None
            inside = inside or secret
            if isinstance(value, list):
                return [self._of(name, item, depth - 1, inside) for item in value]
            inside = inside or _is_credential(value)
            return {self._name(key): self._of(key, item, depth - 1, inside) for key, item in value.items()}
        if value is None or isinstance(value, bool):
            return value
        if secret or (inside and name.lower() not in _HARMLESS_INSIDE):
            return ""
        return self._leaf(value)

    def _leaf(self, value: object) -> object:
        text = value if isinstance(value, str) else str(leaf(value))
        return "" if self._tells(text) else leaf(value)

    def _name(self, name: str) -> str:
        return "…" if self._tells(name) else str(leaf(name[:LONGEST_WORD]))

    def _tells(self, text: str) -> bool:
        """Return whether a text may contain a secret: by its length or look, or one that occurs elsewhere."""
        return (
            len(text) > _LONGEST_TEXT
            or text.lstrip().startswith(("{", "["))
            or _BLOB.search(text) is not None
            or _TOLD_IN_TEXT.search(text) is not None
            or any(secret in text for secret in self._secrets)
        )


def _is_secret_name(name: str) -> bool:
    plain = squeeze(name[:LONGEST_WORD])
    return is_secret(name) or (plain not in _HARMLESS_NAME and _SECRET_NAME.search(plain) is not None)


def _is_credential(value: dict[str, object]) -> bool:
    """Return whether an object is labelled as a credential: `{"Kind": "Pin", "Value": "4711"}`."""
    return any(
        squeeze(name[:LONGEST_WORD]) in _NAMES_KIND
        and isinstance(item, str)
        and _CREDENTIAL.fullmatch(squeeze(item[:LONGEST_WORD])) is not None
        for name, item in value.items()
    )
