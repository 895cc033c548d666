"""The Apps Script in examples/google-sheets fills a sheet from a relay, with stand-ins for Google's services."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.harness import ROOT, Device, wait_for
from tests.integrations.programs import Program, running
from tests.stage import Stage

CODE = ROOT / "examples" / "google-sheets" / "Code.gs"
WEB_APP = Path(__file__).parent / "google-sheets" / "web_app.mjs"
KEY = "made-up-key"


@pytest.fixture
def web_app(tmp_path: Path) -> Iterator[Program]:
    """The web app with a sheet of only four rows, so that the sheet has to grow."""
    with running(tmp_path, "node", WEB_APP, "{port}", CODE, KEY, "4") as made:
        yield made
        assert "the lock was not released" not in made.failed()


def _rows(web_app: Program) -> list[dict[str, Any]]:
    """The rows below the header, each a dict by column name."""
    header, *rows = requests.get(f"{web_app.url}/rows", timeout=5).json()["rows"] or [[]]
    return [dict(zip(header, row, strict=True)) for row in rows]


def _subscribe(stage: Stage, web_app: Program, device: Device, **fields: Any) -> dict[str, Any]:
    """Subscribes as the documentation page says."""
    target = f"{web_app.url}/exec?key={KEY}"
    return stage.relay.subscribe(
        web_app, device, **{"target_url": target, "events": ["attendance.punch"]} | fields
    )


def _post(web_app: Program, body: Any, key: str = KEY) -> int:
    """Posts a delivery and returns the status of Google's response."""
    return requests.post(
        f"{web_app.url}/exec", params={"key": key}, json=body, timeout=5, allow_redirects=False
    ).status_code


def test_punches_become_rows(stage: Stage, web_app: Program) -> None:
    device = stage.new_device()
    _subscribe(stage, web_app, device)
    device.send_done(device.punch("007"))
    (row,) = wait_for(lambda: _rows(web_app))
    (event,) = stage.relay.events(device_id=device.id, user_id="007")
    assert row == {name: event[name] if event[name] is not None else "" for name in row}
    assert row["user_id"] == "007"  # a cell would turn this into the number 7


def test_a_batch_is_written_in_one_call(stage: Stage, web_app: Program) -> None:
    device = stage.new_device()
    _subscribe(stage, web_app, device, batch_max=6, batch_wait_ms=60_000, max_in_flight=1)
    for _ in range(6):
        device.send_done(device.punch())
    rows = wait_for(lambda: _rows(web_app))
    punches = stage.relay.events(device_id=device.id, type="attendance.punch")
    assert [row["id"] for row in rows] == [event["id"] for event in punches][-6:]
    assert requests.get(f"{web_app.url}/rows", timeout=5).json()["calls"] == 1


def test_the_relay_retries_while_the_sheet_is_busy(stage: Stage, web_app: Program) -> None:
    requests.put(f"{web_app.url}/busy", timeout=5)
    device = stage.new_device()
    subscription = _subscribe(stage, web_app, device)
    device.send_done(device.punch())
    path = f"/v1/subscriptions/{subscription['id']}/deliveries"
    wait_for(lambda: [row["response_status"] for row in stage.relay.get(path)["data"]] == [302])
    assert not _rows(web_app)
    requests.delete(f"{web_app.url}/busy", timeout=5)
    (row,) = wait_for(lambda: _rows(web_app))
    assert row["device_id"] == device.id


def test_duplicates_result_in_one_row(web_app: Program) -> None:
    for body in ({"id": "evt_1"}, {"id": "evt_1"}, [{"id": "evt_1"}, {"id": "evt_2"}], [{"id": "evt_2"}]):
        assert _post(web_app, body) == 200
    assert [row["id"] for row in _rows(web_app)] == ["evt_1", "evt_2"]


def test_a_name_is_never_a_formula(web_app: Program) -> None:
    event = {"id": "evt_1", "user_name": '=IMPORTXML("http://127.0.0.1/", "//a")', "device_label": "+1"}
    assert _post(web_app, event) == 200
    (row,) = _rows(web_app)
    assert (row["user_name"], row["device_label"]) == (event["user_name"], event["device_label"])


@pytest.mark.parametrize("key", ["", "made-up-kez", "made-up-key "])
def test_a_wrong_key_writes_nothing(web_app: Program, key: str) -> None:
    assert _post(web_app, {"id": "evt_1"}, key) == 302
    assert _rows(web_app) == []


def test_without_a_key_in_its_properties_the_script_writes_nothing(tmp_path: Path) -> None:
    with running(tmp_path, "node", WEB_APP, "{port}", CODE, "", "4") as web_app:
        assert _post(web_app, {"id": "evt_1"}, "") == 302
        assert _rows(web_app) == []


def test_an_answer_that_is_not_json_is_not_a_success(web_app: Program) -> None:
    """Google responds with 200 if the script throws, which the relay would take as delivered."""
    answer = requests.post(
        f"{web_app.url}/exec", params={"key": KEY}, data="no JSON", timeout=5, allow_redirects=False
    )
    assert answer.status_code == 302
