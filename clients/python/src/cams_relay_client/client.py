"""The client."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator
from typing import Any, cast
from urllib.parse import quote

import requests

from .errors import CommandNotEnded, error_of
from .types import (
    CommandWithResult,
    Device,
    Event,
    NewSubscription,
    Subscription,
    User,
    UserEverywhere,
)

ENDED = frozenset({"completed", "failed", "unknown", "cancelled"})
LONGEST_WAIT = 60.0
RETRIES = 3


class Relay:
    """A relay's API.

    It can be used as a context manager, which closes its connections. Don't share it between threads.

    `url` is the relay's URL, such as `http://127.0.0.1:8000`, and `api_key` a key with the scopes you need. `timeout`
    is in seconds. If the relay says that it didn't carry out a request (`Retry-After`), the request is retried up to
    three times. A GET or a POST is also retried if the connection fails. Every POST has an Idempotency-Key, so nothing
    is done twice.

    All methods raise RelayError for an error in the answer, and requests.RequestException if there was none.
    """

    def __init__(self, url: str, api_key: str, *, timeout: float = 30.0) -> None:
        self._url = url.rstrip("/")
        self._timeout = timeout
        self._session = requests.Session()
        self._session.headers.update(
            {
                "X-API-Key": api_key,
                "Accept": "application/json",
                "User-Agent": "cams-relay-client-python/1.0.0",
            }
        )

    def __enter__(self) -> Relay:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections."""
        self._session.close()

    def request(
        self,
        method: str,
        path: str,
        *,
        params: dict[str, Any] | None = None,
        body: Any = None,
        headers: dict[str, str] | None = None,
        timeout: float | None = None,
    ) -> Any:
        """Send a request to any endpoint, such as `/v1/employees`, and return the JSON of the answer, or None."""
        sent = dict(headers or {})
        if method == "POST":
            sent.setdefault("Idempotency-Key", str(uuid.uuid4()))
        for left in range(RETRIES, -1, -1):
            try:
                answer = self._session.request(
                    method,
                    self._url + path,
                    params=params,
                    json=body,
                    headers=sent,
                    timeout=timeout or self._timeout,
                    allow_redirects=False,
                )
            except (requests.ConnectionError, requests.Timeout):
                if not left or method not in ("GET", "POST"):
                    raise
                time.sleep(2.0 ** (RETRIES - left) / 2)
                continue
            if answer.ok and answer.status_code < 300:
                return answer.json() if answer.content else None
            pause = _retry_after(answer)
            if not left or pause is None or pause > LONGEST_WAIT:
                raise error_of(answer.status_code, _problem(answer), pause)
            time.sleep(pause)
        raise AssertionError("The last attempt returns or raises.")

    def pages(self, path: str, **filters: Any) -> Iterator[Any]:
        """Yield all rows of a list, such as `/v1/devices`, page by page. Filters that are None are left out."""
        params = {"limit": 200, **_without_none(filters)}
        while True:
            page = self.request("GET", path, params=params)
            yield from page["data"]
            if page.get("next_cursor") is None:
                return
            params["cursor"] = page["next_cursor"]

    # Events

    def events(
        self,
        *,
        type: str | None = None,
        device_id: str | None = None,
        user_id: str | None = None,
        since: str | None = None,
        until: str | None = None,
        occurred_since: str | None = None,
        occurred_until: str | None = None,
        after: str | None = None,
        oldest_first: bool = False,
    ) -> Iterator[Event]:
        """Yield stored events, newest first, or with `oldest_first`, the oldest first.

        `after` is the ID of an event. Only those after it are yielded, oldest first. So a program that runs now and
        then gets each event once, if it stores the ID of the last one.

        `since` and `until` are times of receipt (ISO 8601), which can be later than the punch itself. `occurred_since`
        and `occurred_until` are times of the events themselves. Several types, devices or users are separated by
        commas.
        """
        filters = {
            "type": type,
            "device_id": device_id,
            "user_id": user_id,
            "since": since,
            "until": until,
            "occurred_since": occurred_since,
            "occurred_until": occurred_until,
            "order": "asc" if oldest_first or after is not None else None,
            "after": after,
        }
        return cast("Iterator[Event]", self.pages("/v1/events", **filters))

    def event(self, event_id: str) -> Event:
        """Return an event."""
        return cast("Event", self.request("GET", f"/v1/events/{_part(event_id)}"))

    def follow(
        self,
        *,
        after: str | None = None,
        since: str | None = None,
        type: str | None = None,
        device_id: str | None = None,
        user_id: str | None = None,
    ) -> Iterator[Event]:
        """Yield events as they arrive, oldest first, without end.

        `after` is the ID of the last event you have processed. Store it, and after a restart you miss nothing. If the
        connection is lost, it is made again and continues after the last event. `since` starts at a time of receipt
        instead. Without either, it starts now.
        """
        filters = _without_none({"type": type, "device_id": device_id, "user_id": user_id})
        if after is None and since is None:
            # A connection that is lost before the first event must not lose events either.
            newest = self.request("GET", "/v1/events", params={"limit": 1})["data"]
            after = newest[0]["id"] if newest else None
        failures = 0
        while True:
            try:
                for event in self._stream(
                    after, {**filters, **({"since": since} if since and not after else {})}
                ):
                    after, failures = event["id"], 0
                    yield event
                failures = 0
            except (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError):
                failures += 1
                if failures > RETRIES:
                    raise
            time.sleep(float(2**failures) / 2)

    def _stream(self, after: str | None, params: dict[str, Any]) -> Iterator[Event]:
        headers = {"Accept": "text/event-stream", **({"Last-Event-ID": after} if after else {})}
        with self._session.get(
            f"{self._url}/v1/events/stream",
            params=params,
            headers=headers,
            stream=True,
            timeout=(10, 90),
            allow_redirects=False,
        ) as answer:
            if answer.status_code != 200:
                raise error_of(answer.status_code, _problem(answer), _retry_after(answer))
            data: list[str] = []
            for line in answer.iter_lines(chunk_size=1):
                text = line.decode()
                if text.startswith("data:"):
                    data.append(text[5:].removeprefix(" "))
                elif not text and data:
                    found = json.loads("\n".join(data))
                    data = []
                    if isinstance(found, dict) and "id" in found:
                        yield cast("Event", found)

    # Devices and users

    def devices(self) -> Iterator[Device]:
        """Yield all devices."""
        return cast("Iterator[Device]", self.pages("/v1/devices"))

    def users(self, *, device_id: str | None = None) -> Iterator[User]:
        """Yield users, of one device or of all."""
        return cast("Iterator[User]", self.pages("/v1/users", device_id=device_id))

    def user(self, user_id: str, *, device_id: str | None = None) -> UserEverywhere:
        """Return a user's profile on each device."""
        params = _without_none({"device_id": device_id})
        return cast("UserEverywhere", self.request("GET", f"/v1/users/{_part(user_id)}", params=params))

    # Subscriptions

    def subscriptions(self) -> Iterator[Subscription]:
        """Yield all subscriptions."""
        return cast("Iterator[Subscription]", self.pages("/v1/subscriptions"))

    def subscribe(self, target_url: str, event_types: list[str], **fields: Any) -> NewSubscription:
        """Send events to a URL, and return the subscription. Its `secret` is null if it already existed."""
        body = {"target_url": target_url, "event_types": event_types, **fields}
        return cast("NewSubscription", self.request("POST", "/v1/subscriptions", body=body))

    def unsubscribe(self, subscription_id: str) -> None:
        """Delete a subscription."""
        self.request("DELETE", f"/v1/subscriptions/{_part(subscription_id)}")

    def signing_keys(self) -> list[str]:
        """Return the relay's public keys (`whpk_…`), which `verify` accepts. Read them again if they don't verify."""
        keys = self.request("GET", "/.well-known/jwks.json")["keys"]
        return [key["public_key"] for key in keys]

    # Commands

    def run(
        self,
        action: str,
        device_id: str,
        *,
        wait_seconds: float = 60.0,
        idempotency_key: str | None = None,
        **fields: Any,
    ) -> CommandWithResult:
        """Send a command, such as `add-user`, to a device, wait until it has ended, and return it.

        `fields` are those of the action. To repeat a command safely after a crash of your own program, choose and
        store an `idempotency_key`. Raises CommandError if the command failed or was cancelled, OutcomeUnknown if the
        device may have carried it out, and CommandNotEnded if it hasn't ended after `wait_seconds`, for example because
        the device is offline.
        """
        began = time.monotonic()
        headers = {"Prefer": f"wait={max(1, min(20, int(wait_seconds)))}"}
        if idempotency_key:
            headers["Idempotency-Key"] = idempotency_key
        sent = self.request(
            "POST",
            f"/v1/actions/{_part(action)}",
            body={"device_id": device_id, **fields},
            headers=headers,
            timeout=max(self._timeout, 30.0),
        )
        return self.wait_for_command(sent["id"], wait_seconds=wait_seconds - (time.monotonic() - began))

    def command(self, command_id: str) -> CommandWithResult:
        """Return a command."""
        return cast("CommandWithResult", self.request("GET", f"/v1/commands/{_part(command_id)}"))

    def wait_for_command(self, command_id: str, *, wait_seconds: float = 60.0) -> CommandWithResult:
        """Wait until a command has ended, and return it. Raises the same errors as `run`."""
        deadline = time.monotonic() + wait_seconds
        pause = 0.2
        while True:
            command = self.command(command_id)
            if command["status"] == "completed":
                return command
            if command["status"] in ENDED:
                raise error_of(422, _ended_badly(cast("dict[str, Any]", command)))
            if time.monotonic() + pause > deadline:
                raise CommandNotEnded(command_id, command["status"])
            time.sleep(pause)
            pause = min(pause * 2, 5.0)

    def cancel_command(self, command_id: str) -> CommandWithResult:
        """Cancel a command that is queued or waits for its device, and return it."""
        return cast("CommandWithResult", self.request("POST", f"/v1/commands/{_part(command_id)}/cancel"))


def _part(value: str) -> str:
    """Return a value as one segment of a path."""
    return quote(value, safe="")


def _without_none(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _retry_after(answer: requests.Response) -> float | None:
    try:
        return max(0.0, float(answer.headers["Retry-After"]))
    except (KeyError, ValueError):
        return None


def _problem(answer: requests.Response) -> dict[str, Any]:
    try:
        found = answer.json()
    except requests.JSONDecodeError:
        return {"detail": answer.text[:200]}
    return found if isinstance(found, dict) else {}


def _ended_badly(command: dict[str, Any]) -> dict[str, Any]:
    """Return the problem of a command that didn't complete, with the same code as in the answer of an action."""
    return {
        **command,
        "detail": command.get("message") or f"The command is {command['status']}.",
        "command_id": command["id"],
        "command_status": command["status"],
    }
