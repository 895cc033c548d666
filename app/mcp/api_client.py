"""A client of the relay's HTTP API, with a user's API key."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import anyio.to_thread
import requests

Json = dict[str, Any]

# Connect and read timeouts in seconds. An action takes up to RELAY_COMMAND_WAIT, at most 120 s; other calls are fast.
_TIMEOUT = (5, 130)


class RelayError(Exception):
    """The relay refused a request, or can't be reached. `status` is the HTTP status, or 0 without a response."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


@dataclass(frozen=True, slots=True)
class Relay:
    """The relay at `url`, called with the API key `key`."""

    url: str
    key: str

    async def get(self, path: str, **query: Any) -> Json:
        """Send a GET and return its JSON. Parameters that are None are left out. Raises RelayError."""
        return await self.call(
            "GET", path, query={name: value for name, value in query.items() if value is not None}
        )

    async def call(
        self, method: str, path: str, *, query: Mapping[str, Any] | None = None, body: Any = None
    ) -> Json:
        """Send a request and return the JSON of a 2xx response. Raises RelayError for any other response."""
        return await anyio.to_thread.run_sync(self._call, method, path, query, body, abandon_on_cancel=True)

    def _call(self, method: str, path: str, query: Mapping[str, Any] | None, body: Any) -> Json:
        # Don't use Authorization, because requests replaces it if .netrc has an entry for the host.
        headers = {"X-API-Key": self.key, "Accept": "application/json"}
        try:
            answer = requests.request(
                method,
                self.url + path,
                params=query,
                json=body,
                headers=headers,
                timeout=_TIMEOUT,
                allow_redirects=False,
            )
        except UnicodeError:
            raise RelayError(
                401, "This API key is wrong: it contains characters that no API key contains."
            ) from None
        except requests.Timeout:
            raise RelayError(0, f"The relay at {self.url} did not answer in time.") from None
        except requests.RequestException:
            raise RelayError(
                0,
                f"The relay at {self.url} can't be reached. Check that it is running and that the URL is right.",
            ) from None
        if not 200 <= answer.status_code < 300:
            raise RelayError(answer.status_code, _sentence(answer, self.url))
        try:
            found = answer.json() if answer.content else {}
        except requests.JSONDecodeError:
            found = None
        if not isinstance(found, dict):
            raise RelayError(0, f"{self.url} is not the URL of a cams-relay server. Check the URL.")
        return found


def one_id(user_id: str | None) -> str | None:
    """A user ID as a filter. A comma in it would separate two IDs."""
    return None if user_id is None else user_id.replace(",", "\\,")


def _place(error: dict[str, str]) -> str:
    """Return the name of the invalid field, parameter or header."""
    pointer = error.get("pointer", "").removeprefix("/").replace("/", ".")
    return pointer or error.get("parameter") or error.get("header") or "body"


def _sentence(answer: requests.Response, url: str) -> str:
    """Return the `detail` of a problem, followed by those of its `errors` that `detail` doesn't contain."""
    try:
        problem = answer.json()
        detail = str(problem["detail"])
        more = [f"{_place(error)}: {error['message']}" for error in problem.get("errors", ())]
    except (requests.JSONDecodeError, KeyError, TypeError):
        return f"{url} is not a cams-relay (HTTP {answer.status_code}). Check the URL."
    return " ".join([detail, *(text for text in more if text.partition(": ")[2] not in detail)])
