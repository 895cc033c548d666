"""User IDs in the database. PostgreSQL's texts can't contain NUL, so it is escaped."""

from __future__ import annotations

ESCAPE = "\x7f"


def written(user_id: str | None) -> str | None:
    if user_id is None or (ESCAPE not in user_id and "\0" not in user_id):
        return user_id
    return user_id.replace(ESCAPE, ESCAPE * 2).replace("\0", f"{ESCAPE}0")


def as_read(text: str | None) -> str | None:
    if text is None or ESCAPE not in text:
        return text
    return ESCAPE.join(part.replace(f"{ESCAPE}0", "\0") for part in text.split(ESCAPE * 2))
