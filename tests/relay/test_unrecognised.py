"""What is authentic but not understood is kept whole and told by an event; what can be read still is."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import requests

from app.settings import load
from app.store import make_vault
from app.store.spool import Spool, Spooled
from tests.harness import Device, Relay, wait_for
from tests.relay.tools import KEY, counters, done, events, only, problem, sealed, types

UNKNOWN = "callback.unrecognised"


def kept_body(device: Device) -> bytes:
    """The body behind the one callback.unrecognised of a device, fetched without a key."""
    answer = requests.get(only(device, UNKNOWN)["body_url"], timeout=10)
    assert answer.status_code == 200, answer.text
    assert answer.headers["x-content-type-options"] == "nosniff"
    return answer.content


@pytest.mark.parametrize(
    "section",
    [
        {},
        {"NewThing": {"UserID": "2", "Kind": "Duress"}},
        {"PunchLog": "soon"},
        {"PunchLog": 7},
        {"PunchLog": {}},
        {"PunchLog": [[], None, "x"]},
        {"PunchLog": {"Log": {"a": 1}, "ReturnRowCount": "1"}},
        {"UserUpdated": {"OperationTime": "2020-09-17 12:48:28 GMT +0530"}},
        {"UserUpdated": {"Template": "none"}},
        {"UserDeleted": {"UserID": None}},
        {"DateModified": {"ModifiedTo": "yesterday"}},
        {"Log": {"UserID": "3", "LogTime": "2020-09-17 07:48:30 GMT +0530", "LogPhoto": "%%%"}},
        {"Log": None},
        {"deep": json.loads("[" * 500 + "]" * 500)},
    ],
    ids=lambda section: json.dumps(section)[:40],
)
@pytest.mark.parametrize("key", [None, KEY], ids=["plain", "encrypted"])
def test_an_unknown_shape_is_kept_whole(relay: Relay, section: dict[str, Any], key: str | None) -> None:
    device = relay.device(security_key=key)
    body = json.dumps(device.envelope(**section), indent=1).encode()
    for _ in range(2):
        done(device.send(sealed(body) if key else body))
    event = only(device, UNKNOWN)
    assert event["reason"]
    assert kept_body(device) == body
    assert counters(device)["unrecognised"] == 1
    assert counters(device)["duplicates"] == 1


def test_a_document_without_realtime_is_kept(device: Device) -> None:
    body = json.dumps({"AuthToken": device.token, "Hello": {"a": 1}}).encode()
    done(device.send(body))
    assert kept_body(device) == body


@pytest.mark.parametrize(
    "field, value, shown",
    [
        ("Temperature", "hot", "temperature_celsius"),
        ("Temperature", {"c": 36}, "temperature_celsius"),
        ("Temperature", 10**30 * 10**300, "temperature_celsius"),
        ("FaceMask", "perhaps", "face_mask"),
        ("FaceMask", 7, "face_mask"),
        ("Type", ["CheckIn"], "punch_type"),
        ("Type", 3, "punch_type"),
        ("InputType", {}, "input_type"),
    ],
)
def test_a_value_that_cannot_be_read_is_null_and_the_punch_comes_all_the_same(
    device: Device, field: str, value: Any, shown: str
) -> None:
    body = json.dumps(device.punch(user="17", **{field: value})).encode()
    done(device.send(body))
    assert sorted(types(device)) == ["attendance.punch", UNKNOWN]
    punch = only(device, "attendance.punch")
    assert punch[shown] is None
    assert punch["user_id"] == "17"
    assert field in only(device, UNKNOWN)["reason"]
    assert kept_body(device) == body


@pytest.mark.parametrize("at", ["soon", "2020-13-01 00:00:00 GMT +0530", "17.09.2020 07:48", 5, {}, ""])
def test_a_punch_without_a_time_is_no_punch_but_is_kept(device: Device, at: Any) -> None:
    document = device.punch()
    document["RealTime"]["PunchLog"]["LogTime"] = at
    done(device.send(document))
    assert types(device) == [UNKNOWN]
    assert "LogTime" in only(device, UNKNOWN)["reason"]


def test_one_bad_row_of_a_batch_costs_only_itself(device: Device) -> None:
    rows = [device.punch(user=str(n))["RealTime"]["PunchLog"] for n in range(4)]
    rows[2]["LogTime"] = "never"
    done(device.send(device.envelope(PunchLog={"ReturnRowCount": "4", "Log": rows})))
    assert [event["user_id"] for event in events(device, type="attendance.punch")] == ["0", "1", "3"]
    assert "row 3" in only(device, UNKNOWN)["reason"]


@pytest.mark.parametrize("envelope", [{"OperationID": None}, {"OperationID": {}}, {"Time": "x"}, {"Time": 1}])
def test_an_envelope_that_cannot_be_read_costs_no_punch(device: Device, envelope: dict[str, Any]) -> None:
    document = device.punch()
    document["RealTime"] |= envelope
    done(device.send(document))
    assert only(device, "attendance.punch")["user_id"] == "2"


def test_a_reason_never_repeats_what_it_could_not_read(device: Device) -> None:
    template = {"Type": "Password", "UserID": "2", "Index": "PIN-998877", "Data": ["PIN-998877"]}
    done(device.send(device.envelope(UserUpdated={"Template": [template]}, **{"PIN-998877": {"a": 1}})))
    kept = events(device)
    assert kept and "998877" not in json.dumps(kept)


def test_what_was_spooled_and_is_refused_now_is_kept_and_holds_up_nothing(
    relay: Relay, device: Device, tmp_path: Path
) -> None:
    """Another version acknowledged it: a body that this one can't tell whose it is, or that it finds malformed."""
    settings = load(relay.environment)
    bodies = [b"stgid=1&userid=2&att_time=now", b"no JSON", json.dumps(device.punch("behind")).encode()]
    spool = Spool(tmp_path, make_vault(settings))
    for body in bodies:
        spool.append(Spooled(device.id, time.time(), relay.url, body))
    (segment,) = tmp_path.glob("*.spool")
    folder = settings.data_dir / "spool"
    folder.mkdir(exist_ok=True)
    arriving = shutil.copy(segment, folder / "arriving")  # whole, before a web process looks at it
    left = arriving.rename(folder / segment.name)
    wait_for(lambda: len(events(device)) == 3, 10)
    wait_for(lambda: not left.exists())
    assert types(device) == [UNKNOWN, UNKNOWN, "attendance.punch"]
    kept = events(device, type=UNKNOWN)
    assert [requests.get(event["body_url"], timeout=10).content for event in kept] == bodies[:2]
    assert kept[1]["reason"] == "The body is not JSON."


