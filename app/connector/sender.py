"""Posts callbacks as the gateway does: until they are acknowledged, or refused for good."""

from __future__ import annotations

import logging
import random
import threading
from urllib.parse import urlsplit

import requests

from app.connector.errors import Stop

log = logging.getLogger("connector")

TIMEOUT_SECONDS = 30
LONGEST_WAIT = 60.0  # between two tries
_FOR_GOOD = {
    400: "it can't read the callback: compare the security key with the receiver's",
    401: "it doesn't know the AuthToken, or wants the callback encrypted: compare both with the receiver's",
    403: "it doesn't let us in",
    405: "it takes no POST there: see that the URL is the callback URL",
    410: "it is gone for good",
    413: "it is too large for it",
    422: "it takes no callback like this",
}
_LONGEST_ANSWER = 64 * 1024


class Sender:
    """One receiver. `stopping` ends a wait between two tries."""

    def __init__(self, url: str, stgid: str, stopping: threading.Event) -> None:
        self._url = url
        self._stgid = stgid
        self._stopping = stopping
        self._session = requests.Session()
        self._session.headers["content-type"] = "application/json"
        self.where = _shown(url)

    def send(self, body: bytes) -> bool:
        """True once it is acknowledged; False if told to stop before. Raises Stop where it is refused for good."""
        tries = 0
        while not self._stopping.is_set():
            problem, wait = self._try(body)
            if problem is None:
                if tries:
                    log.info("%s takes callbacks again", self.where)
                return True
            tries += 1
            wait = max(wait, min(LONGEST_WAIT, 0.25 * 2 ** min(tries, 9)) * random.uniform(0.5, 1))
            if tries in (1, 3) or tries % 10 == 0:
                log.warning("%s %s; tried again until it takes it, next in %.0f s", self.where, problem, wait)
            self._stopping.wait(wait)
        return False

    def _try(self, body: bytes) -> tuple[str | None, float]:
        """What went wrong (None: acknowledged), and for how many seconds it asks us to wait."""
        try:
            answer = self._session.post(
                self._url,
                params={"stgid": self._stgid},
                data=body,
                timeout=TIMEOUT_SECONDS,
                allow_redirects=False,
                stream=True,
            )
            with answer:
                content = _beginning(answer)
        except requests.exceptions.InvalidURL:
            raise Stop(f"--to: {self.where} is not a URL that can be posted to") from None
        except (requests.RequestException, OSError) as error:
            return f"can't be reached, or gave no whole answer ({type(error).__name__})", 0
        status = answer.status_code
        if status in _FOR_GOOD:
            raise Stop(
                f"{self.where} refused a callback with {status}: {_FOR_GOOD[status]}. The place is kept; start "
                "the connector again once that is put right."
            )
        if 300 <= status < 400:
            raise Stop(f"{self.where} answered {status}, a redirect: give its final URL with --to")
        if status != 200:
            return f"answered {status}", _retry_after(answer)
        if not _is_done(content):
            return 'answered 200 without {"status":"done"}, so that it may not have it', 0
        return None, 0


def _beginning(answer: requests.Response) -> bytes:
    """What is read of an answer's body. Raises requests.RequestException where it breaks off or can't be unpacked."""
    content = b""
    for part in answer.iter_content(_LONGEST_ANSWER):
        content += part
        if len(content) >= _LONGEST_ANSWER:
            break
    return content


def _is_done(content: bytes) -> bool:
    """Whether the answer is the documented one, whatever its spaces and capitals."""
    return b'"status":"done"' in b"".join(content.lower().split())


def _retry_after(answer: requests.Response) -> float:
    given = answer.headers.get("retry-after", "")
    return min(float(given), 3600.0) if given.isdecimal() else 0.0


def _shown(url: str) -> str:
    """Without what may be a secret: user, password and query."""
    parts = urlsplit(url)
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.scheme}://{parts.hostname}{port}{parts.path}"
