"""The receivers in examples/ write every punch to the ERP once, and respond with 2xx only after that."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.harness import ROOT, wait_for
from tests.integrations import signing
from tests.integrations.programs import Program, running
from tests.services import bitrix24, erpnext, odoo, zoho
from tests.services.web import Service, Site
from tests.stage import Stage

MORNING = datetime.now(UTC).replace(hour=0, minute=0, second=1, microsecond=0)
SECRET = signing.new_secret()


def punch(user: str, at: datetime, kind: str = "check_in", **fields: Any) -> dict[str, Any]:
    """A punch event with the fields that the receivers read."""
    side = None if kind == "other" else "in" if kind.endswith("_in") else "out"
    return {
        "id": f"evt_{user}_{at:%d%H%M%S}_{kind}",
        "type": "attendance.punch",
        "test": False,
        "user_id": user,
        "occurred_at": at.isoformat(),
        "occurred_at_utc": at.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "local_date": f"{at:%Y-%m-%d}",
        "local_time": f"{at:%H:%M:%S}",
        "punch_type": kind,
        "direction": side,
        "device_id": "D1",
        "device_label": None,
        **fields,
    }


def deliver(program: Program, *punches: dict[str, Any]) -> int:
    """Posts one punch or a batch, and returns the response's status."""
    body = json.dumps(punches[0] if len(punches) == 1 else punches)
    return signing.post(program.url, body, signing.headers(body, SECRET))


def outcomes(program: Program) -> list[str]:
    return [json.loads(line)["outcome"] for line in program.printed()]


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Callable[..., Program]]:
    """Runs the receiver for an ERP, with a stand-in for the ERP."""
    with ExitStack() as stack:

        def start(name: str, service: Service, environment: Callable[[str], dict[str, str]]) -> Program:
            url = stack.enter_context(Site(service)).url
            receiver = ROOT / "examples" / name / "receiver.py"
            settings = {"WEBHOOK_SECRET": SECRET, **environment(url)}
            return stack.enter_context(running(tmp_path, sys.executable, receiver, "{port}", **settings))

        yield start


def _erpnext_at(url: str) -> dict[str, str]:
    return {"ERPNEXT_URL": url, "ERPNEXT_API_KEY": erpnext.KEY, "ERPNEXT_API_SECRET": erpnext.SECRET}


def test_erpnext_gets_each_punch_once(run: Callable[..., Program]) -> None:
    site = erpnext.ErpNext({"7": "HR-EMP-00007"})
    program = run("erpnext", site, _erpnext_at)
    known, unknown = punch("7", MORNING), punch("8", MORNING)
    site.failures = 1
    assert deliver(program, known) == 503
    assert site.checkins == []
    assert deliver(program, known) == 204
    assert deliver(program, known, unknown, punch("7", MORNING + timedelta(hours=1), "check_out")) == 204
    assert [(one["employee"], one["log_type"]) for one in site.checkins] == [
        ("HR-EMP-00007", "IN"),
        ("HR-EMP-00007", "OUT"),
    ]
    assert outcomes(program) == [
        "later: ERPNext answered 503",
        "booked",
        "already booked",
        "not booked: no employee has the Attendance Device ID 8",
        "booked",
    ]
    assert signing.post(program.url, "{}", signing.headers("{}", signing.new_secret())) == 401


def test_erpnext_a_permanently_refused_event_does_not_affect_others(run: Callable[..., Program]) -> None:
    """One employee has left but can still punch. Another's punch is refused only temporarily."""
    site = erpnext.ErpNext({str(number): f"HR-EMP-0000{number}" for number in range(1, 5)})
    site.inactive.add("HR-EMP-00002")
    program = run("erpnext", site, _erpnext_at)
    batch = [punch(str(number), MORNING) for number in range(1, 5)]
    site.failures = 1
    assert deliver(program, *batch) == 503, "the first punch has to be sent again"
    assert [one["employee"] for one in site.checkins] == ["HR-EMP-00003", "HR-EMP-00004"]
    assert deliver(program, *batch) == 204
    assert sorted(one["employee"] for one in site.checkins) == [
        "HR-EMP-00001",
        "HR-EMP-00003",
        "HR-EMP-00004",
    ]
    refused = "not booked: ERPNext refused it: Transactions cannot be created for an Inactive Employee HR-EMP-00002."
    assert outcomes(program).count(refused) == 2


