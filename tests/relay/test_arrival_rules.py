"""The rules that decide, one by one, which callback of a device wins if an older one arrives later."""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Collection
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch

import orjson
import pytest

from app.callbacks.body import Refused
from app.callbacks.receiver import Receiver
from app.settings.table import load
from app.store import Store
from app.store.spool.spool import Spool
from tests.relay.arrival import BEGAN, RECEIVED, Processes
from tests.relay.tools import gateway_time


def _deliver(processes: Processes, *callbacks_: tuple[dict[str, Any], float]) -> None:
    """Store sections in this order, with times of receipt in seconds, in each process in turn."""
    for number, (section, second) in enumerate(callbacks_):
        document = processes.document(section)
        processes.deliver(number % 3, document, RECEIVED + timedelta(seconds=second))


def _at(second: float) -> str:
    return gateway_time(RECEIVED + timedelta(seconds=second))


def _punch(user: str, **fields: Any) -> dict[str, Any]:
    return {"PunchLog": {"UserId": user, "LogTime": gateway_time(BEGAN), **fields}}


def _update(user: str, at: str | None, *templates: dict[str, Any], **fields: Any) -> dict[str, Any]:
    section = {"UserID": user, "OperationTime": at, "Template": list(templates), **fields}
    return {"UserUpdated": section}


def _finger(user: str, at: str | None, data: str = "Zmlyc3Q=") -> dict[str, Any]:
    template = {"Type": "Fingerprint", "UserID": user, "Index": "6", "Data": data}
    return {"UserUpdated": {"OperationTime": at, "Template": [template]}}


def _deletion(user: str, at: str | None) -> dict[str, Any]:
    return {"UserDeleted": {"UserID": user, "OperationTime": at}}


@pytest.fixture
def user() -> str:
    return secrets.token_hex(4)


def test_a_stale_check_in_does_not_win_over_its_correction(processes: Processes, user: str) -> None:
    check_in, correction = _punch(user, Type="CheckIn"), _punch(user, Type="CheckOut", OperationTime=_at(-60))
    duplicates = processes.store.devices.status(processes.device_id)["duplicates"]
    _deliver(processes, (correction, 10), (check_in, 0), (check_in, 20))
    (event,) = processes.events(user)
    assert (event["revision"], event["punch_type"]) == (1, "check_out")
    assert processes.store.devices.status(processes.device_id)["duplicates"] == duplicates + 2


_OF_ONE_INSTANT = {  # name: its type, and the second at which it was corrected
    "in": ("CheckIn", None),
    "out": ("CheckOut", None),
    "corrected to in": ("CheckIn", -9),
    "corrected to out": ("CheckOut", -5),
}


def _directions(punches_sent: Collection[str]) -> list[str]:
    """Return the directions of the punches at one instant: both if there were both, else the one corrected last."""
    if {"in", "out"} <= set(punches_sent):
        return ["in", "out"]
    corrections = [name for name in _OF_ONE_INSTANT if name in punches_sent and name.startswith("corrected")]
    return [(corrections or list(punches_sent))[-1].removeprefix("corrected to ")]


@pytest.mark.parametrize(
    "punches_sent",
    [
        punches_sent
        for count in (1, 2, 3, 4)
        for punches_sent in itertools.combinations(_OF_ONE_INSTANT, count)
    ],
    ids=str,
)
def test_an_in_an_out_and_corrections_of_one_instant_give_the_same_result_in_any_order(
    processes: Processes, user: str, punches_sent: tuple[str, ...]
) -> None:
    """In every order, and with each callback repeated in turn."""
    orders = sorted(
        {order for again in punches_sent for order in itertools.permutations([*punches_sent, again])}
    )
    for number, order in enumerate(orders):
        name = f"{user}-{number}"
        for second, what in enumerate(order):
            kind, corrected = _OF_ONE_INSTANT[what]
            time = {} if corrected is None else {"OperationTime": _at(corrected)}
            document = processes.document(_punch(name, Type=kind, **time))
            processes.deliver(second % 3, document, RECEIVED + timedelta(seconds=second))
        latest: dict[str, dict[str, Any]] = {}
        for event in processes.events(name):
            before = latest.get(event["punch_id"], {"revision": 0})
            assert event["revision"] == before["revision"] + 1, order
            latest[event["punch_id"]] = event
        assert sorted(event["direction"] for event in latest.values()) == _directions(punches_sent), order


def test_the_punch_that_a_correction_overruled_has_its_own_values(processes: Processes, user: str) -> None:
    """The in becomes a separate punch when an out of the same second arrives."""
    _deliver(
        processes,
        (_punch(user, Type="CheckIn", InputType="Face", Temperature=36.5), 0),
        (_punch(user, Type="CheckOut", InputType="Card", OperationTime=_at(5)), 1),
        (_punch(user, Type="CheckOut", InputType="Palm", Temperature=37.5), 9),
    )
    found = [
        (event["punch_type"], event["input_type"], event["temperature_celsius"], event["revision"])
        for event in processes.events(user)
    ]
    assert found == [
        ("check_in", "face", 36.5, 1),
        ("check_out", "card", 36.5, 2),
        ("check_in", "face", 36.5, 1),
        ("check_out", "palm", 37.5, 3),
    ]


