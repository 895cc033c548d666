"""Fixtures for the tests of the published descriptions: the app, the documents, and a relay with a gateway."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient

from app import openapi
from app.api import create_app
from app.settings.table import load
from tests import node
from tests import stage as stages
from tests.openapi.reading import Json
from tests.stage import Stage


@pytest.fixture(scope="session")
def app(tmp_path_factory: pytest.TempPathFactory) -> Flask:
    """The web application without a running store."""
    folder = tmp_path_factory.mktemp("app")
    made_up = {"RELAY_DATA_DIR": str(folder), "RELAY_SECRET_KEY": "x" * 32, "RELAY_API_KEY": "x" * 32}
    return create_app(load(made_up))


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


@pytest.fixture(scope="session")
def full_document() -> Json:
    """The OpenAPI 3.1 document."""
    return openapi.document()


@pytest.fixture(scope="session")
def with_webhooks() -> Json:
    """The OpenAPI 3.1 document including the webhooks sent to subscribed URLs."""
    return openapi.document(webhooks=True)


@pytest.fixture(scope="session")
def actions() -> Json:
    """The OpenAPI 3.1 document with only the tag `actions`."""
    return openapi.document(tag="actions")


@pytest.fixture(scope="session")
def tools() -> Path:
    """The folder of the Node.js programs pinned in `node/`."""
    return node.installed(Path(__file__).parent / "node") / "node_modules" / ".bin"


@pytest.fixture(scope="session")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A separate relay, as these tests leave subscriptions and keys behind."""
    with stages.stage(tmp_path_factory.mktemp("stage")) as made:
        yield made