def test_erpnext_gets_the_punches_of_a_relay(run: Callable[..., Program], stage: Stage) -> None:
    site = erpnext.ErpNext({"erp7": "HR-EMP-00007"})
    program = run("erpnext", site, _erpnext_at)
    device = stage.new_device()
    made = stage.relay.subscribe(program, device, events=["attendance.punch"], secret=SECRET)
    stage.relay.call("POST", f"/v1/subscriptions/{made['id']}/test", json={})
    device.send_done(device.punch("erp7"))
    wait_for(lambda: site.checkins)
    assert [one["device_id"] for one in site.checkins] == [device.id]


def test_odoo_never_has_two_open_attendances(run: Callable[..., Program]) -> None:
    database = odoo.Odoo({"7": "Asha"})
    program = run(
        "odoo",
        database,
        lambda url: {
            "ODOO_URL": url,
            "ODOO_DATABASE": odoo.DATABASE,
            "ODOO_UID": str(odoo.USER_ID),
            "ODOO_API_KEY": odoo.API_KEY,
        },
    )
    hours = [MORNING + timedelta(hours=hour) for hour in range(4)]
    sent = [
        punch("7", hours[0], "check_out"),
        punch("7", hours[1]),
        punch("7", hours[1]),
        punch("7", hours[2]),
        punch("7", hours[0], "check_out"),
        punch("7", hours[3], "check_out"),
        punch("7", hours[3], "check_out"),
        punch("9", hours[3]),
    ]
    assert [deliver(program, one) for one in sent] == [204] * len(sent)
    shown = [f"{hour:%Y-%m-%d %H:%M:%S}" for hour in hours]
    assert database.attendances == [("Asha", shown[1], shown[3])]
    assert outcomes(program) == [
        "not booked: checked out without a check-in",
        "checked in",
        "already booked",
        f"not booked: already checked in at {shown[1]} UTC, and not checked out since",
        f"not booked: arrived late: the open attendance begins later, at {shown[1]} UTC",
        "checked out",
        "already booked",
        "not booked: no employee has the Badge ID 9",
    ]


def _odoo_at(url: str) -> dict[str, str]:
    names = {"ODOO_DATABASE": odoo.DATABASE, "ODOO_UID": str(odoo.USER_ID), "ODOO_API_KEY": odoo.API_KEY}
    return {"ODOO_URL": url, **names}


def test_odoo_a_forgotten_check_out_does_not_affect_other_days(run: Callable[..., Program]) -> None:
    database = odoo.Odoo({"7": "Asha"})
    program = run("odoo", database, _odoo_at)
    days = [MORNING + timedelta(days=day) for day in range(4)]
    evening = timedelta(hours=9)
    sent = [
        punch("7", days[0]),  # without a check-out
        punch("7", days[1]),
        punch("7", days[1] + evening, "check_out"),
        punch("7", days[2]),  # without a check-out, and without a check-in the next day
        punch("7", days[3] + evening, "check_out"),
    ]
    assert [deliver(program, one) for one in sent] == [204] * len(sent)
    shown = [f"{day:%Y-%m-%d %H:%M:%S}" for day in days]
    assert database.attendances == [
        ("Asha", shown[0], shown[0]),
        ("Asha", shown[1], f"{days[1] + evening:%Y-%m-%d %H:%M:%S}"),
        ("Asha", shown[2], None),
    ]
    assert f"the check-out of {shown[0]} UTC is missing" in outcomes(program)[1]
    assert "not booked: the open attendance began too long before" in outcomes(program)[-1]


