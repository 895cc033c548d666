"""Keys, the gateway's callbacks, health, metrics, signed files and these descriptions, as endpoints."""

from __future__ import annotations

from functools import partial

from app.openapi.bodies import KEY
from app.openapi.parts import (
    ANY_KEY,
    CURSOR,
    LIMIT,
    PUBLIC,
    TAGS,
    Answer,
    Endpoint,
    Json,
    created,
    in_path,
    no_content,
    ok,
    page_of,
    parameter,
    ref,
    text,
)
from app.openapi.schemas import CALLBACK_DONE

VERSIONS = ("3.1", "3.0", "2.0")
COLLECTIONS = ("gateway", "relay")

_VERSION = parameter(
    "version",
    "Which OpenAPI: 3.1 (the default), 3.0, or 2.0 (Swagger, for Power Automate).",
    text("", "3.1", enum=list(VERSIONS), default="3.1"),
)
_TAG = parameter(
    "tag", "Only the operations under this tag; GPT actions take 30.", text("", "actions", enum=list(TAGS))
)
_COLLECTION = parameter(
    "collection",
    "gateway (the default): the gateway's own 27 commands; relay: this API.",
    text("", "gateway", enum=list(COLLECTIONS), default="gateway"),
)
_STGID = parameter(
    "stgid", "The device's Service Tag ID, where it is not in the path.", text("", "ZHM1100001")
)
_PUNCH = {
    "RealTime": {
        "OperationID": "9nu1wak5616p",
        "PunchLog": {
            "Type": "CheckIn",
            "InputType": "Fingerprint",
            "UserId": "2",
            "LogTime": "2026-11-24 09:01:44 GMT +0530",
        },
        "AuthToken": "made-up-token-of-32-characters-.",
        "Time": "2026-11-24 09:01:45 GMT +0530",
        "LabelName": "Front Door",
        "SerialNumber": "ZHM1100001",
    }
}
_CALLBACK_BODY: Json = {
    "type": "object",
    "description": "The gateway's JSON; where the device has a security key, Base64 of its encryption instead.",
    "additionalProperties": True,
}
_FILE: Json = {"type": "string", "description": "The file's bytes."}
_DOCUMENT: Json = {"type": "object", "description": "The description.", "additionalProperties": True}


_public = partial(Endpoint, method="get", tags=("system",), scopes=PUBLIC)


def _callback(path: str, operation_id: str, *parameters: Json) -> Endpoint:
    return _public(
        method="post",
        path=path,
        operation_id=operation_id,
        summary="Take a callback of the gateway",
        description="Where the gateway delivers what a device reports. The AuthToken in the body says whose it is; an "
        "id in the path or stgid must then match. Answers only once it is stored.",
        answers=ok("Stored.", CALLBACK_DONE),
        parameters=parameters,
        body=_CALLBACK_BODY,
        examples={"punch": _PUNCH},
        problems=(400, 401, 503),
    )


def _document(path: str, operation_id: str, media: str, what: str, *parameters: Json) -> Endpoint:
    return _public(
        path=path,
        operation_id=operation_id,
        summary=what,
        description=f"{what}. Needs no key.",
        answers=ok(what, _DOCUMENT, media=media, example={"openapi": "3.1.0"}),
        parameters=parameters,
    )


def _signed_file(
    path: str, operation_id: str, summary: str, description: str, answers: dict[int, Answer], blob_id: Json
) -> Endpoint:
    return _public(
        path=path,
        operation_id=operation_id,
        summary=summary,
        description=description,
        answers=answers,
        parameters=(
            blob_id,
            parameter("expires", "Part of the signed link.", text("", "1796095904"), required=True),
            parameter("signature", "Part of the signed link.", text("", "3q2-7w"), required=True),
        ),
        problems=(403, 503),
    )


_key = partial(Endpoint, tags=("keys",), scopes=("admin",))

