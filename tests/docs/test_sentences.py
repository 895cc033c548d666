"""scripts/sentences picks sentences from every kind of text, shows their lines, and repeats a pick for a seed."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from tests.harness import ROOT


def drawn(*arguments: str) -> list[tuple[str, int, str]]:
    """Return file, line and text of each sentence that the script prints."""
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "sentences", *arguments], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    rows = (line.split(":", 2) for line in done.stdout.splitlines())
    return [(path, int(number), text.strip()) for path, number, text in rows]


@pytest.fixture(scope="module")
def every() -> list[tuple[str, int, str]]:
    return drawn("--all")


def test_a_sample_has_sixty_sentences_of_every_kind_and_can_be_repeated() -> None:
    first = drawn("--seed", "7")
    assert len(first) == len(set(first)) == 60
    assert first == drawn("--seed", "7") != drawn("--seed", "8")
    files = [path for path, _, _ in first]
    assert files.count("app/console/texts.en.toml") == files.count("openapi.yaml") == 12
    assert len([path for path in files if path.endswith(".md")]) == 12


def test_each_sentence_starts_at_the_line_shown(every: list[tuple[str, int, str]]) -> None:
    for path, line, text in every:
        start = re.findall(r"\w+", text)[0]
        if path.endswith((".md", ".toml")):
            lines = (ROOT / path).read_text().splitlines()[line - 1 :][:12]  # a paragraph has a few lines
            assert any(start in found for found in lines), (path, line, text)


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("README.md", "You don't need a machine to try it."),
        ("docs/glossary.md", "One try to deliver an event to a webhook."),
        ("app/console/texts.en.toml", "There is no page at this address."),
        ("openapi.yaml", "The device's Service Tag ID (stgid)."),
        ("app/cli/keys.py", "Create an API key and print it."),
    ],
)
def test_known_texts_are_included(every: list[tuple[str, int, str]], path: str, text: str) -> None:
    assert any(found == path and sentence == text for found, _, sentence in every)


def test_code_and_generated_parts_are_not_included(every: list[tuple[str, int, str]]) -> None:
    assert not [text for _, _, text in every if "<!--" in text or text.startswith(("curl ", "KEY="))]
    assert not [text for path, _, text in every if path == "docs/cli.md" and "Usage: cams-relay" in text]
