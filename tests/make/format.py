"""JSON Schemas of the files in Make's local development format.

Make publishes its schemas only with its extension for Visual Studio Code, not in a package registry. These are written
from its documentation of custom apps, and are stricter if the app doesn't need more. If `MAKE_APPS_SDK` is the path
of a checkout of that extension, its schemas are tested as well.
"""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]


def exactly(required: Json, optional: Json | None = None) -> Json:
    """An object with exactly these properties."""
    properties = {**required, **(optional or {})}
    return {
        "type": "object",
        "properties": properties,
        "required": list(required),
        "additionalProperties": False,
    }


def array(items: Json, **more: Any) -> Json:
    return {"type": "array", "items": items, **more}


def words(*values: str) -> Json:
    return {"enum": list(values)}


TEXT: Json = {"type": "string", "minLength": 1}
FLAG: Json = {"type": "boolean"}
SCALAR: Json = {"type": ["string", "number", "boolean"]}
EXPRESSION: Json = {"type": "string", "pattern": r"^\{\{.+\}\}$", "maxLength": 512}
FLAT: Json = {"type": "object", "additionalProperties": SCALAR}  # "{{...}}" as a key too

# Parameters and interfaces, which have the same format

_NAME: Json = {"type": "string", "pattern": r"^[a-zA-Z]\w{0,127}$"}
_LABEL: Json = {"type": "string", "minLength": 1, "maxLength": 256, "pattern": r"^[A-Z].*[^.]$"}
_HELP: Json = {"type": "string", "pattern": r"^[A-Z].*\.$"}
_PARAMETERS: Json = {"$ref": "#/$defs/parameters"}
_RPC: Json = {"type": "string", "pattern": r"^rpc://[a-zA-Z]+$"}
_OPTIONS = array(exactly({"label": TEXT, "value": TEXT}), minItems=1)
_BOUNDS = exactly({}, {"min": {"type": "integer"}, "max": {"type": "integer"}})
_TEXTS = exactly({"label": _LABEL, "type": words("text")})
_PART = exactly({"name": _NAME, "label": _LABEL, "type": words("text")}, {"required": FLAG})
_OWN: dict[str, Json] = {
    "text": {"validate": exactly({"pattern": TEXT})},
    "password": {"editable": FLAG},
    "url": {"editable": FLAG, "validate": exactly({"pattern": TEXT})},
    "any": {},
    "boolean": {},
    "date": {},
    "uinteger": {"validate": _BOUNDS},
    "select": {
        "multiple": FLAG,
        "options": {"anyOf": [_RPC, _OPTIONS, exactly({"store": _RPC, "nested": _PARAMETERS})]},
    },
    "array": {
        "spec": {"anyOf": [_TEXTS, array(_PART, minItems=1)]},
        "labels": exactly({"add": TEXT}),
    },
}


def _parameter(kind: str, own: Json) -> Json:
    common = {"help": _HELP, "required": FLAG, "advanced": FLAG, "default": {}}
    needed: Json = {name: own[name] for name in ("options", "spec") if name in own}
    return exactly({"name": _NAME, "label": _LABEL, "type": words(kind), **needed}, {**common, **own})


_SHOWN = {"name": _NAME, "label": _LABEL}
_INTERFACE: Json = {"$ref": "#/$defs/interface"}
DEFS: Json = {
    "parameters": array({"oneOf": [_parameter(kind, own) for kind, own in _OWN.items()]}),
    "interface": array(
        {
            "oneOf": [
                exactly(
                    {
                        **_SHOWN,
                        "type": words("text", "integer", "number", "boolean", "date", "collection", "any"),
                    }
                ),
                exactly({**_SHOWN, "type": words("filename"), "semantic": words("file:name")}),
                exactly({**_SHOWN, "type": words("buffer"), "semantic": words("file:data")}),
                exactly(
                    {
                        **_SHOWN,
                        "type": words("array"),
                        "spec": exactly({"type": words("collection"), "spec": _INTERFACE}),
                    }
                ),
            ]
        }
    ),
}

