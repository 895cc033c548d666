"""Checks that a subscription's `format` fits its other fields."""

from __future__ import annotations

from typing import Any

from app.api.problems import wrong
from app.events.formats import MAPPED, MESSAGES, ONE_AT_A_TIME
from app.schemas.field_mapping import merge
from app.store.subscriptions.records import Subscription


def merged_mapping(values: dict[str, Any], present: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return the present field mapping with the request's changes. Raises a 422 Problem."""
    if "field_mapping" not in values:
        return present
    try:
        return merge(present, values["field_mapping"])
    except ValueError as error:
        raise wrong("field_mapping", str(error)) from None


def check_format(
    format_: str, batch_max: int, field_mapping: dict[str, Any] | None, template: str | None
) -> None:
    """Raise a 422 Problem if the format doesn't support the batch size, the field mapping or the template."""
    if format_ in ONE_AT_A_TIME and batch_max > 1:
        raise wrong("batch_max", f"must be 1 with the format {format_}, which holds a single event")
    if field_mapping and format_ not in MAPPED:
        raise wrong(
            "field_mapping",
            f"can only be used with the formats {' and '.join(MAPPED)}. To use the format {format_}, send "
            "field_mapping: null",
        )
    if template and format_ not in MESSAGES:
        raise wrong(
            "template",
            f"can only be used with the formats {', '.join(MESSAGES)}. To use the format {format_}, send "
            "template: null",
        )


def changes_content(values: dict[str, Any], subscription: Subscription) -> str | None:
    """Return the field that changes which parts of an event are sent, if any: format, mapping or template."""
    if values.get("format", subscription.format) != subscription.format:
        return "format"
    if merged_mapping(values, subscription.field_mapping) != subscription.field_mapping:
        return "field_mapping"
    if values.get("template", subscription.template) != subscription.template:
        return "template"
    return None
