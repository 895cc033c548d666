"""Makes texts from outside printable, because some characters control terminals."""

from __future__ import annotations


def printable(text: str) -> str:
    """Return a text without characters that could control a terminal, because names come from devices."""
    return "".join(character if character.isprintable() else "�" for character in text)
