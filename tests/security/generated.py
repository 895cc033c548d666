"""All eleven callbacks of the protocol, and variants with changed types, depth, size and bytes.

Hypothesis generates the documents. A separate seeded generator then damages each in several ways, at a tenth of the
cost of generating as many with Hypothesis.
"""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from random import Random
from typing import Any

from hypothesis import strategies as st

Document = dict[str, Any]

# Documents, all with the same envelope

_USERS = st.from_regex(r"[1-9][0-9]{0,8}", fullmatch=True) | st.sampled_from(["EMP-7", "é", "0001"])
_OFFSETS = st.sampled_from([-570, 0, 60, 330, 345, 765])
_TIMES = st.builds(
    lambda at, offset: at.replace(tzinfo=timezone(timedelta(minutes=offset))).strftime(
        "%Y-%m-%d %H:%M:%S GMT %z"
    ),
    st.datetimes(datetime(2019, 1, 1), datetime(2027, 1, 1)).map(lambda at: at.replace(microsecond=0)),
    _OFFSETS,
)
_NAMES = st.text(st.characters(codec="utf-8"), max_size=20)
_BASE64 = st.sampled_from(["/9j/4AAQSkZJRg==", "iVBORw0KGgo=", "aGVsbG8=", "QUJDREVGRw" * 40 + "=="])
_PUNCHES = st.fixed_dictionaries(
    {
        "Type": st.sampled_from(
            ["CheckIn", "CheckOut", "BreakOut", "BreakIn", "OverTimeIn", "OverTimeOut", "MealIn", "MealOut"]
        ),
        "InputType": st.sampled_from(["Fingerprint", "Face", "Palm", "Card", "Password"]),
        "UserId": _USERS,
        "LogTime": _TIMES,
    },
    optional={
        "Temperature": st.floats(30, 45).map(lambda value: f"{value:.1f}"),
        "FaceMask": st.sampled_from(["true", "false"]) | st.booleans(),
    },
)
_PROFILE = {
    "UserID": _USERS,
    "FirstName": _NAMES,
    "LastName": _NAMES,
    "UserType": st.sampled_from(["User", "Admin"]),
}


def _template(kind: str, data: st.SearchStrategy[str], indexed: bool) -> st.SearchStrategy[Any]:
    fields: Any = {
        "Type": st.just(kind),
        "UserID": _USERS,
        "Data": data,
        "Size": st.integers(0, 9999).map(str),
    }
    return st.fixed_dictionaries({**fields, **({"Index": st.integers(0, 9).map(str)} if indexed else {})})


