"""The published API descriptions, generated from the program: OpenAPI 3.1, 3.0, Swagger 2.0 and Postman collections.

Endpoints are listed in tables (`*_endpoints`). Bodies and events are generated from the marshmallow schemas that
validate them (`bodies`, `action_bodies`, `event_schemas`), and responses are in `schemas`. `build` combines them to
OpenAPI 3.1, and `titles` adds titles. `sharing` moves repeated parts into components. `openapi_30` and `swagger`
convert the document to the other versions. Contract §7.
"""

from __future__ import annotations

import copy
import functools
import hashlib
import threading
from typing import Any

import orjson
import yaml

from app.base.yielding import let_others_run
from app.openapi.asyncapi import asyncapi
from app.openapi.build import build, only_tag, with_webhooks
from app.openapi.catalog import catalog
from app.openapi.gemini import declarations
from app.openapi.openapi_30 import to_3_0
from app.openapi.postman_gateway import gateway_collection
from app.openapi.postman_relay import relay_collection
from app.openapi.sharing import shared
from app.openapi.swagger import place_of, to_2_0
from app.openapi.system_endpoints import COLLECTIONS, VERSIONS
from app.openapi.vocabulary import LOCAL_URL, TAGS, Json

__all__ = [
    "COLLECTIONS",
    "LOCAL_URL",
    "TAGS",
    "VERSIONS",
    "as_json",
    "as_yaml",
    "asyncapi_as_yaml",
    "catalog",
    "document",
    "gateway_collection",
    "gemini",
    "relay_collection",
    "served",
    "served_collection",
]

# A placeholder for the server's URL in cached texts. Caching one text per Host header would fill the memory.
_HERE = "http://here.invalid"


_A_TURN = 100  # mappings; converting them for the YAML writer takes some 10 ms
_building = threading.Lock()  # so that requests that arrive together make a description once


class _Dumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]
    """Writes no anchors, because not every importer reads them. Other requests of the process run in between."""

    mappings = 0

    def ignore_aliases(self, data: object) -> bool:
        return True

    def represent_mapping(self, *arguments: Any, **options: Any) -> Any:
        self.mappings += 1
        if self.mappings % _A_TURN == 0:
            let_others_run()
        return super().represent_mapping(*arguments, **options)


class _Pieces(list[str]):
    """A stream that keeps what is written. The writer passes some 16 KB at a time."""

    def write(self, piece: str) -> None:
        self.append(piece)
        let_others_run()


@functools.cache
def _whole() -> Json:
    return build()


def document(
    version: str = "3.1", tag: str | None = None, base_url: str = LOCAL_URL, webhooks: bool = False
) -> Json:
    """Return the description in one of VERSIONS, complete or for one of TAGS, for the server at `base_url`.

    With `webhooks`, which only 3.1 supports, it includes the deliveries to subscribed URLs. The document is a copy that
    the caller may change.
    """
    return copy.deepcopy(_document(version, tag, base_url, webhooks))


def gemini(tag: str | None = "actions") -> Json:
    """Return the operations with a tag as a tool for Gemini: `{"functionDeclarations": […]}`."""
    return {"functionDeclarations": declarations(_document("3.1", tag, LOCAL_URL))}


def _document(version: str, tag: str | None, base_url: str, webhooks: bool = False) -> Json:
    found = _whole() if tag is None else only_tag(_whole(), tag)
    if webhooks:
        found = with_webhooks(found)
    if tag is None and version != "2.0":
        found = shared(found)
    if version == "3.1":
        return _with_server(found, base_url)
    found = to_3_0(found)
    return _with_server(found, base_url) if version == "3.0" else to_2_0(found, base_url)


def _with_server(found: Json, base_url: str) -> Json:
    first = {name: found[name] for name in ("openapi", "info")}
    return {**first, "servers": [{"url": base_url}], **found}


def as_json(version: str, tag: str | None, base_url: str, webhooks: bool = False) -> bytes:
    """Return the description as JSON."""
    return served("json", version, tag, base_url, webhooks)[0]


def as_yaml(
    version: str = "3.1", tag: str | None = None, base_url: str = LOCAL_URL, webhooks: bool = False
) -> str:
    """Return the description as YAML."""
    return served("yaml", version, tag, base_url, webhooks)[0].decode()


def asyncapi_as_yaml() -> str:
    """Return the AsyncAPI 3.0 description of the events that the relay sends, as YAML."""
    return _dumped(asyncapi())


def served(
    kind: str, version: str, tag: str | None, base_url: str, webhooks: bool = False
) -> tuple[bytes, str]:
    """Return the description as `json` or `yaml` for the server at `base_url`, and a digest of it for an ETag."""
    text, digest = _text(kind, version, tag, webhooks)
    place = _place(kind, version, base_url)
    if kind == "yaml" and version != "2.0":
        # Quoted, so that no character of the URL is special in YAML.
        place = b"url: %b\n" % orjson.dumps(base_url)
    made = text.replace(_place(kind, version, _HERE), place, 1)
    return made, _digest(digest, base_url)


def served_collection(base_url: str) -> tuple[bytes, str]:
    """Return the Postman collection of the relay's own API as JSON, and a digest of it for an ETag."""
    text, digest = _collection_text()
    return text.replace(orjson.dumps(_HERE), orjson.dumps(base_url)), _digest(digest, base_url)


def _text(kind: str, version: str, tag: str | None, webhooks: bool) -> tuple[bytes, bytes]:
    """Return the text of a description with a placeholder for the server's URL, and its digest."""
    with _building:
        return _built_text(kind, version, tag, webhooks)


@functools.cache  # bounded, because versions and tags are
def _built_text(kind: str, version: str, tag: str | None, webhooks: bool) -> tuple[bytes, bytes]:
    found = _document(version, tag, _HERE, webhooks)
    text = orjson.dumps(found, option=orjson.OPT_INDENT_2) if kind == "json" else _dumped(found).encode()
    assert text.count(_place(kind, version, _HERE)) == 1
    return text, hashlib.sha256(text).digest()


@functools.cache
def _collection_text() -> tuple[bytes, bytes]:
    text = orjson.dumps(relay_collection(_HERE))
    return text, hashlib.sha256(text).digest()


def _place(kind: str, version: str, base_url: str) -> bytes:
    """Return the server's URL in the form in which a description contains it."""
    if version != "2.0":
        return orjson.dumps(base_url) if kind == "json" else f"url: {_dumped(base_url)}".encode()
    parts = place_of(base_url)
    if kind == "json":
        return orjson.dumps(parts, option=orjson.OPT_INDENT_2)[2:-2]
    return _dumped(parts).encode()


def _digest(digest: bytes, base_url: str) -> str:
    return hashlib.sha256(digest + base_url.encode()).hexdigest()[:32]


def _dumped(value: Any) -> str:
    pieces = _Pieces()
    yaml.dump(value, pieces, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)
    return "".join(pieces)
