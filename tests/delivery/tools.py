"""What the tests of deliveries share: the log, the store's keys, answers that follow a plan, servers that misbehave."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rq.registry import ScheduledJobRegistry

from app.settings import load
from app.store.connection import make_client
from app.store.jobs import queue
from tests.harness import Device, Received, Receiver, Relay, wait_for
from tests.http.raw_servers import Behaviour, serve

Answer = tuple[int, dict[str, str], bytes]
OK: Answer = (200, {}, b"")


def client(relay: Relay) -> Any:
    """A client of the relay's store."""
    return make_client(load(relay.environment))


def plan(*answers: int | Answer, then: int | Answer = 200) -> Callable[[Received], Answer]:
    """Answers in turn, then always the last."""
    left = [_answer(answer) for answer in answers]
    lock = threading.Lock()

    def answer(_: Received) -> Answer:
        with lock:
            return left.pop(0) if left else _answer(then)

    return answer


def _answer(answer: int | Answer) -> Answer:
    return (answer, {}, b"") if isinstance(answer, int) else answer


def punch(device: Device, count: int = 1, user: str = "2") -> None:
    """So many punches of a device, all acknowledged."""
    for _ in range(count):
        device.send_done(device.punch(user))


def shown(relay: Relay, subscription: dict[str, Any]) -> dict[str, Any]:
    """The subscription as the API shows it now."""
    found: dict[str, Any] = relay.get(f"/v1/subscriptions/{subscription['id']}")
    return found


def rows(relay: Relay, subscription: dict[str, Any], **query: Any) -> list[dict[str, Any]]:
    """The delivery log, all pages of it."""
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
    relay: Relay, subscription: dict[str, Any], count: int, seconds: float = 10, **query: Any
) -> list[dict[str, Any]]:
    """The delivery log, once it has so many rows."""
    wait_for(lambda: len(rows(relay, subscription, **query)) >= count, seconds, 0.1)
    return rows(relay, subscription, **query)


def change(relay: Relay, subscription: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """PATCHes a subscription, which must work."""
    answer = relay.call("PATCH", f"/v1/subscriptions/{subscription['id']}", json=fields)
    assert answer.status_code == 200, answer.text
    changed: dict[str, Any] = answer.json()
    return changed


def act(relay: Relay, subscription: dict[str, Any], what: str, **body: Any) -> dict[str, Any]:
    """POSTs to one of a subscription's actions, which must work."""
    answer = relay.call("POST", f"/v1/subscriptions/{subscription['id']}/{what}", json=body)
    assert answer.status_code in (200, 202), answer.text
    done: dict[str, Any] = answer.json()
    return done


def ids_of(receiver: Receiver) -> list[str]:
    """The ids of all events received, in order, those of batches one by one."""
    return [event["id"] for event in receiver.events()]


def scheduled_jobs(relay: Relay, subscription: dict[str, Any]) -> list[str]:
    """RQ's scheduled jobs of a subscription."""
    registry = ScheduledJobRegistry(queue=queue(client(relay)))
    return [name for name in registry.get_job_ids(cleanup=False) if subscription["id"] in name]


def keys_of(relay: Relay, subscription: dict[str, Any]) -> list[str]:
    """The store's keys that name a subscription."""
    found = client(relay).scan_iter(match=f"*{subscription['id']}*", count=1_000)
    return sorted(key.decode() for key in found)


@contextmanager
def misbehaving(behaviour: Behaviour) -> Iterator[str]:
    """The URL of a raw server that behaves like this."""
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
