"""The IML parser passes the examples in Make's documentation, and refuses unsupported syntax."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from tests.make.iml import UNDEFINED, ImlError, transform

CONTEXT = {
    "body": {"id": 5, "user": "Asha", "empty": "", "none": None, "list": [], "flag": False},
    "headers": {"x-hook-type": "punch"},
    "parameters": {"when": datetime.fromisoformat("2026-11-24T09:01:44+05:30")},
}


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ("plain", "plain"),
        ("{{body.id}}", 5),  # keeps its type
        ("{{ body.list }}", []),
        ("{{body.none}}", None),
        ("no {{body.id}}", "no 5"),
        ("{{body.id}}/{{body.user}}", "5/Asha"),
        ("<{{body.none}}{{body.nothing}}>", "<>"),
        ("{{'Hello, ' + body.user}}", "Hello, Asha"),
        ('{{"Hello, " + body.user}}', "Hello, Asha"),
        ("{{1 + 2}}", 3),
        ("{{headers.`x-hook-type`}}", "punch"),
        ("{{body.id == 5}}", True),
        ("{{body.id == '5'}}", False),  # strict
        ("{{body.id != '5'}}", True),
        ("{{body.nothing == undefined}}", True),
        ("{{!body.flag && body.user == 'Asha'}}", True),
        ("{{body.flag || body.user}}", "Asha"),
        ("{{body.flag && (body.user == 'a' || body.user == 'b')}}", False),
        ("{{if(body.user, body.id, false)}}", 5),
        ("{{if(body.nothing, formatDate(body.nothing, 'X', 'UTC'), 'no')}}", "no"),
        ("{{ifempty(body.empty, 'no')}}", "no"),
        ("{{ifempty(body.none, 'no')}}", "no"),
        ("{{ifempty(body.nothing, 'no')}}", "no"),
        ("{{ifempty(body.flag, 'no')}}", False),
        ("{{last(split('a/b/c', '/'))}}", "c"),
        ("{{formatDate(parameters.when, 'YYYY-MM-DDTHH:mm:ssZ', 'UTC')}}", "2026-11-24T03:31:44+00:00"),
    ],
)
def test_strings_and_expressions_are_evaluated(source: str, value: Any) -> None:
    assert transform(source, CONTEXT) == value
    assert type(transform(source, CONTEXT)) is type(value)


def test_undefined_values_are_left_out_and_null_is_kept() -> None:
    block = {"a": "{{body.nothing}}", "b": "{{body.none}}", "c": {"d": "{{body.nothing}}"}, "e": 1}
    assert transform(block, CONTEXT) == {"b": None, "c": {}, "e": 1}
    assert transform("{{body.nothing.deeper}}", CONTEXT) is UNDEFINED


def test_a_collection_is_merged_in() -> None:
    pairs = {"parameters": {"pairs": [{"key": "a", "value": "1"}, {"key": "b"}]}}
    block = {"{{...}}": "{{toCollection(parameters.pairs, 'key', 'value')}}", "c": 3}
    assert transform(block, pairs) == {"a": "1", "c": 3}
    assert transform(block, {"parameters": {}}) == {"c": 3}


@pytest.mark.parametrize(
    "source",
    [
        "{{md5(body.user)}}",  # exists in Make, but isn't supported here
        "{{formatDate(parameters.when, 'X', 'UTC')}}",
        "{{formatDate(body.nothing, 'YYYY-MM-DDTHH:mm:ssZ', 'UTC')}}",
        "{{body.id - 1}}",
        "a {{body.list}}",
    ],
)
def test_unsupported_syntax_is_refused(source: str) -> None:
    with pytest.raises(ImlError):
        transform(source, CONTEXT)
