"""Authentic callbacks that aren't recognised are stored and reported by an event. Their readable parts are used."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import requests

from app.settings.table import load
from app.store import make_vault
from app.store.spool.spool import Spool, Spooled
from tests.harness import API_KEY, Device, Relay, wait_for
from tests.relay.tools import KEY, counters, done, events, only, problem, sealed, types

UNKNOWN = "callback.unrecognised"


def with_key(url: str) -> requests.Response:
    return requests.get(url, headers={"X-API-Key": API_KEY}, timeout=10)


def kept_body(device: Device) -> bytes:
    """Return the whole body of a device's only callback.unrecognised, with a key that has templates:read."""
    answer = with_key(only(device, UNKNOWN)["body_url"])
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
def test_a_callback_of_an_unknown_shape_is_stored_completely(
    relay: Relay, section: dict[str, Any], key: str | None
) -> None:
    device = relay.device(security_key=key)
    body = json.dumps(device.envelope(**section), indent=1).encode()
    for _ in range(2):
        done(device.send(sealed(body) if key else body))
    event = only(device, UNKNOWN)
    assert event["reason"]
    assert kept_body(device) == body
    assert counters(device)["unrecognised"] == 1
    assert counters(device)["duplicates"] == 1


def test_a_callback_without_realtime_is_stored(device: Device) -> None:
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
def test_an_unreadable_value_is_null_and_the_punch_is_published(
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
def test_a_punch_without_a_time_is_stored_but_not_published(device: Device, at: Any) -> None:
    document = device.punch()
    document["RealTime"]["PunchLog"]["LogTime"] = at
    done(device.send(document))
    assert types(device) == [UNKNOWN]
    assert "LogTime" in only(device, UNKNOWN)["reason"]


def test_an_invalid_row_of_a_batch_does_not_affect_others(device: Device) -> None:
    rows = [device.punch(user=str(n))["RealTime"]["PunchLog"] for n in range(4)]
    rows[2]["LogTime"] = "never"
    done(device.send(device.envelope(PunchLog={"ReturnRowCount": "4", "Log": rows})))
    assert [event["user_id"] for event in events(device, type="attendance.punch")] == ["0", "1", "3"]
    assert "row 3" in only(device, UNKNOWN)["reason"]


@pytest.mark.parametrize("envelope", [{"OperationID": None}, {"OperationID": {}}, {"Time": "x"}, {"Time": 1}])
def test_an_unreadable_envelope_does_not_prevent_a_punch(device: Device, envelope: dict[str, Any]) -> None:
    document = device.punch()
    document["RealTime"] |= envelope
    done(device.send(document))
    assert only(device, "attendance.punch")["user_id"] == "2"


def test_a_reason_never_repeats_the_unreadable_value(device: Device) -> None:
    template = {"Type": "Password", "UserID": "2", "Index": "PIN-998877", "Data": ["PIN-998877"]}
    done(device.send(device.envelope(UserUpdated={"Template": [template]}, **{"PIN-998877": {"a": 1}})))
    stored = events(device)
    assert stored and "998877" not in json.dumps(stored)


def test_spooled_callbacks_that_are_now_refused_are_kept_and_do_not_block_others(
    relay: Relay, device: Device, tmp_path: Path
) -> None:
    """Another version acknowledged them: one can't be assigned to a device by this version, one is malformed."""
    settings = load(relay.environment)
    bodies = [b"stgid=1&userid=2&att_time=now", b"no JSON", json.dumps(device.punch("behind")).encode()]
    spool = Spool(tmp_path, make_vault(settings))
    for body in bodies:
        spool.append(Spooled(device.id, time.time(), relay.url, body))
    (segment,) = tmp_path.glob("*.spool")
    folder = settings.data_dir / "spool"
    folder.mkdir(exist_ok=True)
    arriving = shutil.copy(segment, folder / "arriving")  # complete before a web process looks at it
    left = arriving.rename(folder / segment.name)
    wait_for(lambda: len(events(device)) == 3, 10)
    wait_for(lambda: not left.exists())
    assert types(device) == [UNKNOWN, UNKNOWN, "attendance.punch"]
    stored = events(device, type=UNKNOWN)
    assert [with_key(event["body_url"]).content for event in stored] == bodies[:2]
    assert stored[1]["reason"] == "The body is not JSON."


# JSON that not every parser accepts


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
def test_unusual_json_from_a_registered_device_never_blocks_its_queue(
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
def test_constants_outside_json_are_refused(device: Device, constant: bytes) -> None:
    body = json.dumps(device.punch(Temperature="HERE")).encode().replace(b'"HERE"', constant)
    problem(device.send(body), 400)


# Older versions of the Web API


def test_version_2_is_recognised(device: Device) -> None:
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


def test_version_1_has_no_token_and_is_401_with_a_message(device: Device) -> None:
    body = f"stgid={device.id}&userid=2&att_time=1600309102&att_type=in".encode()
    assert "1.0" in problem(device.send(body), 401)["detail"]
    assert events(device) == []


def _unread(device: Device) -> list[str]:
    """Return the reasons of a device's callback.unrecognised events, oldest first."""
    return [event["reason"] for event in events(device, type=UNKNOWN)]


@pytest.mark.parametrize(
    ("section", "names"),
    [
        ({"UserUpdated": {"UserID": "2", "Badge": {"No": "0004829371"}}}, "UserUpdated.badge"),
        ({"UserUpdated": {"UserID": "2"}, "Shift": {"Code": 4829371}}, "RealTime.shift"),
        ({"UserDeleted": [{"UserID": "2", "By": "4829371"}], "AuthLevel": "4829371"}, "RealTime.authlevel"),
        (
            {"UserUpdated": {"Template": [{"Type": "Card", "UserID": "2", "Data": "1", "Site": "4829371"}]}},
            "UserUpdated.Template.site",
        ),
        ({"UserUpdated": {"UserID": "2", "4829371": "a name that may be a PIN"}}, "UserUpdated.…"),
        (
            {"UserUpdated": {"Template": {"Type": "Card", "UserID": "2", "Data": "1"}, "FirstName": "A"}},
            "firstname",
        ),
    ],
)
def test_unknown_fields_of_a_recognised_callback_are_reported_without_values(
    relay: Relay, section: dict[str, Any], names: str
) -> None:
    device = relay.device()
    device.send_done(device.envelope(**section))
    assert types(device)[0] != UNKNOWN, "the callback must still be processed"
    (reason,) = _unread(device)
    assert "The callback was processed, but these fields in it are unknown: " in reason and names in reason
    assert "4829371" not in reason
    assert "4829371" in kept_body(device).decode() or names == "firstname"


def test_an_unknown_shape_is_reported_once_per_device(relay: Relay) -> None:
    """The values and the process don't matter. A different shape is reported again."""
    device, other = relay.device(), relay.device()
    for number in range(3):
        device.send_done(device.punch(user=str(number), Shift=f"S{number}"))
    relay.kill("web")
    relay.start("web")
    device.send_done(device.punch(user="9", Shift="S9"))
    assert types(device).count("attendance.punch") == 4
    assert len(_unread(device)) == 1
    device.send_done(device.punch(user="9", Shift="S9", Zone="Z"))
    other.send_done(other.punch(Shift="S1"))
    assert [reason.rpartition(": ")[2] for reason in _unread(device)] == [
        "PunchLog.shift.",
        "PunchLog.shift, PunchLog.zone.",
    ]
    assert len(_unread(other)) == 1


def test_the_number_of_reports_per_device_and_day_is_limited(relay: Relay) -> None:
    """Each new name would create an event. All punches are still published, and unreported names are counted."""
    device, other = relay.device(), relay.device()
    before = counter(relay)
    for number in range(12):
        device.send_done(device.punch(user=str(number), **{"field" + "x" * number: "1"}))
    assert types(device).count("attendance.punch") == 12
    reported = _unread(device)
    # It may be after midnight UTC by now.
    assert 5 <= len(reported) <= 10
    device.send_done(device.punch(user="99", **{"field": "2"}))  # this name was reported before
    wait_for(lambda: counter(relay) - before == 12 - len(_unread(device)), 30)
    other.send_done(other.punch(field="1"))
    assert len(_unread(other)) == 1


def counter(relay: Relay) -> float:
    name = "cams_relay_unknown_fields_not_reported_total "
    (line,) = [line for line in relay.call("GET", "/metrics").text.splitlines() if line.startswith(name)]
    return float(line.split()[1])


@pytest.mark.parametrize("photo", [{"Photo": {"UserID": "2", "Data": "%"}}, {"Photo": "no picture!"}])
@pytest.mark.parametrize("form", ["Photo", "Template"])
def test_a_users_photo_that_is_not_base64_is_reported_and_not_stored(
    device: Device, form: str, photo: dict[str, Any]
) -> None:
    if form == "Template":
        data = photo["Photo"] if isinstance(photo["Photo"], str) else photo["Photo"]["Data"]
        photo = {"Template": [{"Type": "UserPhoto", "UserID": "2", "Data": data}]}
    device.send_done(device.envelope(UserUpdated={"UserID": "2", "FirstName": "Asha", **photo}))
    assert "Base64" in only(device, UNKNOWN)["reason"]
    assert types(device) == ["user.updated", UNKNOWN]


def test_empty_and_documented_fields_are_not_reported(relay: Relay) -> None:
    device = relay.device()
    device.send_done(device.punch(Shift="", Zone=None, Tags=[], Temperature="36.8", FaceMask=True))
    device.send_done({**device.punch(user="8"), "Extra": {}})
    assert types(device) == ["attendance.punch", "attendance.punch"]