# JSON that not every parser takes


@pytest.mark.parametrize(
    "value",
    [
        b"9" * 25,
        b"9" * 6_000,
        b"1e999",
        b"-1e-999",
        b'"\\ud800"',
        b'"\\udfff\\ud800 x"',
        b'"\xff\xfe"',
        b'"a\nb\tc"',
        b'"\\u0000"',
        b"[" * 1_500 + b"]" * 1_500,
        b'{"a":' * 20_000 + b'"}]"' + b"}" * 20_000,
    ],
    ids=lambda value: repr(value[:12]),
)
@pytest.mark.parametrize("place", ["Type", "FirstName", "Unknown"])
def test_odd_json_of_a_known_device_never_holds_up_its_queue(
    device: Device, value: bytes, place: str
) -> None:
    if place == "FirstName":
        document = device.envelope(UserUpdated={"UserID": "4", "FirstName": "HERE"})
        expected = "user.updated"
    else:
        document, expected = device.punch(**{place: "HERE"}), "attendance.punch"
    done(device.send(json.dumps(document).encode().replace(b'"HERE"', value)))
    assert expected in types(device)


@pytest.mark.parametrize("constant", [b"NaN", b"Infinity", b"-Infinity"])
def test_what_json_does_not_have_is_not_json(device: Device, constant: bytes) -> None:
    body = json.dumps(device.punch(Temperature="HERE")).encode().replace(b'"HERE"', constant)
    problem(device.send(body), 400)


# Older versions of the Web API


def test_version_2_is_told_apart(device: Device) -> None:
    body = f"stgid={device.id}&request_data={quote(json.dumps(device.punch()))}".encode()
    headers = {"content-type": "application/x-www-form-urlencoded"}
    for _ in range(2):
        done(device.send(body, headers=headers))
    assert "2.0" in only(device, UNKNOWN)["reason"]
    assert types(device) == [UNKNOWN]
    assert kept_body(device) == body


def test_version_2_with_a_wrong_token_is_401(device: Device) -> None:
    document = device.punch()
    document["RealTime"]["AuthToken"] = "0" * 32
    problem(device.send(f"request_data={quote(json.dumps(document))}".encode()), 401)


def test_version_1_knows_no_token_and_is_401_that_says_so(device: Device) -> None:
    body = f"stgid={device.id}&userid=2&att_time=1600309102&att_type=in".encode()
    assert "1.0" in problem(device.send(body), 401)["detail"]
    assert events(device) == []
