"""The published descriptions: OpenAPI 3.1, 3.0, Swagger 2.0 and Postman collections, made from the program.

`endpoints` are tables (`*_endpoints`), bodies and events come of the marshmallow schemas that check them (`bodies`),
answers are in `schemas`; `build` puts 3.1 together, `older` and `swagger` make the other versions of it. Contract §7.
"""

from __future__ import annotations

import copy
import functools
import json

import orjson
import yaml

from app.openapi.build import build, only_tag
from app.openapi.catalog import catalog
from app.openapi.gemini import declarations
from app.openapi.older import to_3_0
from app.openapi.parts import LOCAL_URL, TAGS, Json
from app.openapi.postman_gateway import gateway_collection
from app.openapi.postman_relay import relay_collection
from app.openapi.swagger import to_2_0
from app.openapi.system_endpoints import COLLECTIONS, VERSIONS

__all__ = [
    "COLLECTIONS",
    "LOCAL_URL",
    "TAGS",
    "VERSIONS",
    "as_json",
    "as_yaml",
    "catalog",
    "document",
    "gateway_collection",
    "gemini",
    "relay_collection",
]

# Stands for the server's URL while the rest of a text is kept: a Host header must not fill our memory.
_HERE = "http://here.invalid"


class _Dumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]
    """Without anchors: not every importer reads them."""

    def ignore_aliases(self, data: object) -> bool:
        return True


@functools.cache
def _whole() -> Json:
    return build()


def document(version: str = "3.1", tag: str | None = None, base_url: str = LOCAL_URL) -> Json:
    """The description in one of VERSIONS, whole or of one of TAGS, as served at `base_url`. The caller's own."""
    return copy.deepcopy(_document(version, tag, base_url))


def gemini(tag: str | None = "actions") -> Json:
    """Gemini's tool of the operations under a tag: `{"functionDeclarations": […]}`."""
    return {"functionDeclarations": declarations(_document("3.1", tag, LOCAL_URL))}


def _document(version: str, tag: str | None, base_url: str) -> Json:
    found = _whole() if tag is None else only_tag(_whole(), tag)
    if version == "3.1":
        return _with_server(found, base_url)
    found = to_3_0(found)
    return _with_server(found, base_url) if version == "3.0" else to_2_0(found, base_url)


def _with_server(found: Json, base_url: str) -> Json:
    first = {name: found[name] for name in ("openapi", "info")}
    return {**first, "servers": [{"url": base_url}], **found}


def as_json(version: str, tag: str | None, base_url: str) -> bytes:
    """The description as JSON."""
    return orjson.dumps(_document(version, tag, base_url), option=orjson.OPT_INDENT_2)


def as_yaml(version: str = "3.1", tag: str | None = None, base_url: str = LOCAL_URL) -> str:
    """The description as YAML."""
    if version == "2.0":  # the URL is in three places of it
        return _dumped(_document(version, tag, base_url))
    return _yaml(version, tag).replace(_HERE, json.dumps(base_url), 1)


@functools.cache
def _yaml(version: str, tag: str | None) -> str:
    return _dumped(_document(version, tag, _HERE))


def _dumped(value: Json) -> str:
    text: str = yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)
    return text
