"""Code that blocks a web process is detected and reported."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from marshmallow import ValidationError

from app.attendance.employees import EmployeeRow, employee, from_csv, from_rows
from app.base.yielding import in_turns
from app.limits.loop_guard import LoopGuard, place_of
from tests.harness import ROOT

HELD = """
from gevent import monkey; monkey.patch_all()
import logging, sys, time
import gevent
from gevent.monkey import get_original
from app.limits.loop_guard import LoopGuard
logging.basicConfig(level=logging.WARNING, stream=sys.stdout, format="%(message)s")
guard = LoopGuard()
guard.start()
gevent.sleep(0.2)
sleep = get_original("time", "sleep")
def compute_for_long():
    sleep(1.5)
compute_for_long()
gevent.sleep(0.3)
compute_for_long()
gevent.sleep(0.3)
assert guard.holds >= 2 and guard.longest > 1, (guard.holds, guard.longest)
"""

TURNS = """
from gevent import monkey; monkey.patch_all()
import gevent
from app.attendance.employees import from_rows
seen = []
def other():
    while True:
        seen.append(1)
        gevent.sleep(0)
gevent.spawn(other)
assert len(from_rows([{"user_id": str(n), "employee_id": "E"} for n in range(2_000)])) == 2_000
assert len(seen) >= 9, len(seen)
"""


def run(program: str) -> str:
    ran = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=100
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def test_a_blocked_event_loop_is_logged_with_the_function_once_a_minute() -> None:
    (line,) = (line for line in run(HELD).splitlines() if "event loop" in line)
    assert "compute_for_long" in line


def test_the_innermost_function_of_the_relay_is_named() -> None:
    frames: list[str] = []

    class Row(dict[str, str]):
        def get(self, *names: Any) -> Any:
            frames.append(place_of(sys._getframe()))
            return super().get(*names)

    from_rows([Row(user_id="1", employee_id="E")])
    assert frames and frames[0].startswith("app/attendance/employees.py:")


def test_a_long_block_is_a_temporary_warning() -> None:
    guard = LoopGuard()
    guard.note(0.4, "app/x.py:1 in short")
    assert guard.trouble() is None
    guard.note(7.0, "app/x.py:1 in long")
    assert "7.0 s in app/x.py:1 in long" in (guard.trouble() or "")


def test_importing_many_employees_lets_other_requests_run() -> None:
    run(TURNS)


def test_the_largest_list_of_employees_is_imported() -> None:
    lines = "\n".join(f"{number},E{number},Asha" for number in range(100_000))
    assert len(from_csv(f"user_id,employee_id,name\n{lines}".encode())) == 100_000
    assert EmployeeRow().load({"user_id": "1", "employee_id": "E"})["name"] is None


@pytest.mark.parametrize("name", [None, "", " Asha ", "x" * 200, "x" * 201, 5])
@pytest.mark.parametrize("user_id", ["7", " 7 ", "", " ", "x" * 128, "x" * 129, 7, None])
def test_the_fast_path_for_rows_gives_the_same_result_as_the_schema(user_id: Any, name: Any) -> None:
    row = {"user_id": user_id, "employee_id": " E ", "name": name}
    try:
        loaded = EmployeeRow().load(row)
    except ValidationError as error:
        with pytest.raises(ValidationError) as refused:
            employee(row)
        assert refused.value.messages == error.messages
    else:
        assert employee(row) == (loaded["user_id"], loaded["employee_id"], loaded["name"] or None, None)


@pytest.mark.parametrize("count", [0, 1, 200, 401])
def test_taking_turns_skips_no_items(count: int) -> None:
    assert list(in_turns(range(count))) == list(range(count))
