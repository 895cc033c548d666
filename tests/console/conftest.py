"""A relay with a simulated device, and a real Chromium."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from tests.browser import chromium
from tests.console.tools import sign_in
from tests.stage import Stage
from tests.stage import stage as make_stage


@pytest.fixture(scope="module")  # no longer: beside it no event loop runs, nor a second browser
def browser() -> Iterator[Browser]:
    with chromium() as made:
        yield made


@pytest.fixture(scope="session")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with make_stage(Path(tmp_path_factory.mktemp("console"))) as made:
        yield made


@pytest.fixture
def page(browser: Browser, stage: Stage) -> Iterator[Page]:
    """A page of a user with every scope. An error in its scripts fails the test."""
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    made = context.new_page()
    made.set_default_timeout(20_000)
    errors: list[str] = []
    made.on("pageerror", lambda error: errors.append(str(error)))
    made.on(
        "console", lambda message: errors.append(message.text) if "Content Security" in message.text else None
    )
    sign_in(made, stage.relay)
    yield made
    context.close()
    assert not errors
