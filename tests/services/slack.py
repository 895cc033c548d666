"""Slack's Web API: https://docs.slack.dev/reference/methods/chat.postMessage."""

from __future__ import annotations

from typing import Any

from tests.services.web import Request, Service

TOKEN = "xoxb-made-up"


class Slack(Service):
    """A workspace with channels. `messages` contains the channel and text of each posted message."""

    def __init__(self, *channels: str) -> None:
        super().__init__()
        self.channels = channels
        self.messages: list[tuple[str, str]] = []

    def answer(self, request: Request) -> tuple[int, Any]:
        if (request.method, request.path) != ("POST", "/api/chat.postMessage"):
            return 200, {"ok": False, "error": "unknown_method"}
        if request.headers.get("authorization") != f"Bearer {TOKEN}":
            return 200, {"ok": False, "error": "invalid_auth"}
        channel, text = request.json.get("channel"), request.json.get("text")
        if channel not in self.channels:
            return 200, {"ok": False, "error": "channel_not_found"}
        if not text:
            return 200, {"ok": False, "error": "no_text"}
        self.messages.append((channel, text))
        return 200, {"ok": True, "channel": channel, "ts": "1795507200.000100", "message": {"text": text}}
