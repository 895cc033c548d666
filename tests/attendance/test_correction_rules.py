"""Which punches count after corrections, as tables: the latest correction of a punch decides."""

from __future__ import annotations

from typing import Any

import pytest

from app.attendance.corrections import Correction, Reported, apply
from app.attendance.rules import Mark

ONE, TWO = Mark(1_000, 0, "A", "in"), Mark(2_000, 0, "A", "out")


def correction(kind: str, punch_id: str, at: int | None, made: int = 1, **fields: Any) -> Correction:
    reported = None if kind == "added" else Reported(1_000, 0, "in")
    return Correction(
        **{
            "id": f"cor_{made}",
            "kind": kind,
            "user_id": "2",
            "device_id": "A",
            "punch_id": punch_id,
            "at": at,
            "offset": 0,
            "direction": "in" if at else None,
            "reported": reported,
            "reason": "r",
            "author": "a",
            "created_at": made,
            **fields,
        }
    )


@pytest.mark.parametrize(
    ("corrections", "times"),
    [
        ([], [1_000, 2_000]),
        ([correction("excluded", "one", None)], [2_000]),
        ([correction("changed", "one", 1_500)], [1_500, 2_000]),
        ([correction("added", "three", 3_000)], [1_000, 2_000, 3_000]),
        ([correction("added", "three", 9_000)], [1_000, 2_000]),  # not in the time that is asked for
        ([correction("changed", "one", 9_000)], [2_000]),
        ([correction("changed", "elsewhere", 1_200)], [1_000, 1_200, 2_000]),  # its original is older
        ([correction("excluded", "one", None), correction("restored", "one", 1_000, 2)], [1_000, 2_000]),
        ([correction("restored", "one", 1_000, 2), correction("excluded", "one", None)], [1_000, 2_000]),
        ([correction("added", "three", 3_000), correction("excluded", "three", None, 2)], [1_000, 2_000]),
        ([correction("changed", "one", 1_500), correction("changed", "one", 1_700, 2)], [1_700, 2_000]),
    ],
)
def test_the_latest_correction_of_each_punch_counts(corrections: list[Correction], times: list[int]) -> None:
    corrected, reported = apply([("one", ONE), ("two", TWO)], corrections, 500, 5_000)
    assert sorted(mark.at for mark in corrected) == times
    has_effect = any(one.kind != "restored" for one in corrections if one.created_at == len(corrections))
    assert bool(reported) is has_effect
    assert not reported or [mark.at for mark in reported] == [1_000, 2_000]


def test_only_corrected_marks_have_their_punch_id() -> None:
    corrected, reported = apply(
        [("one", ONE), ("two", TWO)], [correction("changed", "one", 1_500)], 500, 5_000
    )
    assert [(mark.at, mark.punch_id) for mark in corrected] == [(2_000, None), (1_500, "one")]
    assert [(mark.at, mark.punch_id) for mark in reported] == [(1_000, "one"), (2_000, None)]


def test_a_stored_correction_is_read_again() -> None:
    for one in (correction("changed", "one", 1_500), correction("added", "three", 3_000)):
        assert Correction.from_json(one.as_json()) == one
