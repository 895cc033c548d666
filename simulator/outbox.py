"""A device's queue of callbacks to the relay.

They are sent in order and one at a time. A callback that isn't answered with 200 `{"status":"done"}` holds back all
later ones, and is sent again, byte for byte, until it is. The real gateway does the same. Version 1.0 expects `ok`.
"""

import json
import threading
from collections import deque
from dataclasses import dataclass
from urllib.parse import quote

import requests

from simulator.cipher import encrypt
from simulator.legacy import FORM, request_form
from simulator.spec import DeviceSpec

_SENT_KEPT = 500
_ANSWER_SHOWN = 200


@dataclass(frozen=True)
class Parcel:
    """One callback as it stands in the queue; `text` is its JSON before any encryption."""

    operation: str
    text: bytes
    api_version: str = "3.0"

    def sealed(self, key: str | None) -> tuple[bytes, str]:
        """Return the body, encrypted if there is a key, and its content type."""
        if self.api_version == "1.0":
            return self.text, FORM
        if self.api_version == "2.0":
            return request_form(self.text, key), FORM
        return encrypt(self.text, key) if key else self.text, "application/json"

    def acknowledged_by(self, answer: bytes) -> bool:
        """Return whether an answer's body is the acknowledgement of this version."""
        return answer.strip() == b"ok" if self.api_version == "1.0" else is_done(answer)


class Outbox:
    """The queue and the thread that empties it. Encrypts at sending, with the key of that moment."""

    def __init__(self, spec: DeviceSpec, relay_url: str | None) -> None:
        self._spec = spec
        self._relay_url = relay_url
        self._queue: deque[Parcel] = deque()
        self._sent: deque[Parcel] = deque(maxlen=_SENT_KEPT)
        self._changed = threading.Condition()
        self._closed = False
        self._hurry = False
        self.attempts = 0
        self.acknowledged = 0
        self.refused = 0
        self.last_refusal: str | None = None
        self._thread = threading.Thread(target=self._run, name=f"outbox-{spec.stgid}", daemon=True)
        self._thread.start()

    def __len__(self) -> int:
        return len(self._queue)

    def put(self, operation: str, body: object, api_version: str = "3.0") -> None:
        """Queue a callback. Text is sent as it stands, anything else as JSON."""
        text = body.encode() if isinstance(body, str) else json.dumps(body, ensure_ascii=False).encode()
        with self._changed:
            self._queue.append(Parcel(operation, text, api_version))
            self._changed.notify_all()

    def resend(self, last: int) -> int:
        """Queue the last acknowledged callbacks once more, unchanged. Returns how many there were."""
        with self._changed:
            again = list(self._sent)[-last:] if last > 0 else []
            self._queue.extend(again)
            self._changed.notify_all()
        return len(again)

    def hurry(self) -> None:
        """Send the waiting callback again now."""
        with self._changed:
            self._hurry = True
            self._changed.notify_all()

    def wait_empty(self, timeout: float) -> bool:
        """Wait until everything is acknowledged. Return False after `timeout` seconds."""
        with self._changed:
            return (
                self._changed.wait_for(lambda: not self._queue or self._closed, timeout) and not self._queue
            )

    def close(self) -> None:
        """Tell the thread to end. Callbacks that are still queued are lost, like all data of the simulator."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def join(self, timeout: float) -> None:
        """Wait for the thread to end, which a running attempt can delay."""
        self._thread.join(timeout)

    @property
    def url(self) -> str | None:
        """The URL of callbacks: the device's own or the relay's, with `?stgid=` appended."""
        url = self._spec.callback_url
        if url is None and self._relay_url is not None:
            url = self._relay_url.rstrip("/") + "/callback"
        for _ in range(self._spec.stgid_in_url if url else 0):
            url = f"{url}{'&' if '?' in str(url) else '?'}stgid={quote(self._spec.stgid)}"
        return url

    def _run(self) -> None:
        failures = 0
        with requests.Session() as session:
            # Don't use proxies from the environment between two local processes.
            session.trust_env = False
            while True:
                parcel = self._next()
                if parcel is None:
                    return
                if self._deliver(session, parcel):
                    failures = 0
                    continue
                wait = min(self._spec.retry_seconds * 2**failures, self._spec.retry_max_seconds)
                failures = min(failures + 1, 30)
                with self._changed:
                    if self._changed.wait_for(lambda: self._closed or self._hurry, wait):
                        failures = 0
                    self._hurry = False

    def _next(self) -> Parcel | None:
        with self._changed:
            self._changed.wait_for(lambda: self._closed or (bool(self._queue) and self.url is not None))
            return None if self._closed else self._queue[0]

    def _deliver(self, session: requests.Session, parcel: Parcel) -> bool:
        """One attempt. The parcel leaves the queue only when it was acknowledged."""
        refusal = self._attempt(session, parcel)
        with self._changed:
            self.attempts += 1
            if refusal is not None:
                self.refused += 1
                self.last_refusal = f"{parcel.operation}: {refusal}"
                return False
            self.acknowledged += 1
            self._queue.popleft()
            self._sent.append(parcel)
            self._changed.notify_all()
        return True

    def _attempt(self, session: requests.Session, parcel: Parcel) -> str | None:
        """Send the callback once. Return None if the relay answered "done", otherwise what was wrong."""
        url = self.url
        if url is None:
            return "there is no Callback URL"
        body, content_type = parcel.sealed(self._spec.security_key)
        try:
            answer = session.post(
                url,
                data=body,
                headers={"Content-Type": content_type},
                timeout=self._spec.callback_timeout_seconds,
                allow_redirects=False,
            )
            if answer.status_code == 200 and parcel.acknowledged_by(answer.content):
                return None
            return f"{answer.status_code} {answer.text[:_ANSWER_SHOWN]!r}"
        except (requests.RequestException, ValueError) as error:
            return f"{type(error).__name__}: {error}"[:_ANSWER_SHOWN]


def is_done(body: bytes) -> bool:
    """Return whether an answer's body is the acknowledgement `{"status":"done"}`."""
    try:
        answer = json.loads(body)
    except ValueError:
        return False
    return isinstance(answer, dict) and answer.get("status") == "done"
