"""A worker's state of one subscription, when two things happen at once."""

from __future__ import annotations

from typing import Any, cast

from app.store.server.keys import Shard
from workers.delivery.pace import Pace
from workers.delivery.target import Delivery, Stored, Target


class _Subscription:
    id, status, max_in_flight, batch_max = "sub_1", "active", 1, 1


def _target(most: int = 1) -> Target:
    subscription = _Subscription()
    subscription.max_in_flight = most
    return Target(cast(Any, subscription), Shard(0), Pace(most))


def _event(entry: str) -> Stored:
    return Stored(entry, b"{}", b"", None)


def test_a_loaded_event_is_not_added_again() -> None:
    """It was loaded between being queued and the notification about it, and was delivered twice."""
    target = _target()
    target.behind = False
    target.fresh.append(_event("5-1"))
    target.read_to = "5-1"
    target.offer(_event("5-0"), 0.0)
    target.offer(_event("5-1"), 0.0)
    target.offer(_event("5-2"), 0.0)
    assert [event.entry for event in target.fresh] == ["5-1", "5-2"]


def test_unloading_returns_to_the_position_before_the_oldest_loaded_event() -> None:
    target = _target()
    target.fresh.extend([_event("5-0"), _event("6-3")])
    target.read_to = "6-3"
    target.unload()
    assert target.behind
    assert target.read_to == f"4-{2**64 - 1}"


def test_in_strict_order_only_test_events_overtake_a_waiting_retry() -> None:
    target = _target()
    target.due.extend([Delivery("1-0", [_event("1-0")]), Delivery("2-0:tabc", [], test=b"{}")])
    target.retrying = 1
    first = target.next_due()
    assert first is not None
    assert first.test is not None
    assert target.next_due() is None
    target.retrying = 0
    assert target.next_due() is not None


def test_nothing_starts_while_retries_are_being_released() -> None:
    target = _target(16)
    target.due_behind = False
    target.fresh.append(_event("9-0"))
    target.due.append(Delivery("5-0", [_event("5-0")]))
    target.releasing = 1
    assert target.next_due() is None
    assert not target.may_start_fresh()


def test_nothing_from_the_queue_starts_while_due_deliveries_are_being_read() -> None:
    """A new event overtook the one that was due again."""
    target = _target()
    target.due_behind = False
    target.fresh.append(_event("9-0"))
    target.due_loading = True
    assert not target.may_start_fresh()
    target.due_loading = False
    assert target.may_start_fresh()
