"""Simulated devices and people are marked, and are left out of attendance files unless requested."""

from __future__ import annotations

import io
import zipfile

from tests.attendance.tools import KOLKATA, a_user, at, days_ago, punch, rows
from tests.harness import Relay
from tests.relay.tools import problem


def test_a_file_contains_simulated_punches_only_if_requested(office: Relay) -> None:
    real = office.device(timezone=KOLKATA)
    simulated = office.device(simulated=True, timezone=KOLKATA)
    user, made_up, day = a_user(), a_user(), days_ago(2)
    punch(real, user, at(day, "09:00"))
    punch(simulated, made_up, at(day, "09:00"))
    punch(simulated, user, at(day, "08:00"))

    def file(path: str, **query: str) -> str:
        answer = office.call("GET", path, params=query)
        assert answer.status_code == 200, answer.text
        return answer.content.decode() if path.endswith("csv") else _sheet(answer.content)

    assert {user, made_up} <= {row["user_id"] for row in rows(office, day)}
    for ending in ("csv", "xlsx"):
        for query in ({"date": str(day)}, {"month": f"{day:%Y-%m}"}):
            content = file(f"/v1/attendance.{ending}", **query)
            assert user in content and made_up not in content and simulated.id not in content
            assert made_up in file(f"/v1/attendance.{ending}", simulated="true", **query)
            assert made_up in file(f"/v1/attendance.{ending}", device_id=simulated.id, **query)
        of_one = f"/v1/attendance/{user}.{ending}"
        assert simulated.id not in file(of_one, month=f"{day:%Y-%m}")
        assert simulated.id in file(of_one, month=f"{day:%Y-%m}", simulated="true")
    wrong = office.call("GET", "/v1/attendance.csv", params={"date": str(day), "simulated": "perhaps"})
    problem(wrong, 422, "simulated")
    # Also once the device was removed.
    assert office.call("DELETE", f"/v1/devices/{simulated.id}").status_code == 204
    assert made_up not in file("/v1/attendance.csv", date=str(day))


def _sheet(workbook: bytes) -> str:
    with zipfile.ZipFile(io.BytesIO(workbook)) as opened:
        return "".join(opened.read(name).decode() for name in opened.namelist() if name.endswith(".xml"))


def test_simulated_devices_and_their_users_are_marked(office: Relay) -> None:
    real = office.device()
    simulated = office.device(simulated=True)
    for device in (real, simulated):
        user = {"UserID": "7", "FirstName": "Asha", "Template": []}
        device.send_done(device.envelope(UserUpdated=user))
        expected = device is simulated
        assert office.get(f"/v1/devices/{device.id}")["simulated"] is expected
        (shown,) = office.get("/v1/users", params={"device_id": device.id})["data"]
        assert shown["simulated"] is expected
