"""The endpoints of keys, callbacks from the gateway, health, metrics, signed files and the API descriptions."""

from __future__ import annotations

from functools import partial

from app.openapi.bodies import KEY
from app.openapi.schemas import CALLBACK_DONE
from app.openapi.vocabulary import (
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
    words,
)

VERSIONS = ("3.1", "3.0", "2.0")
COLLECTIONS = ("gateway", "relay")

_VERSION = parameter(
    "version",
    "OpenAPI version: 3.1 (the default), 3.0, or 2.0 (Swagger, for Power Automate).",
    text("", "3.1", enum=list(VERSIONS), default="3.1"),
)
_TAG = parameter(
    "tag",
    "Only operations with this tag. GPT actions accept at most 30.",
    text("", "actions", enum=list(TAGS)),
)
_WEBHOOKS = parameter(
    "webhooks",
    "1 adds the deliveries that subscribed URLs receive (OpenAPI 3.1 only). Some tools can't import webhooks.",
    text("", "1", enum=["0", "1"], default="0"),
)
_COLLECTION = parameter(
    "collection",
    "`gateway` (the default) is for the gateway's own commands, and `relay` is for this API.",
    text("", "gateway", enum=list(COLLECTIONS), default="gateway"),
)
_STGID = parameter("stgid", "The device's Service Tag ID, if it is not in the path.", text("", "ZHM1100001"))
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
    "description": "The gateway's JSON. If the device has a Security Key, the body is the encrypted JSON in Base64.",
    "additionalProperties": True,
}
_PAGE = ok(
    "The page.",
    {"type": "string", "description": "HTML."},
    media="text/html",
    example="<!doctype html>",
)
_FILE: Json = {"type": "string", "format": "binary", "description": "The file's bytes."}
_DOCUMENTS: dict[str, Json] = {
    "application/json": {"type": "object", "description": "The description.", "additionalProperties": True},
    # Code generators read no YAML in responses. They hand over the bytes.
    "application/yaml": {"type": "string", "format": "binary", "description": "The description."},
}
_DOCUMENT_EXAMPLES: Json = {"application/json": {"openapi": "3.1.0"}, "application/yaml": "openapi: 3.1.0\n"}


_public = partial(Endpoint, method="get", tag="system", scopes=PUBLIC)


def _callback(path: str, operation_id: str, *parameters: Json) -> Endpoint:
    return _public(
        method="post",
        path=path,
        operation_id=operation_id,
        summary="Receive a callback from the gateway",
        description="The gateway sends callbacks from devices to this URL. The AuthToken in the body "
        "identifies the device. An ID in the path or stgid must match it. The response is sent "
        "once the callback is stored.",
        answers=ok("Stored.", CALLBACK_DONE),
        parameters=parameters,
        body=_CALLBACK_BODY,
        examples={"punch": _PUNCH},
        problems=(400, 401, 408, 429, 503),
    )