# Communication

METHOD = {"anyOf": [words("GET", "POST", "PUT", "PATCH", "DELETE"), EXPRESSION]}
ERROR_TYPES = (
    "RuntimeError",
    "DataError",
    "RateLimitError",
    "OutOfSpaceError",
    "ConnectionError",
    "InvalidConfigurationError",
    "InvalidAccessTokenError",
    "IncompleteDataError",
    "DuplicateDataError",
)
ERROR_TYPE: Json = {"anyOf": [words(*ERROR_TYPES), EXPRESSION]}
_MESSAGE: Json = {"type": "string", "minLength": 1, "maxLength": 1024}
_ERROR = exactly({"message": _MESSAGE}, {"type": ERROR_TYPE})
ERRORS: Json = {**_ERROR, "patternProperties": {r"^[45]\d\d$": _ERROR}}
_VALID = exactly({"condition": EXPRESSION, "message": _MESSAGE, "type": ERROR_TYPE})
LOG = exactly(
    {
        "sanitize": array(
            {"type": "string", "pattern": r"^(request|response)\.(headers|body)\.[\w-]+$"}, uniqueItems=True
        )
    }
)
_KIND = words("automatic", "json", "urlencoded", "text", "raw", "string", "binary", "xml")
_RESPONSE = {
    "type": {
        "anyOf": [
            _KIND,
            {
                "type": "object",
                "patternProperties": {r"^(\*|\d{3}(-\d{3})?)$": _KIND},
                "additionalProperties": False,
            },
        ]
    },
    "valid": _VALID,
    "error": ERRORS,
    "iterate": EXPRESSION,
    "temp": {"type": "object", "additionalProperties": EXPRESSION},
    "output": {"type": ["string", "object"]},
    "limit": {"anyOf": [EXPRESSION, {"type": "integer", "minimum": 1}]},
}
_URL: Json = {"type": "string", "minLength": 1, "maxLength": 512}
_PATH: Json = {**_URL, "pattern": r"^(/v1/|/photos/|\{\{connection\.url\}\}/)"}


def request(url: Json = _PATH, **response: Json) -> Json:
    """A request. POST, PUT and PATCH require a body, and `iterate` requires `output`."""
    made = exactly(
        {"url": url},
        {
            "method": METHOD,
            "headers": FLAT,
            "qs": FLAT,
            "body": {"type": ["object", "string"]},
            "type": words("json", "text"),
            "response": {
                **exactly({}, {**_RESPONSE, **response}),
                "dependentRequired": {"iterate": ["output"]},
            },
            "pagination": exactly({"qs": FLAT, "condition": EXPRESSION}),
            "repeat": exactly(
                {
                    "condition": EXPRESSION,
                    "delay": {"type": "integer", "minimum": 1},
                    "limit": {"type": "integer", "minimum": 1},
                }
            ),
            "log": LOG,
        },
    )
    with_body = {"properties": {"method": words("POST", "PUT", "PATCH")}, "required": ["method"]}
    return {**made, "if": with_body, "then": {"required": ["body"]}}


_REQUESTS = {"anyOf": [request(), array(request(), minItems=2)]}
_SAMPLES: Json = {"type": "object", "minProperties": 1}
_NOTHING: Json = {"type": "array", "maxItems": 0}

