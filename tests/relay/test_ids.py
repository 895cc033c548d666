"""Ids: what is encoded is decoded again, and sorts as it did."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from app import ids

_SHARDS = st.integers(0, 1023)
_ENTRIES = st.tuples(st.integers(0, 2**50 - 1), st.integers(0, 2**20 - 1)).filter(any)  # no 0-0


@given(st.integers(1, 24).flatmap(lambda width: st.tuples(st.just(width), st.integers(0, 32**width - 1))))
def test_a_number_comes_back(case: tuple[int, int]) -> None:
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
