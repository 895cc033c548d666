"""Every StatusCode has a name, one sentence of advice, and the contract's HTTP status."""

from __future__ import annotations

import pytest

from app.gateway import status_codes
from tests.documented import STATUS_NAMES

CONTRACT: dict[int | None, int] = {
    0: 200,
    **dict.fromkeys((1, 3, 10, 4, 7, 11, 13, 15, 999, 19, 29, 33, 35, 38, 5, 6), 422),
    **dict.fromkeys((12, 14, -1, 500, 10**30, None), 422),
    **dict.fromkeys((2, 9), 404),
    8: 409,
    37: 503,
}


@pytest.mark.parametrize(("code", "status"), CONTRACT.items())
def test_the_http_status_is_that_of_the_contract(code: int | None, status: int) -> None:
    assert status_codes.http_status(code) == status


def test_names_are_exactly_as_documented() -> None:
    assert {code: status_codes.STATUS_NAMES[code] for code in STATUS_NAMES} == STATUS_NAMES
    assert status_codes.STATUS_NAMES.keys() - STATUS_NAMES.keys() == {19, 29, 33, 35, 37, 38}


def test_every_code_has_one_sentence_of_advice() -> None:
    for code in (*status_codes.STATUS_NAMES, 12, None):
        assert status_codes.advice(code).endswith(".")
        assert status_codes.status_name(code)
    assert status_codes.status_name(12) == status_codes.status_name(None)
    assert status_codes.status_name(12) not in status_codes.STATUS_NAMES.values()


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (3, "the API Monitor allows this server's address"),
        (5, "will be carried out when it is back online"),
        (19, "Set its Security Key"),
    ],
)
def test_advice_says_what_helps(code: int, words: str) -> None:
    assert words in status_codes.advice(code)
