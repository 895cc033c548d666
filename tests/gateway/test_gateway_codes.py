"""Every StatusCode has a name, a sentence of advice and the HTTP status of the contract."""

from __future__ import annotations

import pytest

from app.gateway import codes
from tests.documented import STATUS_NAMES

CONTRACT: dict[int | None, int] = {
    0: 200,
    **dict.fromkeys((1, 3, 10), 422),
    **dict.fromkeys((2, 9), 404),
    8: 409,
    **dict.fromkeys((4, 7, 13, 999, 19, 29, 33, 35, 38, 12, 14, -1, 500, 10**30, None), 502),
    37: 503,
    5: 503,
    6: 504,
    11: 507,
    15: 501,
}


@pytest.mark.parametrize(("code", "status"), CONTRACT.items())
def test_http_status_is_the_contracts(code: int | None, status: int) -> None:
    assert codes.http_status(code) == status


def test_documented_names_are_kept_word_for_word() -> None:
    assert {code: codes.STATUS_NAMES[code] for code in STATUS_NAMES} == STATUS_NAMES
    assert codes.STATUS_NAMES.keys() - STATUS_NAMES.keys() == {19, 29, 33, 35, 37, 38}


def test_every_code_has_one_sentence_of_advice() -> None:
    for code in (*codes.STATUS_NAMES, 12, None):
        assert codes.advice(code).endswith(".")
        assert codes.status_name(code)
    assert codes.status_name(12) == codes.status_name(None)
    assert codes.status_name(12) not in codes.STATUS_NAMES.values()


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (3, "allow this server's address in the API Monitor"),
        (5, "it will be carried out when the device is back"),
        (19, "set the security key"),
    ],
)
def test_advice_says_what_helps(code: int, words: str) -> None:
    assert words in codes.advice(code)
