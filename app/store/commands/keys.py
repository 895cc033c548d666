"""The names of the keys of commands. `records` describes the layout."""

from __future__ import annotations

from app.store.server.keys import Shard


class CommandKeys:
    """The keys of a shard's commands."""

    def __init__(self, shard: Shard) -> None:
        tag = shard.tag
        self.shard = shard
        self.all = f"{tag}:commands"
        self.busy = f"{tag}:commands:busy"
        self.waiting = f"{tag}:commands:waiting"
        self.wake = f"{tag}:commands:wake"
        self.channel = f"{tag}:commands:ended"

    def command(self, command_id: str) -> str:
        return f"{self.shard.tag}:command:{command_id}"

    def queue(self, device_id: str) -> str:
        return f"{self.shard.tag}:commands:queue:{device_id}"

    def of_device(self, device_id: str) -> str:
        return f"{self.shard.tag}:commands:device:{device_id}"
