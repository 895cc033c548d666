"""Stand-ins for the incoming webhooks of chat platforms, which refuse what the platforms' documentation says."""

from __future__ import annotations

import json
import re
from abc import ABC, abstractmethod
from typing import Any

from tests.harness import Received, Receiver

Answer = tuple[int, dict[str, str], bytes]


class Refused(Exception):
    """A message that the platform refuses, and its status and answer."""

    def __init__(self, why: str, status: int = 400, answer: bytes = b"invalid_payload") -> None:
        super().__init__(why)
        self.status = status
        self.answer = answer


class Platform(Receiver, ABC):
    """A platform's webhook: keeps the messages that it took, and why it refused others."""

    media = "application/json"
    success: Answer = (200, {}, b"")

    def __init__(self) -> None:
        super().__init__()
        self.messages: list[list[str]] = []  # the lines that people see
        self.refusals: list[str] = []
        self.answer = self._answer

    def _answer(self, got: Received) -> Answer:
        try:
            if got.headers["content-type"] != self.media:
                raise Refused(f"content-type {got.headers['content-type']}")
            self.messages.append(self.read(got.body))
        except (Refused, ValueError, LookupError, TypeError) as error:
            self.refusals.append(repr(error))
            return (
                (error.status, {}, error.answer)
                if isinstance(error, Refused)
                else (400, {}, b"invalid_payload")
            )
        return self.success

    @abstractmethod
    def read(self, body: bytes) -> list[str]:
        """Return the lines that people see. Raises Refused."""


def only(found: dict[str, Any], *names: str) -> None:
    """Raises Refused if there are other fields."""
    if found.keys() != set(names):
        raise Refused(f"fields {sorted(found)}")


class Slack(Platform):
    """`<…>` makes mentions and links, and three characters are escaped."""

    success = (200, {"content-type": "text/html"}, b"ok")

    def read(self, body: bytes) -> list[str]:
        message = json.loads(body)
        only(message, "text")
        text = message["text"]
        if not text.strip() or len(text) > 4_000:
            raise Refused(f"{len(text)} characters", 400, b"no_text" if not text.strip() else b"msg_too_long")
        if re.search(r"[<>]|&(?!(amp|lt|gt);)", text):
            raise Refused("a mark that isn't escaped")
        for entity, mark in (("&lt;", "<"), ("&gt;", ">"), ("&amp;", "&")):
            text = text.replace(entity, mark)
        return str(text).split("\n")


class GoogleChat(Platform):
    """Shows HTML entities as they are; `<users/all>` mentions, and `<https://…|text>` hides a link."""

    def read(self, body: bytes) -> list[str]:
        message = json.loads(body)
        only(message, "text")
        if not message["text"].strip() or len(body) > 32_000 or len(message["text"]) > 4_096:
            raise Refused(f"{len(body)} bytes")
        if re.search(r"<(users/|https?:)", message["text"]):
            raise Refused("a mention or a hidden link")
        return str(message["text"]).split("\n")


class Discord(Platform):
    """Markdown with backslashes as escapes; a message has at most 2,000 characters."""

    success = (204, {}, b"")

    def read(self, body: bytes) -> list[str]:
        message = json.loads(body)
        only(message, "content", "allowed_mentions")
        content = message["content"]
        if not content.strip() or len(content.encode("utf-16-le")) > 4_000:
            raise Refused(
                f"{len(content)} characters", 400, b'{"content": ["Must be 2000 or fewer in length."]}'
            )
        if message["allowed_mentions"] != {"parse": []}:
            raise Refused("mentions")
        if re.search(r"(?<!\\)(\\\\)*[*_~`|<>\[\]#@]", content):
            raise Refused("formatting")
        return re.sub(r"\\([^0-9A-Za-z\s])", r"\1", content).split("\n")


class Teams(Platform):
    """A workflow that posts the Adaptive Card of a message, of at most 28 KB."""

    success = (202, {}, b"")

    def read(self, body: bytes) -> list[str]:
        message = json.loads(body)
        only(message, "type", "attachments")
        (attachment,) = message["attachments"]
        only(attachment, "contentType", "contentUrl", "content")
        card = attachment["content"]
        only(card, "$schema", "type", "version", "body")
        if (message["type"], attachment["contentType"], card["type"]) != (
            "message",
            "application/vnd.microsoft.card.adaptive",
            "AdaptiveCard",
        ):
            raise Refused("not an Adaptive Card")
        if len(body) > 28 * 1024:
            raise Refused(f"{len(body)} bytes", 413, b"RequestEntityTooLarge")
        if card["version"] not in ("1.2", "1.3", "1.4", "1.5") or not card["body"]:
            raise Refused(f"version {card['version']}, {len(card['body'])} blocks")
        return [self._line(block) for block in card["body"]]

    @staticmethod
    def _line(block: dict[str, Any]) -> str:
        only(block, "type", "inlines")
        (run,) = block["inlines"]
        only(run, "type", "text")
        if (block["type"], run["type"]) != ("RichTextBlock", "TextRun"):
            raise Refused(block["type"])
        return str(run["text"])


class Text(Platform):
    """Takes lines of plain text."""

    media = "text/plain; charset=utf-8"

    def read(self, body: bytes) -> list[str]:
        if not body or body.endswith(b"\n"):
            raise Refused("an empty line")
        return body.decode().split("\n")


PLATFORMS: dict[str, type[Platform]] = {
    "slack": Slack,
    "google_chat": GoogleChat,
    "discord": Discord,
    "teams": Teams,
    "text": Text,
}
