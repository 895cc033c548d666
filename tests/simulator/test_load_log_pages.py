"""LoadLog returns 50 rows per response, and an OffSet to request the next 50."""

from datetime import timedelta

import pytest
from sim_tools import Caller, load_log

from simulator.clock import from_wire
from simulator.device import Device
from simulator.records import LogRow


def fill(device: Device, rows: int) -> None:
    first = from_wire("2020-09-17 08:00:00 GMT +0530")
    device.logs.extend(
        LogRow(str(number), first + timedelta(seconds=number), "CheckIn", "Face") for number in range(rows)
    )


@pytest.mark.parametrize(("rows", "pages"), [(51, [50, 1]), (100, [50, 50]), (120, [50, 50, 20])])
def test_the_pages_together_contain_all_rows_in_order(
    rows: int, pages: list[int], device: Device, caller: Caller
) -> None:
    fill(device, rows)
    users: list[str] = []
    sizes: list[int] = []
    offset = None
    while True:
        log = caller.send(load_log(offset))["PunchLog"]
        users += [row["UserID"] for row in log["Log"]]
        sizes.append(int(log["ReturnRowCount"]))
        assert log["ActualRowCount"] == str(rows)
        offset = log.get("OffSet")
        if offset is None:
            break
    assert sizes == pages
    assert users == [str(number) for number in range(rows)]


@pytest.mark.parametrize("rows", [0, 50])
def test_a_single_page_is_the_documented_response(rows: int, device: Device, caller: Caller) -> None:
    fill(device, rows)
    log = caller.send(load_log())["PunchLog"]
    assert log.keys() == {"ReturnRowCount", "Log"}
    assert (log["ReturnRowCount"], len(log["Log"])) == (str(rows), rows)


def test_a_full_log_drops_its_oldest_rows(make_device: object, caller: Caller) -> None:
    assert callable(make_device)
    device = make_device(max_logs=2)
    fill(device, 3)
    log = caller.send(load_log())["PunchLog"]
    assert [row["UserID"] for row in log["Log"]] == ["1", "2"]
