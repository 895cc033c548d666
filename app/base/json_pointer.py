"""JSON Pointers, RFC 6901: where in a document a value is."""

from __future__ import annotations


def json_pointer(*path: str | int) -> str:
    """Return the pointer along names of members and numbers of entries; without any, that to the whole document."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in path)
