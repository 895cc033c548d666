"""Prints a line for each event and attempt to the terminal of `cams-relay up`. Failed attempts are also logged."""

from __future__ import annotations

import logging
import os
import time
from typing import Any
from urllib.parse import urlsplit

import click

from app.base import ids
from app.base.throttle import OnceAMinute
from app.store.deliveries.delivery_ids import public_id
from app.store.subscriptions.records import Subscription
from workers.delivery.target import Delivery
from workers.http.messages import Response

log = logging.getLogger("relay.delivery")

_LINES_A_SECOND = 20


class Live:
    """Prints to the terminal, no faster than a person can read."""

    def __init__(self, shown: bool) -> None:
        self._shown = shown
        self._second = 0
        self._lines = 0
        self._left_out = 0
        self._once = OnceAMinute()

    def event(self, shard: int, entry: str, event: dict[str, Any]) -> None:
        """Print an event that was queued."""
        if not self._shown or not self._room():
            return
        who = event.get("user_name") or event.get("full_name") or event.get("user_id") or ""
        what = event.get("punch_type") or event.get("credential_type") or event.get("reason") or ""
        where = event.get("device_label") or event.get("device_id") or ""
        self._print(
            click.style("event   ", fg="cyan"),
            f"{event['type']:<22} {who!s:<16} {what!s:<12} {where}  {ids.event_id(shard, entry)}",
        )

    def attempt(
        self, shard: int, subscription: Subscription, delivery: Delivery, what: str, response: Response
    ) -> None:
        """Print or log an attempt that ended. A failed one is a warning once a minute for each subscription."""
        if not response.ok:
            name = public_id(shard, delivery.name)
            log.log(
                logging.WARNING if self._once.may_say(subscription.id) else logging.DEBUG,
                "attempt=%d subscription=%s event=%s outcome=%s status=%d error=%s ms=%d",
                delivery.attempts,
                subscription.id,
                name,
                what,
                response.status,
                response.error or "",
                round(response.duration * 1000),
                extra={"event_id": name, "subscription_id": subscription.id},
            )
        if not self._shown or not self._room():
            return
        host = urlsplit(subscription.target_url).netloc
        mark = {"delivered": click.style("sent    ", fg="green")}.get(what, click.style("failed  ", fg="red"))
        outcome = str(response.status or response.error)
        more = {"retry": "will be tried again", "dead": "dead letter"}.get(what, "")
        self._print(
            mark, f"to {host}  {outcome}  {response.duration * 1000:.0f} ms  {subscription.id} {more}"
        )

    def _room(self) -> bool:
        second = int(time.time())
        if second != self._second:
            if self._left_out:
                _echo(f"         … and {self._left_out} more")
            self._second, self._lines, self._left_out = second, 0, 0
        self._lines += 1
        if self._lines > _LINES_A_SECOND:
            self._left_out += 1
            return False
        return True

    @staticmethod
    def _print(mark: str, text: str) -> None:
        _echo(f"{time.strftime('%H:%M:%S')}  {mark} {text}")


def _echo(line: str) -> None:
    """Print a line, in colour unless NO_COLOR is set (https://no-color.org)."""
    click.echo(line, color=False if os.environ.get("NO_COLOR") else None)
