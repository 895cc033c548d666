"""Archives in SQLite and PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from app.archive import Archive
from app.base.vault import Vault
from app.settings.archive import database_url
from tests.servers import postgres

KEY = "made-up-secret-key-for-tests-only-0123456789"
STORE = "0" * 32


@pytest.fixture(scope="session")
def postgres_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with postgres(tmp_path_factory.mktemp("postgres")) as url:
        yield url


@pytest.fixture
def postgres_database(postgres_url: str) -> str:
    """The URL of an empty database."""
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    return postgres_url


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database, as SQLAlchemy writes it."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'archive.sqlite'}"
    found = database_url(request.getfixturevalue("postgres_database"))
    assert found is not None
    return found


@pytest.fixture
def archive(url: str) -> Archive:
    made = Archive(url, Vault(KEY))
    made.claim(STORE)
    return made
