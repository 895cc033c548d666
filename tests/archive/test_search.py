"""Archived events are found by their devices, users and types: each once, newest first, with few statements."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import event as listening

from app.archive import Archive, Archived
from tests.archive.conftest import STORE
from tests.archive.test_archive import write

DEVICES = [f"D{number}" for number in range(50)]
TYPES = [f"made.up_{number}" for number in range(17)]
USERS = ["7", "8", "nul\0", None]


@pytest.fixture
def events(archive: Archive) -> list[Archived]:
    """3,000 events in bursts, with long pauses and several at one instant, newest first."""
    chosen, ms, made = random.Random(7), 1_000, []
    for number in range(3_000):
        ms += chosen.choice((0, 0, 1, 5, 5, 5)) if number % 700 else 10**9
        sequence = made[-1].sequence + 1 if made and made[-1].ms == ms else 0
        device, kind, user = chosen.choice(DEVICES), chosen.choice(TYPES[:3]), chosen.choice(USERS)
        made.append(Archived(0, ms, sequence, kind, device, user, b"{}"))
    assert write(archive, made)
    return made[::-1]


@contextmanager
def statements(archive: Archive) -> Iterator[list[str]]:
    """Collect the statements that read events."""
    found: list[str] = []

    def note(_c: Any, _u: Any, statement: str, *_: Any) -> None:
        found.extend([statement] * ("relay_events" in statement))

    engine = archive._database._open()
    listening.listen(engine, "before_cursor_execute", note)
    try:
        yield found
    finally:
        listening.remove(engine, "before_cursor_execute", note)


@pytest.mark.parametrize(
    ("ranges", "conditions"),
    [
        ({"device_id": DEVICES, "type": TYPES}, {}),
        ({"device_id": DEVICES[:2], "type": TYPES[1:2]}, {}),
        ({"device_id": ["D1", "none", "D1"], "type": TYPES}, {}),
        ({"type": TYPES[1:]}, {}),
        ({"user_id": ["7", "nul\0"]}, {"device_id": DEVICES[3:9], "type": TYPES[:2]}),
        ({"user_id": ["nul\0"]}, {"type": TYPES[2:]}),
        ({"type": []}, {}),
        ({}, {}),
    ],
)
def test_every_matching_event_is_found_once_newest_first(
    archive: Archive, events: list[Archived], ranges: dict[str, list[str]], conditions: dict[str, list[str]]
) -> None:
    matching = [
        one
        for one in events
        if all(getattr(one, name) in some for name, some in (ranges | conditions).items())
    ]
    for first in (1, 50, 10_000):
        found = archive.scan(STORE, 0, None, None, ranges, conditions, first)
        assert [entry for entry, _ in found] == [one.entry for one in matching]
    middle = events[1_234]
    below = [one.entry for one in matching if (one.ms, one.sequence) < (middle.ms, middle.sequence)]
    assert [one for one, _ in archive.scan(STORE, 0, middle.entry, None, ranges, conditions)] == below
    since = [one.entry for one in matching if one.ms >= middle.ms]
    assert [one for one, _ in archive.scan(STORE, 0, None, middle.ms, ranges, conditions)] == since


def test_a_page_of_many_devices_needs_one_statement(archive: Archive, events: list[Archived]) -> None:
    with statements(archive) as executed:
        rows = archive.scan(STORE, 0, None, None, {"device_id": DEVICES, "type": TYPES}, {}, 101)
        assert [next(rows)[0] for _ in range(101)] == [one.entry for one in events[:101]]
        assert len(executed) == 1
        assert len(list(rows)) == 2_899
    assert len(executed) < 20
