"""A deprecated operation says so in its responses and in the description."""

from __future__ import annotations

import importlib
from datetime import date

import pytest
from flask.testing import FlaskClient

from app.api import deprecation_headers
from app.openapi import event_schemas
from app.schemas.deprecations import DEPRECATED, Deprecation

build = importlib.import_module("app.openapi.build")  # the package has a function of the same name

ENDING = {"GET /docs/{name}": Deprecation(date(2027, 1, 4), date(2027, 7, 5))}


def test_a_deprecated_operation_says_when_it_ends(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deprecation_headers, "DEPRECATED", ENDING)
    for path in ("/docs/docs.js", "/docs/missing.js"):  # errors, too
        headers = client.get(path).headers
        assert headers["Deprecation"] == "@1799020800"
        assert headers["Sunset"] == "Mon, 05 Jul 2027 00:00:00 GMT"
    assert "Deprecation" not in client.get("/docs").headers


def test_the_description_marks_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "DEPRECATED", ENDING)
    paths = build.build()["paths"]
    assert paths["/docs/{name}"]["get"]["deprecated"] is True
    assert "deprecated" not in paths["/docs"]["get"]
    monkeypatch.setattr(event_schemas, "DEPRECATED_EVENT_TYPES", {"user.unknown"})
    marked = {one["type"] for one in event_schemas.event_catalogue() if one["deprecated"]}
    assert marked == {"user.unknown"}


def test_notice_is_at_least_six_months() -> None:
    with pytest.raises(ValueError, match="at least 182 days"):
        Deprecation(date(2027, 1, 4), date(2027, 6, 4))


def test_deprecated_operations_exist() -> None:
    existing = {f"{endpoint.method.upper()} {endpoint.path}" for endpoint in build.ENDPOINTS}
    assert set(DEPRECATED) <= existing
