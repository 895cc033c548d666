"""The memory of a process for bodies of requests that aren't authenticated yet.

Above the limit, the address that uses most loses its oldest body. Addresses that recently sent genuine callbacks come
last.
"""

from __future__ import annotations

from app.limits.callers import Callers

# This much of each body is never counted or refused: far more than a punch.
FREE_BYTES = 32 * 1024


class Body:
    """A body while it is read: how much of it is counted, and whether it was given up for lack of memory."""

    __slots__ = ("address", "counted", "given_up")

    def __init__(self, address: str) -> None:
        self.address = address
        self.counted = 0
        self.given_up = False

    def give_up(self) -> None:
        """Make the request's reader stop. Subclasses override this if something waits for more."""
        self.given_up = True


class BodyMemory:
    """Counts the bytes of bodies, in total and by address. Sizes are in bytes."""

    def __init__(self, most: int, most_per_address: int, callers: Callers) -> None:
        self._most = most
        self._most_per_address = most_per_address
        self._callers = callers
        self._bodies: dict[str, dict[Body, None]] = {}  # by address, each oldest first
        self._by_address: dict[str, int] = {}
        self.used = 0
        self.given_up = 0  # bodies since the process began

    def grow(self, body: Body, size: int) -> bool:
        """Count `size` more bytes of a body; False if it must be given up now."""
        address = body.address
        body.counted += size
        self.used += size
        self._bodies.setdefault(address, {})[body] = None
        self._by_address[address] = self._by_address.get(address, 0) + size
        while self._by_address[address] > self._most_per_address and not self._callers.trusts(address):
            if self._give_up_oldest(address) is body:
                return False
        while self.used > self._most:
            if self._give_up_oldest(self._heaviest()) is body:
                return False
        return True

    def release(self, body: Body) -> None:
        """Stop counting a body, because it was read and authenticated, or is gone."""
        if not body.counted:
            return
        self.used -= body.counted
        left = self._by_address[body.address] - body.counted
        body.counted = 0
        bodies = self._bodies[body.address]
        del bodies[body]
        if bodies:
            self._by_address[body.address] = left
        else:
            del self._by_address[body.address], self._bodies[body.address]

    def _heaviest(self) -> str:
        trusts = self._callers.trusts
        return max(self._by_address, key=lambda address: (not trusts(address), self._by_address[address]))

    def _give_up_oldest(self, address: str) -> Body:
        body = next(iter(self._bodies[address]))
        self.given_up += 1
        self.release(body)
        body.give_up()
        return body