KEYS: tuple[Endpoint, ...] = (
    _key(
        method="get",
        path="/v1/me",
        operation_id="getMe",
        summary="Test the connection",
        description="The key's name and scopes, and the relay's version.",
        answers=ok("Whose key it is.", ref("Me")),
        scopes=ANY_KEY,
    ),
    _key(
        method="get",
        path="/v1/api-keys",
        operation_id="listApiKeys",
        summary="List API keys",
        description="The keys, without themselves.",
        answers=ok("A page of keys.", page_of("ApiKey")),
        parameters=(LIMIT, CURSOR),
    ),
    _key(
        method="post",
        path="/v1/api-keys",
        operation_id="createApiKey",
        summary="Create API key",
        description="Makes a key with the given scopes, shown this once.",
        answers=created("Made.", ref("ApiKeyWithKey")),
        body=ref("ApiKeyBody"),
        examples={"example": {name: KEY["properties"][name]["examples"][0] for name in ("name", "scopes")}},
    ),
    _key(
        method="delete",
        path="/v1/api-keys/{key_id}",
        operation_id="deleteApiKey",
        summary="Delete API key",
        description="Deletes a key; it ends working at once.",
        answers=no_content("Deleted."),
        parameters=(in_path("key_id", "The key's id.", "key_4h3gw8x2m1k6p9r5t7v3y2b1"),),
    ),
    _key(
        method="get",
        path="/v1/audit",
        operation_id="listAuditEntries",
        summary="Read the audit log",
        description="Who did what that matters, newest first: reads of templates, changes of keys, devices and "
        "subscriptions, and the like.",
        answers=ok("A page of the audit log.", page_of("AuditEntry")),
        parameters=(LIMIT, CURSOR),
    ),
)

SYSTEM: tuple[Endpoint, ...] = (
    _callback("/callback", "takeCallback", _STGID),
    _callback(
        "/callback/{device_id}",
        "takeCallbackOfDevice",
        in_path("device_id", "The device's Service Tag ID (stgid).", "ZHM1100001"),
    ),
    _public(
        path="/health",
        operation_id="getHealth",
        summary="Health",
        description="200 when callbacks can be taken, on disk if need be; 503 otherwise.",
        answers={
            200: Answer("Callbacks can be taken.", ref("Health")),
            503: Answer("They can't.", ref("Health")),
        },
    ),
    _public(
        path="/metrics",
        operation_id="getMetrics",
        summary="Metrics",
        description="Prometheus text, for a key with the scope metrics:read; open with RELAY_METRICS_OPEN=1.",
        answers=ok(
            "The metrics.",
            {"type": "string", "description": "Prometheus text."},
            media="text/plain",
            example="cams_relay_spool_bytes 0.0\n",
        ),
        problems=(401, 403, 429, 503),
    ),
    _signed_file(
        "/photos/{blob_id}",
        "getPhoto",
        "Get photo",
        "The photo of an attendance.photo, by the signed link in the event.",
        ok("The photo.", _FILE, media="image/*", example=""),
        in_path("blob_id", "The photo's id.", "pho_004h3gw8x2m1k6p9r5t7v3y2b1"),
    ),
    _signed_file(
        "/bodies/{blob_id}",
        "getUnrecognisedBody",
        "Get unrecognised body",
        "The body of a callback.unrecognised as it came, decrypted, by the signed link in the event.",
        ok("The body.", _FILE, media="application/octet-stream", example=""),
        in_path("blob_id", "The body's id.", "bod_004h3gw8x2m1k6p9r5t7v3y2b1"),
    ),
    _document(
        "/openapi.json",
        "getOpenApiJson",
        "application/json",
        "This description as JSON",
        _VERSION,
        _TAG,
    ),
    _document(
        "/openapi.yaml",
        "getOpenApiYaml",
        "application/yaml",
        "This description as YAML",
        _VERSION,
        _TAG,
    ),
    _document(
        "/postman.json",
        "getPostmanCollection",
        "application/json",
        "A Postman collection (v2.1)",
        _COLLECTION,
    ),
    _public(
        path="/docs",
        operation_id="getDocs",
        summary="Documentation page",
        description="This description as a page to read and to try in. Needs no key.",
        answers=ok(
            "The page.",
            {"type": "string", "description": "HTML."},
            media="text/html",
            example="<!doctype html>",
        ),
    ),
    _public(
        path="/docs/{name}",
        operation_id="getDocsFile",
        summary="File of the documentation page",
        description="A script, style or picture of the documentation page. Needs no key.",
        answers=ok("The file.", _FILE, media="*/*", example=""),
        parameters=(in_path("name", "The file's name.", "docs.js"),),
    ),
)
