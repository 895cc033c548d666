"""Encoded IDs can be decoded again, and sort in the same order."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.base import ids
from app.store.deliveries import records as deliveries

_SHARDS = st.integers(0, 1023)
_NUMBERS = st.one_of(
    st.integers(0, 2**64 - 1),
    st.integers(0, 2**20 + 40),
    st.sampled_from([2**bits + more for bits in (20, 25, 50, 63) for more in (-1, 0, 1)]),
)
_ENTRIES = st.tuples(_NUMBERS, _NUMBERS).filter(any)  # except 0-0


@given(st.integers(1, 24).flatmap(lambda width: st.tuples(st.just(width), st.integers(0, 32**width - 1))))
def test_a_decoded_number_is_the_encoded_one(case: tuple[int, int]) -> None:
    width, number = case
    text = ids.encode(number, width)
    assert (len(text), ids.decode(text)) == (width, number)


@given(_SHARDS, _ENTRIES)
def test_an_event_is_found_by_its_id(shard: int, entry: tuple[int, int]) -> None:
    name = f"{entry[0]}-{entry[1]}"
    assert ids.event_place(ids.event_id(shard, name)) == (shard, name)


@given(_ENTRIES, _ENTRIES)
def test_ids_sort_by_time_of_receipt(one: tuple[int, int], other: tuple[int, int]) -> None:
    first, second = (ids.event_id(0, f"{ms}-{sequence}") for ms, sequence in (one, other))
    assert (first < second) == (one < other)


@given(st.lists(st.tuples(_ENTRIES, _SHARDS), min_size=2, max_size=2, unique=True))
def test_no_two_events_share_an_id(places: list[tuple[tuple[int, int], int]]) -> None:
    first, second = (ids.event_id(shard, f"{ms}-{sequence}") for (ms, sequence), shard in places)
    assert first != second


def test_the_format_of_existing_ids_does_not_change() -> None:
    assert ids.event_id(0, "1796000000000-0") == f"evt_{ids.encode(1796000000000, 10)}000000"
    assert len(ids.event_id(1023, f"{2**50 - 1}-{2**20 - 1}")) == len("evt_") + 16


@given(_SHARDS, _ENTRIES)
def test_batches_and_test_events_have_their_own_ids(shard: int, entry: tuple[int, int]) -> None:
    name = f"{entry[0]}-{entry[1]}"
    test_send = deliveries.public_id(shard, f"{name}{deliveries.new_suffix('t')}")
    batch = deliveries.public_id(shard, f"{name}{deliveries.new_suffix('b')}")
    assert ids.event_place(test_send) is None and ids.event_place(batch) is None


@pytest.mark.parametrize(
    "text", ["0-0", "1-18446744073709551616", "18446744073709551616-0", "1-", "-1", "1--1", ""]
)
def test_an_entry_that_the_store_would_refuse_is_invalid(text: str) -> None:
    assert not ids.is_entry(text)
