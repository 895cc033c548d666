"""The documented bodies of the commands, with a `Field` for each value from the caller.

Spec: RESTful APIs, operations from 12. `operations` assigns them to operations, and `commands` fills them in.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

Form = Literal[
    "user_id", "text", "upper", "title", "card", "digits", "base64", "size", "index", "moment", "local"
]


@dataclass(frozen=True, slots=True)
class Field:
    """A place in a body: the flat field for its value, and the form in which the value is written.

    `internal` ones are set by the relay itself (for paging). They aren't fields of the API, and without a value their
    key is left out.
    """

    name: str
    form: Form = "text"
    required: bool = True
    internal: bool = False


Body: TypeAlias = "Mapping[str, Body] | Sequence[Body] | Field | str"

CREDENTIAL_FIELDS: dict[str, str] = {
    "card": "card_number",
    "password": "password",
    "fingerprint": "fingerprint_data",
    "face": "face_data",
    "palm": "palm_data",
    "user_photo": "user_photo_data",
}
"""Credential type → the flat field that carries it."""

_USER_ID = Field("user_id", "user_id")
_NAMES: Mapping[str, Body] = {
    "FirstName": Field("first_name", required=False),
    "LastName": Field("last_name", required=False),
}
_FACE_INDEX = Field("face_index", "index", required=False)
_PALM_INDEX = Field("palm_index", "index", required=False)
_FINGER_INDEX = Field("fingerprint_index", "index", required=False)
_TEMPLATES: dict[str, Mapping[str, Body]] = {
    "card": {"Type": "Card", "UserID": _USER_ID, "Data": Field("card_number", "card")},
    "password": {"Type": "Password", "UserID": _USER_ID, "Data": Field("password", "digits")},
    "fingerprint": {
        "Type": "Fingerprint",
        "UserID": _USER_ID,
        "Size": Field("fingerprint_data", "size"),
        "Index": _FINGER_INDEX,
        "Data": Field("fingerprint_data", "base64"),
    },
    "face": {
        "Type": "Face",
        "UserID": _USER_ID,
        "Size": Field("face_data", "size"),
        "Index": _FACE_INDEX,
        "Data": Field("face_data", "base64"),
    },
    "palm": {
        "Type": "Palm",
        "UserID": _USER_ID,
        "Index": _PALM_INDEX,
        "Data": Field("palm_data", "base64"),
    },
    "user_photo": {"Type": "UserPhoto", "UserID": _USER_ID, "Data": Field("user_photo_data", "base64")},
}


def add_user(credentials: Iterable[str]) -> Mapping[str, Body]:
    """Return the body that adds a user with these credential types (#14 to #27), or with none (#28).

    The documentation has "USER" in the first case, and "User" in the second.
    """
    templates = [_TEMPLATES[credential] for credential in credentials]
    form: Form = "upper" if templates else "title"
    user = {"UserID": _USER_ID, **_NAMES, "UserType": Field("user_type", form, required=False)}
    return {"Add": {"User": user, "Template": templates} if templates else {"User": user}}


PERIOD: Body = {
    "Filter": {
        "StartTime": Field("start_time", "moment"),
        "EndTime": Field("end_time", "moment"),
        "OffSet": Field("offset", required=False, internal=True),
    }
}
USER: Body = {"UserID": _USER_ID}
ENROLLED_USER: Body = {"UserID": _USER_ID, "Type": "Fingerprint", **_NAMES}
ACCESS_TIME: Body = {"UserID": _USER_ID, "Start": Field("start", "local"), "End": Field("end", "local")}


def access(word: str) -> Mapping[str, Body]:
    """Return the body that grants or revokes a user's access (#37, #38)."""
    return {"Update": {"User": {"UserID": _USER_ID, "Access": word}}}


def fields_in(body: Body) -> Iterator[Field]:
    """Yield every place for a value, in order."""
    if isinstance(body, Field):
        yield body
    elif isinstance(body, Mapping):
        for part in body.values():
            yield from fields_in(part)
    elif not isinstance(body, str):
        for part in body:
            yield from fields_in(part)
