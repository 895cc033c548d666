"""While a description is built, the process serves other requests. Each description is built once."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from app import openapi


@pytest.mark.parametrize("version", openapi.VERSIONS)
def test_building_a_description_lets_other_requests_run(
    monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    openapi._built_text.cache_clear()
    turns: list[None] = []
    monkeypatch.setattr(openapi, "let_others_run", lambda: turns.append(None))
    text, _ = openapi.served("yaml", version, None, "http://relay.test")
    assert len(turns) >= len(text) / 20_000, (
        "it must yield during the conversion, and once for each piece of the text"
    )


def test_requests_that_arrive_together_build_a_description_once(monkeypatch: pytest.MonkeyPatch) -> None:
    openapi._built_text.cache_clear()
    built: list[str] = []
    document = openapi._document

    def count(version: str, *arguments: Any) -> dict[str, Any]:
        built.append(version)
        return document(version, *arguments)

    monkeypatch.setattr(openapi, "_document", count)
    monkeypatch.setattr(openapi, "let_others_run", lambda: time.sleep(0.001))
    texts: list[bytes] = []
    threads = [
        threading.Thread(
            target=lambda: texts.append(openapi.served("yaml", "3.0", None, "http://relay.test")[0])
        )
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert built == ["3.0"]
    assert len(texts) == 8 and len(set(texts)) == 1