def test_an_older_punch_adds_values_missing_in_the_newer_one(processes: Processes, user: str) -> None:
    correction = _punch(user, Type="CheckOut", OperationTime=_at(-60))
    _deliver(processes, (correction, 10), (_punch(user, Type="CheckIn", FaceMask=True), 0))
    latest = processes.events(user)[-1]
    assert (latest["revision"], latest["punch_type"], latest["direction"]) == (2, "check_out", "out")
    assert latest["face_mask"] is True


def test_a_punch_without_operation_time_is_as_old_as_its_envelope(processes: Processes, user: str) -> None:
    """A process that was frozen stores an older callback last."""
    for number, (punch_type, sent, received) in enumerate((("BreakIn", 8, 10), ("CheckIn", 2, 20))):
        document = processes.document(_punch(user, Type=punch_type), RECEIVED + timedelta(seconds=sent))
        processes.deliver(number, document, RECEIVED + timedelta(seconds=received))
    (event,) = processes.events(user)
    assert event["punch_type"] == "break_in"


def test_rows_of_one_callback_are_applied_in_order(processes: Processes, user: str) -> None:
    rows = [_punch(user, Type=kind)["PunchLog"] for kind in ("BreakIn", "CheckIn")]
    _deliver(processes, ({"PunchLog": {"Log": rows}}, 0))
    assert [event["punch_type"] for event in processes.events(user)] == ["break_in", "check_in"]


def test_an_old_callback_does_not_restore_a_deleted_users_fingerprint(
    processes: Processes, user: str
) -> None:
    before = processes.store.devices.status(processes.device_id)
    _deliver(
        processes, (_deletion(user, _at(-5)), 0), (_finger(user, _at(-9)), 3), (_update(user, _at(-7)), 4)
    )
    assert processes.users([user]) == {}
    assert [event["type"] for event in processes.events(user)] == ["user.deleted"]
    now = processes.store.devices.status(processes.device_id)
    assert [now[name] - before[name] for name in ("stale", "duplicates")] == [2, 2]


def test_a_user_who_was_added_again_keeps_only_what_is_newer(processes: Processes, user: str) -> None:
    _deliver(
        processes,
        (_finger(user, _at(-9)), 0),
        (_update(user, _at(-2), FirstName="Asha"), 1),
        (_deletion(user, _at(-5)), 2),
    )
    assert processes.users([user]) == {user: {"first_name": "Asha"}}
    assert [event["type"] for event in processes.events(user)] == ["credential.updated", "user.updated"]


def test_an_older_update_only_adds_missing_values(processes: Processes, user: str) -> None:
    newer = _update(user, _at(-2), FirstName="Asha", LastName="", UserType="User")
    older = _update(user, _at(-8), FirstName="Bela", LastName="Rao", UserType="Admin")
    _deliver(processes, (newer, 0), (older, 1))
    assert processes.users([user]) == {user: {"first_name": "Asha", "last_name": "Rao", "user_type": "user"}}
    assert [event["full_name"] for event in processes.events(user)] == ["Asha", "Asha Rao"]


def test_the_record_of_a_deletion_expires_unless_the_user_is_added_again(
    processes: Processes, user: str
) -> None:
    client, device = processes.store.connection.redis, processes.device()
    key = device.shard.user(device.id, user)
    _deliver(processes, (_deletion(user, _at(-5)), 0))
    assert 0 < client.ttl(key) <= 45 * 86_400
    _deliver(processes, (_finger(user, _at(-1)), 1))
    assert client.ttl(key) == -1
    _deliver(processes, (_finger(user, _at(-7), "c2Vjb25k"), 2))
    assert processes.users([user]) == {user: {("fingerprint", 6): "Zmlyc3Q="}}


@pytest.mark.parametrize(
    "wrong", [None, "soon", "2002-01-01 00:00:00 GMT +0000", "2090-01-01 00:00:00 GMT +0000"]
)
def test_the_time_of_receipt_replaces_an_impossible_time(
    processes: Processes, user: str, wrong: str | None
) -> None:
    """Times from a clock that was ahead don't outrank callbacks sent after it was corrected."""
    _deliver(
        processes,
        (_finger(user, wrong), 0),
        (_finger(user, _at(2), "c2Vjb25k"), 3),
        (_deletion(user, wrong), 5),
        (_finger(user, _at(7), "dGhpcmQ="), 8),
        (_finger(user, _at(4), "bGF0ZQ=="), 9),
    )
    assert processes.users([user]) == {user: {("fingerprint", 6): "dGhpcmQ="}}