def _updated(*templates: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    items = st.lists(st.one_of(*templates), min_size=1, max_size=3) if templates else st.just([])
    return st.fixed_dictionaries(
        {"UserUpdated": st.fixed_dictionaries({**_PROFILE, "OperationTime": _TIMES, "Template": items})}
    )


_DIGITS = st.from_regex(r"[0-9]{4,10}", fullmatch=True)
_SECTIONS: list[st.SearchStrategy[Any]] = [
    st.fixed_dictionaries(
        {"UserDeleted": st.fixed_dictionaries({"UserID": _USERS, "OperationTime": _TIMES})}
    ),
    st.fixed_dictionaries(
        {"DateModified": st.fixed_dictionaries({"ModifiedTo": _TIMES, "OperationTime": _TIMES})}
    ),
    _updated(),
    _updated(_template("Card", _DIGITS, False)),
    _updated(_template("Password", _DIGITS, False)),
    _updated(_template("FingerPrint", _BASE64, True)),
    _updated(_template("Face", _BASE64, True)),
    _updated(_template("Palm", _BASE64, True)),
    _updated(_template("UserPhoto", _BASE64, False)),
    st.fixed_dictionaries(
        {"Log": st.fixed_dictionaries({"UserID": _USERS, "LogPhoto": _BASE64, "LogTime": _TIMES})}
    ),
    st.fixed_dictionaries({"PunchLog": _PUNCHES}),
]


def documents(token: str) -> st.SearchStrategy[Document]:
    """Return a strategy for callbacks #1 to #11 with this AuthToken."""
    envelope = st.fixed_dictionaries(
        {
            "OperationID": st.from_regex(r"[a-z0-9]{12}", fullmatch=True),
            "AuthToken": st.just(token),
            "Time": _TIMES,
        },
        optional={"LabelName": _NAMES, "SerialNumber": st.just("ZXQF2100001")},
    )
    return st.one_of(*_SECTIONS).flatmap(
        lambda section: envelope.map(lambda fields: {"RealTime": {**fields, **section}})
    )


# Kinds of damage

# Texts that a JSON writer wouldn't produce. They replace the marks in the finished text.
_RAW = {
    "@deep-list@": "[" * 3_000 + "]" * 3_000,
    "@deep-object@": '{"a":' * 3_000 + "1" + "}" * 3_000,
    "@huge@": "9" * 6_000,
    "@huger@": "1e999",
    "@tiny@": "-1e-999",
    "@lone@": '"\\ud800"',
    "@pair-backwards@": '"\\udc00\\ud800"',
    "@nul@": '"\\u0000"',
    "@tab@": '"a\tb\nc"',
    "@not-utf8@": '"\udcff\udcfe"',  # bytes, by surrogateescape
    "@surrogate-bytes@": '"\udced\udca0\udc80"',
    "@noncharacter@": '"\uffff\U0010ffff"',
}
_ODD: list[Any] = [
    None, True, False, 0, -1, 1.5, 2**31, 2**63, 2**64, -(2**200), 1e308, 5e-324, "", " ", "\x00", "null", "0", "-1",
    "1" * 400, "x" * 20_000, "\u202e", "\u0000" * 9, "é" * 300, "😀", "<script>", "' OR 1=1", "{}", "../..", "\r\n",
    [], {}, [[]], [{}], [None], {"": None}, {"a": {"b": {"c": []}}}, [[[[["x"]]]]], ["x"] * 60, [{"UserID": "9"}] * 30,
    {"Log": [{}] * 3}, {"Log": None, "ReturnRowCount": "x"}, {"ReturnRowCount": 5, "Log": "x"},
    "9999-12-31 23:59:59 GMT -1200", "0001-01-01 00:00:00 GMT +1400", "1970-01-01 00:00:00 GMT +0000",
    "2020-02-30 00:00:00 GMT +0530", "2020-09-17 24:00:00 GMT +0530", "2020-09-17 07:48:60 GMT +0530", "2020-09-17",
    "2020-09-17 07:48:22 GMT +9999", "٢٠٢٠-09-17 07:48:22 GMT +0530", 1600308, "2099-01-01 00:00:00 GMT +0000",
    *_RAW,
]  # fmt: skip
_KEYS = [
    "PunchLog", "Log", "UserUpdated", "UserDeleted", "DateModified", "Template", "RealTime", "UserID", "Type", "Index",
    "Data", "Size", "LogTime", "LogPhoto", "Unknown", "", "\x00", "@", "é", "a" * 500, "OperationID", "Time",
]  # fmt: skip


@dataclass
class Sent:
    """A body, and whether the relay must store it; None if that depends on how the body is read."""

    body: bytes
    authentic: bool | None
    plain: bytes = b""  # the plain text of an encrypted body


def damaged(document: Document, token: str, chance: Random) -> Sent:
    """Change a document in none to four places, and sometimes its bytes as well."""
    changed = copy.deepcopy(document)
    for _ in range(chance.choice((0, 1, 1, 1, 2, 2, 4))):
        _change(changed, chance)
    inner = changed.get("RealTime")
    known = isinstance(inner, dict) and inner.get("AuthToken") == token and not _ambiguous(changed, inner)
    text = json.dumps(
        changed, ensure_ascii=chance.random() < 0.6, indent=chance.choice((None, None, None, 1))
    )
    for mark, raw in _RAW.items():
        text = text.replace(f'"{mark}"', raw)
    if chance.random() < 0.1:  # a duplicate key: readers use the last value
        twice = chance.choice(("OperationID", "AuthToken", "LogTime"))
        text = text.replace(f'"{twice}":', f'"{twice}": "first", "{twice}":', 1)
    body = text.encode("utf-8", "surrogateescape")
    if chance.random() < 0.15:
        return Sent(_broken(body, chance), None)
    before, after = chance.choice(
        ((b"", b""), (b"\xef\xbb\xbf", b""), (b"\r\n ", b"\r\n\0"), (b"", b" " * 99))
    )
    return Sent(before + body + after, True if known else None)


def _ambiguous(document: Document, inner: Document) -> bool:
    """Return whether the token might be hidden by keys that only differ in case."""
    return any(
        sum(key.lower() == name for key in level) > 1
        for level, name in ((document, "realtime"), (inner, "authtoken"))
    )


def _places(node: Any) -> list[tuple[Any, Any]]:
    found: list[tuple[Any, Any]] = []
    stack = [node]
    while stack:
        part = stack.pop()
        keys = list(part) if isinstance(part, dict) else range(len(part)) if isinstance(part, list) else []
        for key in keys:
            found.append((part, key))
            stack.append(part[key])
    return found


def _change(document: Document, chance: Random) -> None:
    places = _places(document)
    if not places:
        return
    part, key = chance.choice(places)
    value = part[key]
    match chance.randrange(9):
        case 0 | 1 | 2:
            part[key] = copy.deepcopy(chance.choice(_ODD))
        case 3:
            del part[key]
        case 4 if isinstance(part, dict):
            part[chance.choice((str(key).lower(), str(key).upper(), str(key).swapcase()))] = part.pop(key)
        case 5 if isinstance(part, dict):
            part[chance.choice(_KEYS)] = copy.deepcopy(chance.choice((value, chance.choice(_ODD))))
        case 6:
            part[key] = [copy.deepcopy(value) for _ in range(chance.choice((1, 2, 60)))]
        case 7:
            part[key] = {chance.choice(_KEYS): value}
        case 8 if isinstance(value, str) and value:
            at = chance.randrange(len(value))
            part[key] = (
                value[:at] + chance.choice(("", "\x00", "\u0661", " ", "\ufffd", "'", "é")) + value[at + 1 :]
            )


def _broken(body: bytes, chance: Random) -> bytes:
    at = chance.randrange(len(body))
    match chance.randrange(8):
        case 0:
            return body[:at]
        case 1:
            return body[:at] + bytes([body[at] ^ (1 << chance.randrange(8))]) + body[at + 1 :]
        case 2:
            return (
                body[:at]
                + chance.choice((b"\0", b"\xff", b"\\", b'"', b"}", b"[", b"\xed\xa0\x80"))
                + body[at:]
            )
        case 3:
            return body[:at] + body[at : at + 40] * chance.choice((2, 500)) + body[at:]
        case 4:
            return body.decode("utf-8", "replace").encode(
                chance.choice(("utf-16", "utf-32", "utf-7", "cp037")), "replace"
            )
        case 5:
            return body + body
        case 6:
            return json.dumps(body.decode("utf-8", "replace")).encode()
        case _:
            return b"request_data=" + body