def test_odoo_deliveries_are_retried_while_the_login_fails(run: Callable[..., Program]) -> None:
    names = {"ODOO_DATABASE": odoo.DATABASE, "ODOO_UID": "2", "ODOO_API_KEY": "wrong"}
    program = run("odoo", odoo.Odoo({"7": "Asha"}), lambda url: {"ODOO_URL": url, **names})
    assert deliver(program, punch("7", MORNING)) == 503
    assert outcomes(program) == ["later: Odoo answered odoo.exceptions.AccessDenied"]


def test_zoho_people_gets_each_punch_once(run: Callable[..., Program]) -> None:
    people = zoho.Zoho()
    program = run(
        "zoho-people",
        people,
        lambda url: {
            "ZOHO_ACCOUNTS_URL": url,
            "ZOHO_PEOPLE_URL": url,
            "ZOHO_CLIENT_ID": zoho.CLIENT_ID,
            "ZOHO_CLIENT_SECRET": zoho.CLIENT_SECRET,
            "ZOHO_REFRESH_TOKEN": zoho.REFRESH_TOKEN,
        },
    )
    batch = [
        punch("7", MORNING),
        punch("80", MORNING, "break_out", employee_id="8"),
        punch("9", MORNING, "other"),
    ]
    assert deliver(program, *batch) == 204
    assert deliver(program, *batch) == 204
    at = f"{MORNING:%Y-%m-%d %H:%M:%S}"
    assert people.imported == [("7", "checkIn", at), ("8", "checkOut", at)]
    people.tokens += 1  # the old token is no longer valid
    assert deliver(program, punch("10", MORNING)) == 204
    assert people.tokens == 3
    people.locked = 1
    assert [deliver(program, punch("11", MORNING)) for _ in range(2)] == [503, 503]
    assert people.locked == 0, "no requests to Zoho during its lock of five minutes"
    assert outcomes(program)[-2:] == [
        "later: Zoho's limit is reached",
        "later: Zoho's limit was reached less than five minutes ago",
    ]
    assert "not booked: other is neither in nor out" in outcomes(program)


def test_bitrix24_gets_each_punch_once(run: Callable[..., Program]) -> None:
    portal = bitrix24.Bitrix24(5, 6)
    program = run(
        "bitrix24",
        portal,
        lambda url: {"BITRIX24_WEBHOOK": f"{url}{bitrix24.PATH}/", "BITRIX24_USERS": json.dumps({"a7": 5})},
    )
    moments = [MORNING + timedelta(seconds=second) for second in range(6)]
    portal.busy = 1
    assert deliver(program, punch("a7", moments[0])) == 503
    sent = [
        punch("a7", moments[0]),
        punch("a7", moments[0]),
        punch("a7", moments[1]),
        punch("a7", moments[2], "break_out"),
        punch("a7", moments[3], "break_in"),
        punch("a7", moments[4], "check_out"),
        punch("a7", moments[5], "check_out"),
        punch("6", moments[0] - timedelta(days=2)),
        punch("99", moments[0]),
        punch("b8", moments[0]),
    ]
    assert [deliver(program, one) for one in sent] == [204] * len(sent)
    day = portal.days[5]
    assert [datetime.fromisoformat(day[name]) for name in ("TIME_START", "TIME_FINISH")] == [
        moments[0],
        moments[4],
    ]
    assert outcomes(program) == [
        "later: Bitrix24 answered 503 QUERY_LIMIT_EXCEEDED",
        "day opened",
        f"not booked: the work day has been opened since {moments[0].isoformat()}",
        "break begun",
        "break ended",
        "day closed",
        "not booked: the work day is not open",
        f"not booked: the punch is from {moments[0] - timedelta(days=2):%Y-%m-%d}, and Bitrix24 accepts only today's",
        "not booked: : User not found",
        "not booked: BITRIX24_USERS names no Bitrix24 user for b8",
    ]
