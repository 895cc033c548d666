"""Counts the open event streams of a web process, by API key and by address."""

from __future__ import annotations

from collections import Counter

from app.settings.limits import Limits


class TooManyStreams(Exception):
    """No more streams may be opened. The message says whose limit was reached."""


class Streams:
    """The streams of a process."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._open: Counter[tuple[str, str]] = Counter()
        self._count = 0

    def open(self, key_id: str, address: str) -> None:
        """Count one more. Raises TooManyStreams."""
        most = self._limits.connections // 2
        if self._count >= most:
            raise TooManyStreams(f"This web process already has {most} event streams open. Try again later.")
        for name, value, most in (
            ("API key", key_id, self._limits.streams_per_key),
            ("address", address, self._limits.streams_per_address),
        ):
            if self._open[name, value] >= most:
                raise TooManyStreams(f"This {name} already has {most} event streams open. Close some.")
        self._count += 1
        self._open["API key", key_id] += 1
        self._open["address", address] += 1

    def close(self, key_id: str, address: str) -> None:
        """Count one less."""
        self._count -= 1
        for place in (("API key", key_id), ("address", address)):
            self._open[place] -= 1
            if not self._open[place]:
                del self._open[place]