def _document(path: str, operation_id: str, media: str, what: str, *parameters: Json) -> Endpoint:
    return _public(
        path=path,
        operation_id=operation_id,
        summary=what,
        description=f"{what}. Requires no API key.",
        answers=ok(what, _DOCUMENTS[media], media=media, example=_DOCUMENT_EXAMPLES[media]),
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


_KEY_ID = in_path("key_id", "The key's ID.", "key_4h3gw8x2m1k6p9r5t7v3y2b1")
_key = partial(Endpoint, tag="keys", scopes=("admin",))

KEYS: tuple[Endpoint, ...] = (
    _key(
        method="get",
        path="/v1/me",
        operation_id="getMe",
        summary="Test the connection",
        description="Returns the key's name and scopes, and the relay's version.",
        answers=ok("The key.", ref("Me")),
        scopes=ANY_KEY,
    ),
    _key(
        method="get",
        path="/v1/api-keys",
        operation_id="listApiKeys",
        summary="List API keys",
        description="Returns the API keys, without the keys themselves.",
        answers=ok("A page of keys.", page_of("ApiKeyDetails")),
        parameters=(LIMIT, CURSOR),
    ),
    _key(
        method="post",
        path="/v1/api-keys",
        operation_id="createApiKey",
        summary="Create API key",
        description="Creates a key with the given scopes. The key is shown only in this response.",
        answers=created("Made.", ref("ApiKeyWithKey")),
        body=ref("ApiKeyBody"),
        examples={"example": {name: KEY["properties"][name]["examples"][0] for name in ("name", "scopes")}},
        problems=(409,),
    ),
    _key(
        method="get",
        path="/v1/api-keys/{key_id}",
        operation_id="getApiKey",
        summary="Get API key",
        description="Returns an API key, without the key itself, and when it was last used.",
        answers=ok("The key.", ref("ApiKeyDetails")),
        parameters=(_KEY_ID,),
    ),
    _key(
        method="patch",
        path="/v1/api-keys/{key_id}",
        operation_id="updateApiKey",
        summary="Update API key",
        description="Changes the name of a key, or when it expires. Its scopes can't be changed.",
        answers=ok("The changed key.", ref("ApiKeyDetails")),
        parameters=(_KEY_ID,),
        body=ref("ApiKeyChange"),
        examples={"example": {"name": "Payroll"}},
        problems=(412,),
    ),
    _key(
        method="post",
        path="/v1/api-keys/{key_id}/rotate",
        operation_id="rotateApiKey",
        summary="Rotate API key",
        description="Creates a new secret for the key, which is shown only once. The previous secret stays valid for "
        "24 hours, or for as many seconds as you say. Secrets before it stop working immediately.",
        answers=ok("The key with its new secret.", ref("ApiKeyWithKey")),
        parameters=(_KEY_ID,),
        body=ref("ApiKeyRotation"),
        examples={"example": {"previous_key_expires_in": 3600}},
        problems=(409, 412),
    ),
    _key(
        method="delete",
        path="/v1/api-keys/{key_id}",
        operation_id="deleteApiKey",
        summary="Delete API key",
        description="Deletes a key, which stops working immediately. The subscriptions that it created continue, "
        "unless you set subscriptions to delete.",
        answers=no_content("Deleted."),
        parameters=(
            _KEY_ID,
            parameter(
                "subscriptions",
                "What to do with the subscriptions that the key created.",
                {**words("", "keep", "delete"), "default": "keep"},
            ),
        ),
        problems=(412,),
    ),
    _key(
        method="get",
        path="/v1/audit",
        operation_id="listAuditEntries",
        summary="Read the audit log",
        description="Returns important actions and who performed them, newest first, such as template reads and "
        "changes to keys, devices and subscriptions.",
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
        description="Answers 200 if callbacks can be accepted (on disk if necessary), else 503.",
        answers={
            200: Answer("Callbacks can be accepted.", ref("Health")),
            503: Answer("They can't.", ref("Health")),
        },
    ),
    _public(
        path="/metrics",
        operation_id="getMetrics",
        summary="Metrics",
        description="Returns metrics as Prometheus text. Requires a key with the scope metrics:read, unless "
        "RELAY_METRICS_OPEN=1.",
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
        "Returns the photo of an attendance.photo event, using the signed link in the event.",
        ok("The photo.", _FILE, media="image/*", example=""),
        in_path("blob_id", "The photo's ID.", "pho_004h3gw8x2m1k6p9r5t7v3y2b1"),
    ),
    _signed_file(
        "/bodies/{blob_id}",
        "getUnrecognisedBody",
        "Get unrecognised body",
        "Returns the body of a callback.unrecognised event, using the signed link in the event. Tokens, PINs, "
        "cards, templates and photos are blanked. With a key that has templates:read, the whole body is "
        "returned and the read is audited.",
        ok("The body.", _FILE, media="application/octet-stream", example=""),
        in_path("blob_id", "The body's ID.", "bod_004h3gw8x2m1k6p9r5t7v3y2b1"),
    ),
    _document(
        "/openapi.json",
        "getOpenApiJson",
        "application/json",
        "Get this description as JSON",
        _VERSION,
        _TAG,
        _WEBHOOKS,
    ),
    _document(
        "/openapi.yaml",
        "getOpenApiYaml",
        "application/yaml",
        "Get this description as YAML",
        _VERSION,
        _TAG,
        _WEBHOOKS,
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
        description="Returns this description as an interactive page. No API key is required.",
        answers=_PAGE,
    ),
    _public(
        path="/docs/errors",
        operation_id="getErrorCodes",
        summary="Get the codes of errors",
        description="Returns a page that explains each `code` of an error. No API key is required.",
        answers=_PAGE,
    ),
    _public(
        path="/docs/{name}",
        operation_id="getDocsFile",
        summary="Get a file of the documentation page",
        description="Returns a script, style or picture of the documentation page. No API key is required.",
        answers=ok("The file.", _FILE, media="*/*", example=""),
        parameters=(in_path("name", "The file's name.", "docs.js"),),
    ),
)
