"""A view accepts exactly the query parameters in the description."""

from __future__ import annotations

import re

from flask import Flask

from app.api.query_parameters import parameters_of
from app.openapi.build import build

# With format=json, a path that ends like a file's is that of a user ID with this ending.
_OF_THE_MONTH = {f"/v1/attendance/{{user_id}}.{ending}": {"format"} for ending in ("csv", "xlsx")}
_IN_PATH = re.compile(r"<(?:\w+:)?(\w+)>")


def described() -> dict[tuple[str, str], set[str]]:
    """Returns the names of query parameters by (method, path)."""
    return {
        (method.upper(), path): {
            found["name"] for found in operation.get("parameters", ()) if found.get("in") == "query"
        }
        for path, operations in build()["paths"].items()
        for method, operation in operations.items()
    }


def test_views_accept_the_described_parameters(app: Flask) -> None:
    named = described()
    taken = {}
    for rule in app.url_map.iter_rules():
        path = _IN_PATH.sub(r"{\1}", rule.rule)
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}:
            if rule.rule.startswith("/v1/") and "actions" not in rule.rule:
                taken[method, path] = set(parameters_of(app.view_functions[rule.endpoint]))
    assert taken
    assert taken == {key: named[key] | _OF_THE_MONTH.get(key[1], set()) for key in taken}
