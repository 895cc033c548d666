"""Templates of messages: text with the fields of an event in double braces, without code, conditions or loops. Pure.

    {{user_name|user_id}} ({{employee_id|"no ID"}}): {{punch_type}} at {{device_label}}, {{local_time}}

Alternatives are separated by `|`: the first one with a value is used. `{{sentence}}` is the sentence that is sent
without a template.
"""

from __future__ import annotations

import difflib
import functools
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeAlias

from app.events.formats import EVENT_FIELDS
from app.events.sentences import one_line, sentence

LONGEST = 500  # characters of a template
MOST_FIELDS = 20
SENTENCE = "sentence"

_PLACE = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)
_ALTERNATIVE = re.compile(r'\s*(?:(?P<name>\w+)|"(?P<constant>[^"]*)")\s*\Z')
_SPLIT = re.compile(r'\|(?=(?:[^"]*"[^"]*")*[^"]*\Z)')  # not within quotes
_SHORTER = (200, 80, 30, 10, 3)
"""The most characters of a field's value: as many as fit in a message."""


class TemplateError(ValueError):
    """A template can't be used. Its text says why."""


class Field(NamedTuple):
    """The name of a field."""

    name: str


Place: TypeAlias = "tuple[Field | str, ...]"  # the alternatives


@functools.lru_cache(maxsize=256)
def parse(template: str) -> tuple[Place | str, ...]:
    """Return a template's text and places in their order. Raises TemplateError."""
    if len(template) > LONGEST:
        raise TemplateError(f"is longer than {LONGEST} characters")
    parts: list[Place | str] = []
    for number, part in enumerate(_PLACE.split(template)):
        if number % 2:
            parts.append(tuple(_alternative(text) for text in _SPLIT.split(part)))
        elif "{{" in part or "}}" in part:
            raise TemplateError("has {{ or }} without the other. Write a field as {{user_name}}")
        elif part:
            parts.append(part)
    if sum(not isinstance(part, str) for part in parts) > MOST_FIELDS:
        raise TemplateError(f"has more than {MOST_FIELDS} fields in braces")
    return tuple(parts)


def _alternative(text: str) -> Field | str:
    found = _ALTERNATIVE.match(text)
    if found is None:
        raise TemplateError(
            f'{{{{{text[:64]}}}}} is not a field. Write {{{{user_name}}}} or {{{{user_name|"nobody"}}}}'
        )
    name = found["name"]
    if name is None:
        return str(found["constant"])
    if name != SENTENCE and name not in EVENT_FIELDS:
        nearest = difflib.get_close_matches(name[:64].lower(), (*EVENT_FIELDS, SENTENCE), n=1)
        which = f"Did you mean {nearest[0]}?" if nearest else "GET /v1/event-types lists them."
        raise TemplateError(f"{name[:64]!r} is not a field of an event. {which}")
    return Field(name)


def render(
    template: str, event: Mapping[str, Any], escape: Callable[[str], str], fits: Callable[[str], bool]
) -> str:
    """Return the text for an event, with its fields escaped and shortened so that it fits.

    It is the event's sentence if nothing but spaces is left, because chats refuse empty messages, or if the template
    uses a field of a later version. Test events begin with `Test:`, as their sentences do.
    """
    try:
        parts = parse(template)
    except TemplateError:
        parts = ((Field(SENTENCE),),)
    has_sentence = any(not isinstance(part, str) and Field(SENTENCE) in part for part in parts)
    begin = "Test: " if event.get("test") and not has_sentence else ""
    made = ""
    for most in _SHORTER:
        made = "".join(part if isinstance(part, str) else _value(part, event, escape, most) for part in parts)
        if fits(begin + made):
            break
    return begin + made if made.strip() else escape(_cut(sentence(dict(event)), _SHORTER[0]))


def _value(place: Place, event: Mapping[str, Any], escape: Callable[[str], str], most: int) -> str:
    for alternative in place:
        shown = alternative if isinstance(alternative, str) else _shown(alternative.name, event)
        if shown:
            return escape(_cut(shown, most))
    return ""


def _shown(name: str, event: Mapping[str, Any]) -> str:
    value = sentence(dict(event)) if name == SENTENCE else event.get(name)
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return one_line(str(value))


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"
