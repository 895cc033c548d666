"""However callbacks are interleaved, the newest by the device's own time wins and isn't undone by older ones."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.relay.arrival import BEGAN, RECEIVED, Processes
from tests.relay.tools import gateway_time

_examples = itertools.count()


@dataclass(frozen=True)
class SentCallback:
    """A callback: its section, its user, the second at which it happened, and the second at which it was received."""

    kind: str
    user: str
    second: int
    fields: dict[str, Any] = field(hash=False)
    received: float = 0

    def section(self) -> dict[str, Any]:
        at = gateway_time(BEGAN + timedelta(seconds=self.second))
        match self.kind:
            case "punch":
                log = {
                    "UserId": self.user,
                    "LogTime": gateway_time(BEGAN - timedelta(days=1)),
                    **self.fields,
                }
                return {"PunchLog": {**log, "OperationTime": at}}
            case "update":
                return {"UserUpdated": {"UserID": self.user, **self.fields, "OperationTime": at}}
            case "credential":
                template = {"UserID": self.user, **self.fields}
                return {"UserUpdated": {"OperationTime": at, "Template": [template]}}
            case _:
                return {"UserDeleted": {"UserID": self.user, "OperationTime": at}}


def _in_time_order(callbacks: list[SentCallback]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the users and punches that simple rules give if all callbacks arrive in the order of events."""
    users: dict[str, Any] = {}
    punches: dict[str, Any] = {}
    for one in sorted(callbacks, key=lambda one: (one.second, one.received)):
        given_ = {name: value for name, value in one.fields.items() if value not in ("", None)}
        match one.kind:
            case "punch":
                punches.setdefault(one.user, {}).update(given_)
            case "update":
                names = {"FirstName": "first_name", "LastName": "last_name", "UserType": "user_type"}
                users.setdefault(one.user, {}).update({names[k]: v.lower() for k, v in given_.items()})
            case "credential":
                kind, index = one.fields["Type"].lower(), int(one.fields.get("Index", 0))
                users.setdefault(one.user, {})[kind, index] = one.fields["Data"]
            case _:
                users.pop(one.user, None)
    return users, punches


_WORDS = {"CheckIn": "check_in", "CheckOut": "check_out", "Face": "face", "Card": "card"}


def _punch_values(relay_events: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the values of each user's punch, according to its latest published revision."""
    found: dict[str, Any] = {}
    for event in relay_events:
        if event["type"] == "attendance.punch":
            assert event["revision"] == found.get(event["user_id"], (0,))[0] + 1
            values = [event[n] for n in ("punch_type", "input_type", "temperature_celsius", "face_mask")]
            found[event["user_id"]] = (event["revision"], values)
    return {user: values for user, (_, values) in found.items()}


def _expected_values(punches: dict[str, Any]) -> dict[str, Any]:
    names = ("Type", "InputType", "Temperature", "FaceMask")
    return {
        user: [
            _WORDS.get(value, value) if isinstance(value := fields.get(name), str) else value
            for name in names
        ]
        for user, fields in punches.items()
    }


_USERS = st.sampled_from(["a", "b"])
_SECONDS = st.integers(0, 4)
_CALLBACKS = st.one_of(
    st.builds(
        SentCallback,
        st.just("punch"),
        _USERS,
        _SECONDS,
        st.fixed_dictionaries(
            {},
            optional={
                "Type": st.sampled_from(["CheckIn", "CheckOut", None]),
                "InputType": st.sampled_from(["Face", "Card"]),
                "Temperature": st.sampled_from([36.5, 37.5]),
                "FaceMask": st.booleans(),
            },
        ),
    ),
    st.builds(
        SentCallback,
        st.just("update"),
        _USERS,
        _SECONDS,
        st.fixed_dictionaries(
            {
                "FirstName": st.sampled_from(["", "asha", "bela"]),
                "LastName": st.sampled_from(["", "rao", "iyer"]),
                "UserType": st.sampled_from(["", "User", "Admin"]),
            }
        ),
    ),
    st.builds(
        SentCallback,
        st.just("credential"),
        _USERS,
        _SECONDS,
        st.one_of(
            st.fixed_dictionaries({"Type": st.just("Card"), "Data": st.sampled_from(["111", "222"])}),
            st.fixed_dictionaries(
                {
                    "Type": st.just("Fingerprint"),
                    "Index": st.sampled_from(["0", "6"]),
                    "Data": st.sampled_from(["Zmlyc3Q=", "c2Vjb25k"]),
                }
            ),
        ),
    ),
    st.builds(SentCallback, st.just("deletion"), _USERS, _SECONDS, st.just({})),
)


@st.composite
def _histories(draw: st.DrawFn) -> tuple[list[SentCallback], list[tuple[int, bool, int]]]:
    """Return callbacks in order of receipt, and the order of storing them as (callback, repeated, process)."""
    callbacks = draw(st.lists(_CALLBACKS, min_size=2, max_size=9))
    again = draw(st.lists(st.integers(0, len(callbacks) - 1), max_size=3, unique=True))
    steps = [(number, False) for number in range(len(callbacks))] + [(number, True) for number in again]
    order = draw(st.permutations(steps))
    return callbacks, [(number, repeated, draw(st.integers(0, 2))) for number, repeated in order]


@given(history=_histories())
@settings(
    max_examples=80,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    database=None,
)
def test_any_interleaving_of_processes_gives_the_same_state(
    processes: Processes, history: tuple[list[SentCallback], list[tuple[int, bool, int]]]
) -> None:
    callbacks, order = history
    example = next(_examples)
    callbacks = [
        replace(one, user=f"{example}{one.user}", received=float(number))
        for number, one in enumerate(callbacks)
    ]
    documents = [processes.document(one.section()) for one in callbacks]
    for number, repeated, process in order:
        received = RECEIVED + timedelta(seconds=number, milliseconds=100 * repeated)
        processes.deliver(process, documents[number], received)
    users, punches = _in_time_order(callbacks)
    names = [f"{example}a", f"{example}b"]
    assert processes.users(names) == users
    published = [event for name in names for event in processes.events(name)]
    assert _punch_values(published) == _expected_values(punches)
    for name in names:
        types = [
            event["type"] for event in published if event["user_id"] == name and event["type"][:6] != "attend"
        ]
        assert not types or (types[-1] == "user.deleted") == (name not in users), "the last event is wrong"
