"""Checks and merges the field `field_mapping` of a subscription. Contract §8."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

from marshmallow import ValidationError

from app.events.formats import EVENT_FIELDS

MOST_NAMES = 50
_LONGEST_NAME = 128
LONGEST_VALUE = 1_000
_CONSTANT = '{"value": "cams"}'


def check_field_mapping(mapping: Mapping[str, Any]) -> None:
    """Raise a ValidationError unless each source is a field of events, a constant, or null to remove the name."""
    if len(mapping) > MOST_NAMES:
        raise ValidationError(f"has more than {MOST_NAMES} names")
    for name, source in mapping.items():
        if not name.strip() or len(name) > _LONGEST_NAME:
            raise ValidationError(f"{name[:64]!r} can't be a name. Use 1 to {_LONGEST_NAME} characters")
        fault = _fault(source)
        if fault:
            raise ValidationError(f"{name!r}: {fault}")


def _fault(source: object) -> str | None:
    if source is None:
        return None
    if isinstance(source, str):
        return None if source in EVENT_FIELDS else _unknown(source)
    if isinstance(source, dict) and source.keys() == {"value"}:
        value = source["value"]
        if not isinstance(value, str | int | float):  # bool is included, as a subclass of int
            return f"the constant must be a string, a number, true or false, e.g. {_CONSTANT}"
        return (
            None
            if len(str(value)) <= LONGEST_VALUE
            else f"the constant is longer than {LONGEST_VALUE} characters"
        )
    return f"must be the name of an event's field, e.g. user_id, or a constant, e.g. {_CONSTANT}"


def _unknown(source: str) -> str:
    nearest = difflib.get_close_matches(source[:64].lower(), EVENT_FIELDS, n=1)
    which = f"Did you mean {nearest[0]}?" if nearest else "GET /v1/event-types lists them."
    return f"{source[:64]!r} is not a field of an event. {which} For a constant, send an object, e.g. {_CONSTANT}"


def merge(present: Mapping[str, Any] | None, change: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Change a mapping by a JSON Merge Patch (RFC 7396), in which null removes a name or the whole mapping.

    Raises ValueError if the result has no names, which would send empty bodies, or too many.
    """
    if change is None:
        return None
    merged = {name: source for name, source in {**(present or {}), **change}.items() if source is not None}
    if not merged:
        raise ValueError("has no names. To send all fields, send null instead of the mapping")
    if len(merged) > MOST_NAMES:
        raise ValueError(f"has more than {MOST_NAMES} names")
    return merged
