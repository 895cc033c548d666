"""Helpers for the tests of deliveries: the log, the store's keys, planned responses, and misbehaving servers."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from app.settings.table import load
from app.store import Store
from app.store.jobs import QUEUE
from app.store.server.connection import make_client
from app.store.subscriptions.records import Subscription
from tests.harness import Device, Received, Receiver, Relay, wait_for
from tests.http.raw_servers import Behaviour, serve

Answer = tuple[int, dict[str, str], bytes]
OK: Answer = (200, {}, b"")


def client(relay: Relay) -> Any:
    """Return a client of the relay's store."""
    return make_client(load(relay.environment))


def plan(*answers: int | Answer, then: int | Answer = 200) -> Callable[[Received], Answer]:
    """Return an answer function that uses these in turn, then always the last one."""
    left = [_answer(answer) for answer in answers]
    lock = threading.Lock()

    def answer(_: Received) -> Answer:
        with lock:
            return left.pop(0) if left else _answer(then)

    return answer


def _answer(answer: int | Answer) -> Answer:
    return (answer, {}, b"") if isinstance(answer, int) else answer


def punch(device: Device, count: int = 1, user: str = "2") -> None:
    """Send so many punches of a device, which must all be acknowledged."""
    for _ in range(count):
        device.send_done(device.punch(user))


def shown(relay: Relay, subscription: dict[str, Any]) -> dict[str, Any]:
    """Return the subscription as the API shows it now."""
    found: dict[str, Any] = relay.get(f"/v1/subscriptions/{subscription['id']}")
    return found


def rows(relay: Relay, subscription: dict[str, Any], **query: Any) -> list[dict[str, Any]]:
    """Return all pages of the delivery log."""
    found: list[dict[str, Any]] = []
    cursor = None
    while True:
        page = relay.get(
            f"/v1/subscriptions/{subscription['id']}/deliveries",
            params={"limit": 200, "cursor": cursor, **query},
        )
        found += page["data"]
        cursor = page["next_cursor"]
        if cursor is None:
            return found


def wait_rows(
    relay: Relay, subscription: dict[str, Any], count: int, seconds: float = 30, **query: Any
) -> list[dict[str, Any]]:
    """Return the delivery log, once it has so many rows."""
    wait_for(lambda: len(rows(relay, subscription, **query)) >= count, seconds, 0.1)
    return rows(relay, subscription, **query)


def change(relay: Relay, subscription: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """PATCH a subscription, which must succeed."""
    answer = relay.call("PATCH", f"/v1/subscriptions/{subscription['id']}", json=fields)
    assert answer.status_code == 200, answer.text
    changed: dict[str, Any] = answer.json()
    return changed


def act(relay: Relay, subscription: dict[str, Any], what: str, **body: Any) -> dict[str, Any]:
    """POST to one of a subscription's actions, which must succeed."""
    answer = relay.call("POST", f"/v1/subscriptions/{subscription['id']}/{what}", json=body)
    assert answer.status_code in (200, 202), answer.text
    done: dict[str, Any] = answer.json()
    return done


def ids_of(receiver: Receiver) -> list[str]:
    """Return the IDs of all received events in order, those of batches one by one."""
    return [event["id"] for event in receiver.events()]


def scheduled_jobs(relay: Relay, subscription: dict[str, Any]) -> list[str]:
    """Return RQ's scheduled jobs of a subscription."""
    names = [name.decode() for name in client(relay).zrange(f"rq:scheduled:{QUEUE}", 0, -1)]
    return [name for name in names if subscription["id"] in name]


def keys_of(relay: Relay, subscription: dict[str, Any]) -> list[str]:
    """Return the store's keys that contain a subscription's ID."""
    found = client(relay).scan_iter(match=f"*{subscription['id']}*", count=1_000)
    return sorted(key.decode() for key in found)


@contextmanager
def misbehaving(behaviour: Behaviour) -> Iterator[str]:
    """Run a raw server that behaves like this; yield its URL."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    context = serve(behaviour)
    server = asyncio.run_coroutine_threadsafe(context.__aenter__(), loop).result(5)
    try:
        yield server.url
    finally:
        asyncio.run_coroutine_threadsafe(_cancel_all(), loop).result(5)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(5)
        loop.close()


async def _cancel_all() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


def create(store: Store) -> Subscription:
    """Create a subscription, always with the same target."""
    fields: dict[str, Any] = {
        "target_url": "http://127.0.0.1:9/hook",
        "events": ("*",),
        **{name: frozenset() for name in ("device_ids", "user_ids", "punch_types", "command_ids")},
        "format": "standard",
        "description": None,
        "max_in_flight": 1,
        "batch_max": 1,
        "batch_wait_ms": 500,
        "include_card_numbers": False,
    }
    return store.subscriptions.create(fields, store.events.last_entries())
