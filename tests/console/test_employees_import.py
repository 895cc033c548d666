"""Employees imported in the console: columns are chosen, a preview changes nothing, and a bad row stops the import."""

from __future__ import annotations

import io
import re
from urllib.parse import urlencode

import pytest
import requests
import xlsxwriter

from tests.attendance.tools import a_user
from tests.console.tools import Client
from tests.harness import API_KEY
from tests.relay.tools import key_with
from tests.stage import Stage

PATH = "/console/attendance/employees"


@pytest.fixture(scope="module")
def client(stage: Stage) -> Client:
    made = Client(stage.relay)
    made.sign_in(API_KEY)
    return made


def _workbook(*rows: tuple[str, ...]) -> bytes:
    buffer = io.BytesIO()
    with xlsxwriter.Workbook(buffer) as book:
        sheet = book.add_worksheet()
        for line, row in enumerate(rows):
            sheet.write_row(line, 0, row)
    return buffer.getvalue()


def _send(client: Client, what: str, data: bytes, **columns: int | str) -> requests.Response:
    match = re.search(r'name="csrf-token" content="([0-9a-f]+)"', client.get(PATH).text)
    assert match
    headers = {"X-CSRF-Token": match[1], "Accept": "*/*"}
    url = f"{client.url}{PATH}/{what}?{urlencode(columns)}"
    return client.session.post(url, data=data, headers=headers, timeout=20)


def test_a_preview_suggests_columns_and_changes_nothing(stage: Stage, client: Client) -> None:
    user = a_user()
    data = _workbook(("AC-No.", "Employee Code", "Name", "<b>"), (user, "E1", "Ana <i>", "x"))
    shown = _send(client, "preview", data)
    assert shown.status_code == 200
    assert "adds 1, changes 0" in shown.text and "Ana &lt;i&gt;" in shown.text and "&lt;b&gt;" in shown.text
    assert '<option value="0" selected>AC-No.</option>' in shown.text and "Import employees: 1" in shown.text
    assert stage.relay.call("GET", f"/v1/employees/{user}").status_code == 404
    taken = _send(client, "import", data, user_id=0, employee_id=1, name=3, device_id="")
    assert taken.json()["added"] == 1
    assert stage.relay.get(f"/v1/employees/{user}")["name"] == "x"
    assert "changes 1 and leaves 0" in _send(client, "preview", data).text


def test_problems_are_shown_and_nothing_is_imported(stage: Stage, client: Client) -> None:
    user = a_user()
    data = f"Badge,Code\n{user},E1\n{user}x,\n".encode()
    shown = _send(client, "preview", data, user_id=0, employee_id=1)
    assert (
        "line 3, employee_id (column &#39;Code&#39;): is empty" in shown.text and "<button" not in shown.text
    )
    refused = _send(client, "import", data, user_id=0, employee_id=1)
    assert refused.status_code == 422 and "line 3, employee_id" in refused.json()["detail"]
    assert stage.relay.call("GET", f"/v1/employees/{user}").status_code == 404
    assert "no column is chosen for employee_id" in _send(client, "preview", data, user_id=0).text
    assert "the file has no column" in _send(client, "preview", data, user_id=0, employee_id=9).text
    assert "Save it as .xlsx" in _send(client, "preview", b"\xd0\xcf\x11\xe0").text
    assert _send(client, "import", data).status_code == 422


def test_it_needs_the_scope_and_the_page_s_token(stage: Stage, client: Client) -> None:
    reader = key_with(stage.relay, "events:read")
    for what in ("preview", "import"):
        refused = requests.post(f"{stage.relay.url}{PATH}/{what}", data=b"x", headers={"X-API-Key": reader})
        assert refused.status_code == 403
        foreign = client.session.post(f"{stage.relay.url}{PATH}/{what}", data=b"x")
        assert foreign.status_code == 403
