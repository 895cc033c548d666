"""Posts callbacks like the gateway, and retries until they are acknowledged or permanently refused."""

from __future__ import annotations

import json
import logging
import random
import re
import threading
from urllib.parse import urlsplit, urlunsplit

import requests

from app.connector.errors import Stop

log = logging.getLogger("connector")

TIMEOUT_SECONDS = 30
LONGEST_WAIT = 60.0  # between two attempts
_FOR_GOOD = {
    400: "it can't read the callback. Compare the Security Key with the receiver's",
    401: "it doesn't know the AuthToken, or requires encryption. Compare the AuthToken and Security Key with "
    "the receiver's",
    403: "access is forbidden",
    405: "it doesn't accept POST at this URL. Check that this is the Callback URL",
    410: "the URL no longer exists",
    413: "the callback is too large",
    422: "it doesn't accept this type of callback",
}
_LONGEST_ANSWER = 64 * 1024
_HEALTH_SECONDS = 5
_STORE_ID = re.compile(r"[0-9a-f]{16}")


class Sender:
    """Sends to one receiver. `stopping` ends the wait between two attempts."""

    def __init__(self, url: str, stopping: threading.Event) -> None:
        self._url = url
        self._stopping = stopping
        self._session = requests.Session()
        self._session.headers["content-type"] = "application/json"
        self.where = _shown(url)

    def send(self, body: bytes, stgid: str) -> bool:
        """Send a callback until it is acknowledged. Return False if stopped before. Raises Stop if it is refused."""
        tries = 0
        while not self._stopping.is_set():
            problem, wait = self._try(body, stgid)
            if problem is None:
                if tries:
                    log.info("%s accepts callbacks again", self.where)
                return True
            tries += 1
            wait = max(wait, min(LONGEST_WAIT, 0.25 * 2 ** min(tries, 9)) * random.uniform(0.5, 1))
            if tries in (1, 3) or tries % 10 == 0:
                log.warning(
                    "%s %s; the connector will retry until it succeeds, next in %.0f s",
                    self.where,
                    problem,
                    wait,
                )
            self._stopping.wait(wait)
        return False

    def _try(self, body: bytes, stgid: str) -> tuple[str | None, float]:
        """Attempt to send a callback. Return the error (None if acknowledged) and the seconds of Retry-After."""
        try:
            answer = self._session.post(
                self._url,
                params={"stgid": stgid},
                data=body,
                timeout=TIMEOUT_SECONDS,
                allow_redirects=False,
                stream=True,
            )
            with answer:
                content = _beginning(answer)
        except requests.exceptions.InvalidURL:
            raise Stop(f"--to: {self.where} is not a URL that accepts POST") from None
        except (requests.RequestException, OSError) as error:
            return f"can't be reached, or its response was incomplete ({type(error).__name__})", 0
        status = answer.status_code
        if status in _FOR_GOOD:
            raise Stop(
                f"{self.where} refused a callback with {status}: {_FOR_GOOD[status]}. The position is saved. "
                "Fix the problem and start the connector again."
            )
        if 300 <= status < 400:
            raise Stop(f"{self.where} answered {status}, a redirect. Set --to to the final URL")
        if status != 200:
            return f"answered {status}", _retry_after(answer)
        if not _is_done(content):
            return 'answered 200 without {"status":"done"}, so it may not have stored the callback', 0
        return None, 0


def relay_store(url: str) -> str | None:
    """Return what identifies the store of the relay at a Callback URL; None if it isn't a relay, or is away."""
    parts = urlsplit(url)
    base, callback, _ = parts.path.rpartition("/callback")
    if not callback:
        return None
    health = urlunsplit((parts.scheme, parts.netloc, f"{base}/health", "", ""))
    try:
        with requests.get(health, timeout=_HEALTH_SECONDS, allow_redirects=False, stream=True) as answer:
            found = json.loads(_beginning(answer))["store_id"]
    except (requests.RequestException, OSError, ValueError, LookupError, TypeError, RecursionError):
        return None
    return f"store {found}" if isinstance(found, str) and _STORE_ID.fullmatch(found) else None


def _beginning(answer: requests.Response) -> bytes:
    """Read the beginning of a response's body. Raises requests.RequestException if it is incomplete or invalid."""
    content = b""
    for part in answer.iter_content(_LONGEST_ANSWER):
        content += part
        if len(content) >= _LONGEST_ANSWER:
            break
    return content


def _is_done(content: bytes) -> bool:
    """Return whether the response is the documented one, ignoring spaces and case."""
    return b'"status":"done"' in b"".join(content.lower().split())


def _retry_after(answer: requests.Response) -> float:
    given = answer.headers.get("retry-after", "")
    return min(float(given), 3600.0) if given.isdecimal() else 0.0


def _shown(url: str) -> str:
    """Return the URL without parts that may be secret: user, password and query."""
    parts = urlsplit(url)
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.scheme}://{parts.hostname}{port}{parts.path}"
