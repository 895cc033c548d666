"""gunicorn's worker, with a way for ordinary callbacks past WSGI and Flask: `app.shortcut`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from gevent import GreenletExit
from gunicorn.workers.ggevent import GeventWorker  # type: ignore[import-untyped]

if TYPE_CHECKING:
    from app.shortcut import Shortcut


class RelayWorker(GeventWorker):  # type: ignore[misc]
    """Serves many connections in one process."""

    _shortcut: Shortcut | None = None

    def load_wsgi(self) -> None:
        super().load_wsgi()
        # Not before: gunicorn's master imports this module, and gevent patches what is imported later.
        from app.shortcut import shortcut_of

        self._shortcut = shortcut_of(self.wsgi)

    def handle(self, listener: Any, client: Any, addr: Any) -> None:
        """One connection."""
        os.sched_yield()  # the other processes take some of those that wait, also where they share our core
        super().handle(listener, client, addr)

    def handle_request(self, listener_name: Any, req: Any, sock: Any, addr: Any) -> None:
        """One request of a connection. Raises StopIteration where it was the last."""
        try:
            done = self._shortcut is not None and self.alive and self._shortcut.takes(req)
        except GreenletExit:  # the worker has to stop
            return
        if self._shortcut is None or not done:
            super().handle_request(listener_name, req, sock, addr)
        elif req.should_close():
            _send(sock, self._shortcut.answer("close"))
            raise StopIteration
        else:
            _send(sock, self._shortcut.answer("keep-alive"))


def _send(sock: Any, data: bytes) -> None:
    """All of a short answer. gevent's sendall would first ask the kernel how large its buffer is."""
    sent = sock.send(data)
    if sent < len(data):
        sock.sendall(data[sent:])