def test_values_stored_by_an_earlier_version_count_as_the_oldest(processes: Processes, user: str) -> None:
    """Earlier versions stored no times of change for punches and users."""
    client, device, users = processes.store.connection.redis, processes.device(), processes.store.users
    key = device.shard.user(device.id, user)
    profile = {
        "first_name": "Asha",
        "last_name": "Rao",
        "user_type": None,
        "updated_at": "2026-01-01T00:00:00Z",
    }
    card = {"data": "111", "size_bytes": 3, "digest": "d", "updated_at": "2026-01-01T00:00:00Z"}
    client.hset(
        key,
        mapping={
            "v": 3,
            "profile": users.seal(device.id, user, profile),
            "c:card:0": users.seal(device.id, user, card),
        },
    )
    client.zadd(device.shard.users(device.id), {user: 0})
    instant = int(BEGAN.timestamp())
    punches = device.shard.punches(device.id, user, instant // (7 * 86_400))
    client.hset(punches, instant, "\x1f".join(("2", "check_in", "face", "36.5", "")))
    before = {"first_name": "Asha", "last_name": "Rao", ("card", 0): "111"}
    assert processes.users([user]) == {user: before}
    _deliver(
        processes,
        (_update(user, _at(-9), FirstName="Bela"), 0),
        (_punch(user, Type="CheckOut", OperationTime=_at(-60)), 1),
        (_punch(user, Type="CheckIn"), 2),
    )
    assert processes.users([user]) == {user: {**before, "first_name": "Bela"}}
    punch = processes.events(user)[-1]
    values = (punch["revision"], punch["punch_type"], punch["input_type"], punch["temperature_celsius"])
    assert values == (3, "check_out", "face", 36.5)
    _deliver(processes, (_deletion(user, _at(-5)), 2))
    assert processes.users([user]) == {}


def test_attendance_uses_the_correction_in_any_order_of_arrival(processes: Processes, user: str) -> None:
    other = f"{user}2"
    check_in, correction = (
        {"Type": kind, "OperationTime": _at(at)} for kind, at in (("CheckIn", -9), ("CheckOut", -2))
    )
    _deliver(
        processes,
        (_punch(user, **correction), 1),
        (_punch(user, **check_in), 2),
        (_punch(other, **check_in), 1),
        (_punch(other, **correction), 2),
    )
    days = (BEGAN.date() - timedelta(days=1), BEGAN.date() + timedelta(days=1))
    while processes.store.attendance_index.catch_up():
        pass
    for one in (user, other):
        (row,) = processes.store.attendance.person(one, *days)
        assert (row["first_in"], row["punch_count"]) == (None, 1)
        assert row["last_out"] is not None


@pytest.mark.parametrize("has_spool", [False, True])
def test_a_punch_changed_by_others_all_the_time_is_stored_later(
    processes: Processes, user: str, tmp_path: Path, has_spool: bool
) -> None:
    """Until it can be stored, it is refused or spooled. It is never stored as unrecognised."""
    store, device = Store(load(processes.environment)), processes.device()
    _deliver(processes, (_punch(user, Type="CheckIn"), 0))
    script, client = store.ingest._script, store.connection.redis
    instant = int(BEGAN.timestamp())
    key = device.shard.punches(device.id, user, instant // (7 * 86_400))

    def changed_by_others(keys: Any, arguments: Any) -> Any:
        revision, _, rest = client.hget(key, instant).partition(b"\x1f")
        client.hset(key, instant, b"%d\x1f%b" % (int(revision) + 1, rest))
        return script(keys, arguments)

    with closing(Spool(tmp_path, store.connection.vault)) as spool:
        receiver = Receiver(store, spool if has_spool else None)
        document = processes.document(_punch(user, Type="BreakIn"))
        document["RealTime"]["AuthToken"] = device.auth_token
        body = orjson.dumps(document)
        with patch.object(store.ingest, "_script", changed_by_others):
            if has_spool:
                receiver.receive(body, [], "http://relay")
            else:
                with pytest.raises(Refused) as refused:
                    receiver.receive(body, [], "http://relay")
                assert refused.value.status == 503
        assert [event["type"] for event in processes.events(user)] == ["attendance.punch"]
        if has_spool:
            receiver._replay()
        else:
            receiver.receive(body, [], "http://relay")
    published = [(event["type"], event["punch_type"]) for event in processes.events(user)]
    assert published == [("attendance.punch", "check_in"), ("attendance.punch", "break_in")]


def test_a_removed_device_leaves_no_records_of_deletions(processes: Processes) -> None:
    other = Processes(processes.relay)
    _deliver(other, (_deletion("7", _at(-5)), 0), (_update("8", _at(-5)), 1))
    assert other.store.devices.remove(other.device_id)
    assert not list(other.store.connection.redis.scan_iter(match=f"*:user:{other.device_id}:*"))
