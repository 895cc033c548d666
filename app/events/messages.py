"""Messages for people: events as lines of text, in the format of each chat platform's incoming webhooks. Pure.

The text comes from devices, so a user's name can contain any character. Each platform's markup is therefore removed or
escaped, so that no name can mention anybody or disguise a link. The text of a subscription's template is sent as it is:
its author may use the platform's markup.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NamedTuple

import orjson

from app.events.sentences import sentence
from app.events.templates import render

LONGEST_LINE = 500  # characters of one event's sentence, before its marks are escaped
_MOST_LINES = 500  # in a batch
_BREAK = "\u200b"  # a space of no width


class Chat(NamedTuple):
    """The limits and format of a platform."""

    escape: Callable[[str], str]
    size: Callable[[str], int]  # the size of a line, as the platform counts it
    most: int  # maximum sum of the sizes of the lines
    wrap: Callable[[list[str]], Any]


def of_events(format_: str, events: list[dict[str, Any]], template: str | None = None) -> bytes:
    """Return a message with a line for each event: its sentence, or what the template makes of it."""
    if template is None:
        lines = [sentence(event) for event in events]
        return text(lines) if format_ == "text" else message(format_, lines)
    chat = CHATS.get(format_, _TEXT)
    room = chat.most - chat.size(_and_more(_MOST_LINES)) - 1

    def fits(made: str) -> bool:
        return chat.size(made) <= room

    made = _fitting(chat, [render(template, event, chat.escape, fits) for event in events])
    return "\n".join(made).encode() if format_ == "text" else orjson.dumps(chat.wrap(made))


def message(format_: str, lines: list[str]) -> bytes:
    """Return the body of a message with these lines. If the last ones don't fit, they are only counted."""
    chat = CHATS[format_]
    return orjson.dumps(chat.wrap(_fitting(chat, [chat.escape(_shortened(line)) for line in lines])))


def text(lines: list[str]) -> bytes:
    """Return plain text with these lines."""
    return "\n".join(_shortened(line) for line in lines).encode()


def _fitting(chat: Chat, lines: list[str]) -> list[str]:
    sizes = [chat.size(line) + 1 for line in lines]  # including the line break
    if sum(sizes) <= chat.most:
        return lines
    room, count = chat.most - chat.size(_and_more(len(lines))), 0
    while sizes[count] <= room:
        room -= sizes[count]
        count += 1
    return [*lines[:count], _and_more(len(lines) - count)]


def _and_more(count: int) -> str:
    return f"and {count} more"


def _shortened(line: str) -> str:
    return line if len(line) <= LONGEST_LINE else f"{line[: LONGEST_LINE - 1]}…"


# Slack (https://docs.slack.dev/messaging/formatting-message-text): three characters are escaped. It shows up to
# 40,000 characters, and advises 4,000. Mattermost and Rocket.Chat take the same message, mention by a bare @
# and link by `[text](URL)`.

_SLACK = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", "@": f"@{_BREAK}", "]": f"]{_BREAK}"})

# Google Chat (https://developers.google.com/workspace/chat/format-messages) knows no escape: it shows `&lt;` as it
# is, so angle brackets, which make mentions and links, become similar characters. A message has up to 32,000 bytes.

_GOOGLE_CHAT = str.maketrans({"<": "‹", ">": "›"})

# Discord (https://discord.com/developers/docs/resources/webhook#execute-webhook): Markdown, up to 2,000 characters.

_DISCORD_MARK = re.compile(r"[\\*_~`|<>\[\]#@]|^[-+]|(?<=^\d)\.|(?<=^\d\d)\.")


def _discord(line: str) -> str:
    return _DISCORD_MARK.sub(r"\\\g<0>", line)


def _units(line: str) -> int:
    """Count UTF-16 code units: an emoji counts as two."""
    return len(line.encode("utf-16-le")) // 2


# Teams (Workflows, "When a Teams webhook request is received"): an Adaptive Card, a message of up to 28 KB. The text
# of a TextRun is shown as it is; that of a TextBlock would be Markdown.


def _teams_blocks(line: str) -> list[dict[str, Any]]:
    """Return a block for each line, as a template may have several."""
    return [
        {"type": "RichTextBlock", "inlines": [{"type": "TextRun", "text": part}]}
        for part in line.splitlines()
        if part.strip()
    ]


def _teams(lines: list[str]) -> dict[str, Any]:
    card = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "body": [block for line in lines for block in _teams_blocks(line)],
    }
    return {
        "type": "message",
        "attachments": [
            {"contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": None, "content": card}
        ],
    }


CHATS: dict[str, Chat] = {
    "slack": Chat(lambda line: line.translate(_SLACK), len, 4_000, lambda lines: {"text": "\n".join(lines)}),
    "google_chat": Chat(
        lambda line: line.translate(_GOOGLE_CHAT), len, 4_000, lambda lines: {"text": "\n".join(lines)}
    ),
    "discord": Chat(
        _discord,
        _units,
        2_000,
        lambda lines: {"content": "\n".join(lines), "allowed_mentions": {"parse": []}},
    ),
    "teams": Chat(str, lambda line: len(orjson.dumps(_teams_blocks(line))), 20_000, _teams),
}

_TEXT = Chat(str, len, 10_000_000, str)  # has no limit
