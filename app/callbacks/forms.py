"""Reads the forms that versions 1.0 and 2.0 of the Web API send as callbacks, urlencoded or multipart."""

from __future__ import annotations

import re
from urllib.parse import parse_qsl, unquote_plus

LARGEST_FORM = 4 * 1024 * 1024  # parsing a form is slow
_MOST_FIELDS = 50
_SEARCHED = 64 * 1024
_STGID = re.compile(rb"(?:^|[&?\s])stgid=([^&?\s]{1,200})", re.IGNORECASE)
_PART_NAME = re.compile(
    rb"""content-disposition:[^\r\n]*?\bname=(?:"([^"\r\n]*)"|([^;\s]+))""", re.IGNORECASE
)
_HEAD_ENDS = re.compile(rb"\r?\n\r?\n")


def fields_in(text: bytes) -> dict[str, str] | None:
    """Return a form's fields, the first of each name; None if the form is too large or has too many fields."""
    if len(text) > LARGEST_FORM:
        return None
    if text.startswith(b"--"):
        return _multipart(text)
    try:
        pairs = parse_qsl(
            text.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=_MOST_FIELDS
        )
    except ValueError:
        return None
    return dict(reversed(pairs))


def _multipart(text: bytes) -> dict[str, str] | None:
    boundary = text.split(b"\n", 1)[0].rstrip(b"\r")
    parts = text.split(boundary, _MOST_FIELDS + 2)
    if len(parts) > _MOST_FIELDS + 2:
        return None
    fields: dict[str, str] = {}
    for part in parts:
        head, *value = _HEAD_ENDS.split(part, 1)
        name = _PART_NAME.search(head)
        if name is not None and value:
            plain = value[0].removesuffix(b"\n").removesuffix(b"\r")
            fields.setdefault(
                (name[1] or name[2] or b"").decode("utf-8", "replace"), plain.decode("utf-8", "replace")
            )
    return fields


def device_ids_in(text: bytes) -> list[str]:
    """Return the device IDs in a urlencoded form, found without parsing the form."""
    found = _STGID.findall(text[:_SEARCHED])
    return [unquote_plus(device_id.decode("utf-8", "replace")) for device_id in found[:4]]