FILES: dict[tuple[str, str], Json] = {
    ("connection", "params"): _PARAMETERS,
    ("connection", "communication"): request(
        _URL,
        data={"type": "object", "additionalProperties": EXPRESSION},
        metadata=exactly({"type": words("text", "email"), "value": TEXT}),
    ),
    ("webhook", "params"): _PARAMETERS,
    ("webhook", "attach"): request(data=exactly({"externalHookId": EXPRESSION, "token": EXPRESSION})),
    ("webhook", "update"): request(),
    ("webhook", "detach"): exactly({"url": _PATH, "method": words("DELETE")}),
    ("webhook", "communication"): exactly(
        {
            "verification": exactly(
                {
                    "condition": EXPRESSION,
                    "respond": exactly(
                        {
                            "status": {"type": "integer", "minimum": 100, "maximum": 999},
                            "type": words("json", "urlencoded", "text"),
                            "body": {"type": "object"},
                        }
                    ),
                }
            ),
            "iterate": EXPRESSION,
            "output": EXPRESSION,
        }
    ),
    ("rpc", "params"): _PARAMETERS,
    ("rpc", "communication"): request(output=exactly({"label": EXPRESSION, "value": EXPRESSION})),
    ("module", "staticParams"): _NOTHING,
    ("module", "mappableParams"): _PARAMETERS,
    ("module", "communication"): _REQUESTS,
    ("module", "interface"): {**_INTERFACE, "minItems": 1},
    ("module", "samples"): _SAMPLES,
    # An instant trigger gets its bundles from its webhook, and has no requests or parameters of its own.
    ("instant_trigger", "communication"): {"type": "object", "maxProperties": 0},
    ("instant_trigger", "mappableParams"): _NOTHING,
}

BASE = exactly(
    {
        "baseUrl": EXPRESSION,
        "headers": FLAT,
        "response": exactly({"error": ERRORS}),
        "log": LOG,
    }
)
GROUPS = array(exactly({"label": _LABEL, "modules": array(_NAME, minItems=1, uniqueItems=True)}), minItems=1)

# makecomapp.json

_CODES: dict[str, tuple[str, ...]] = {
    "connection": ("communication", "params"),
    "webhook": ("communication", "params", "attach", "update", "detach"),
    "rpc": ("communication", "params"),
    "module": ("staticParams", "communication", "mappableParams", "interface", "samples"),
}
_DESCRIPTION: Json = {"type": "string", "pattern": r"^[A-Z].*\.$"}
_META: dict[str, tuple[Json, Json]] = {
    "connection": ({"connectionType": words("basic", "oauth")}, {}),
    "webhook": ({"webhookType": words("web", "web-shared"), "connection": _NAME}, {}),
    "rpc": ({"connection": _NAME}, {}),
    "module": (
        {
            "description": _DESCRIPTION,
            "moduleType": words("trigger", "action", "search", "instant_trigger", "responder", "universal"),
            "connection": _NAME,
        },
        {"actionCrud": words("create", "read", "update", "delete"), "webhook": _NAME},
    ),
}
# The longest names. Those of connections and webhooks are set by the editor.
_LONGEST = {"connection": 35, "webhook": 35, "rpc": 48, "module": 48}


def _component(kind: str) -> Json:
    required, optional = _META[kind]
    files = exactly(dict.fromkeys(_CODES[kind], TEXT))
    made = exactly({"label": _LABEL, "codeFiles": files, **required}, optional)
    if kind == "connection":
        made["properties"]["label"] = TEXT
    if kind != "module":
        return made

    def where(module_type: str, needs: str) -> Json:
        is_so = {"properties": {"moduleType": {"const": module_type}}}
        return {"if": is_so, "then": {"required": [needs]}, "else": {"not": {"required": [needs]}}}

    return {**made, "allOf": [where("action", "actionCrud"), where("instant_trigger", "webhook")]}


def _components(kind: str) -> Json:
    names = {"pattern": rf"^[a-zA-Z][0-9a-zA-Z]{{2,{_LONGEST[kind] - 1}}}$"}
    return {"type": "object", "propertyNames": names, "additionalProperties": _component(kind)}


_NONE: Json = {"type": "object", "maxProperties": 0}
MANIFEST = exactly(
    {
        "fileVersion": {"const": 1},
        "generalCodeFiles": exactly(
            {name: {"type": ["string", "null"]} for name in ("base", "common", "groups", "readme")}
        ),
        "components": exactly(
            {kind: _components(kind) for kind in _CODES} | {"function": _NONE, "endpoint": _NONE}
        ),
        "origins": _NOTHING,  # the owner is chosen at the upload
    }
)


def schema(of: Json) -> Json:
    """Returns a complete JSON Schema document for one of these schemas."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "$defs": DEFS, **of}
