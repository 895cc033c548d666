"""Lets requests wait until a command ends, with one subscription to the store for all requests of a process."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from typing import Any

import redis

from app.base.loops import LOOPS
from app.store import Store, is_away
from app.store.commands.keys import CommandKeys
from app.store.commands.records import Command
from app.store.server.connection import note_failure

_STALLED_SECONDS = 60.0
_LOOK_SECONDS = 1.0  # a notification may be missed while the subscription is renewed


class CommandWaiter:
    """Waits for commands."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._waiting: dict[str, list[threading.Event]] = defaultdict(list)
        self._listening = False

    def wait(self, command_id: str, seconds: float) -> Command | None:
        """Return the command once it has ended or is held by the gateway, or in its state after so many seconds."""
        event = threading.Event()
        deadline = time.monotonic() + seconds
        with self._lock:
            self._waiting[command_id].append(event)
            self._listen()
        try:
            while True:
                left = deadline - time.monotonic()
                try:
                    command = self._store.commands.get(command_id)
                except redis.RedisError as error:
                    if left <= 0 or not is_away(error):
                        raise
                    time.sleep(min(left, _LOOK_SECONDS / 2))  # the store may be back in time
                    continue
                if command is None or command.ended or command.status == "waiting" or left <= 0:
                    return command
                event.wait(min(left, _LOOK_SECONDS))
                event.clear()
        finally:
            with self._lock:
                self._waiting[command_id].remove(event)
                if not self._waiting[command_id]:
                    del self._waiting[command_id]

    def _listen(self) -> None:
        if not self._listening:
            threading.Thread(target=self._listen_for_ever, name="waiter", daemon=True).start()
            self._listening = True

    def _listen_for_ever(self) -> None:
        connection = self._store.connection
        channels = [CommandKeys(shard).channel for shard in connection.shards]
        loop = LOOPS.get("command ends", _STALLED_SECONDS)
        while True:
            try:
                with connection.redis.pubsub(ignore_subscribe_messages=True) as pubsub:
                    pubsub.subscribe(*channels)
                    while True:
                        self._tell(pubsub.get_message(timeout=_LOOK_SECONDS))
                        loop.worked()
            except Exception as error:
                note_failure(loop, error)
                time.sleep(_LOOK_SECONDS / 2)

    def _tell(self, message: dict[str, Any] | None) -> None:
        if message is None:
            return
        with self._lock:
            for event in self._waiting.get(message["data"].decode(), ()):
                event.set()
