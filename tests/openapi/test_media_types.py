"""A view answers with the media type that the description lists."""

from __future__ import annotations

from flask import Flask

from app.api.accept import media_of
from app.openapi.build import ENDPOINTS


def test_each_view_declares_the_type_that_is_described(app: Flask) -> None:
    described = {
        (endpoint.method, endpoint.path): {answer.media for answer in endpoint.answers.values()}
        for endpoint in ENDPOINTS
        if endpoint.path.startswith("/v1/") and not endpoint.path.startswith("/v1/actions/")
    }
    declared = {}
    for rule in app.url_map.iter_rules():
        path = rule.rule.replace("<path:", "<").replace("<int:", "<").replace("<", "{").replace(">", "}")
        for method in rule.methods or ():
            if (method.lower(), path) in described:
                declared[method.lower(), path] = {media_of(app.view_functions[rule.endpoint])}
    assert declared == described
