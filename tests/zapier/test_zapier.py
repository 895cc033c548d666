"""The Zapier app: its own tests, which run it in Zapier's core with a relay and the simulator, and further tests."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from app import openapi
from tests import node
from tests import stage as stages
from tests.docs.conftest import block
from tests.harness import API_KEY, ROOT, Receiver
from tests.stage import Stage

Json = dict[str, Any]

APP = ROOT / "zapier-app"
TESTS = sorted((APP / "test").glob("*.test.mjs"))
# Without this, Node.js would wait for kept-alive connections after the last test.
OPTIONS = ("--test", "--test-force-exit", "--test-reporter=spec")

PAGE = "docs/integrations/zapier.md"
# Further scopes that the page names: for card numbers, commands that delete everything, and employees.
MORE_SCOPES = ("templates:read", "actions:destructive", "devices:write")

# Events and actions with a trigger or action of their own. Any Event and Run a Command cover all of them.
TRIGGERS = {
    "new_punch": ["attendance.punch"],
    "new_attendance_photo": ["attendance.photo"],
    "user_updated": ["user.updated"],
    "user_deleted": ["user.deleted"],
    "credential_updated": ["credential.updated"],
    "device_clock_changed": ["device.time_changed"],
    "attendance_day_changed": ["attendance.day_changed"],
    "device_silent": ["device.silent"],
    "device_back": ["device.back"],
    "unknown_user": ["user.unknown"],
    "command_finished": ["command.completed", "command.failed", "command.unknown", "command.cancelled"],
}
CREATES = {
    "add_user": "add-user",
    "enable_user": "enable-user",
    "disable_user": "disable-user",
    "delete_user": "delete-user",
    "enroll_fingerprint": "enroll-fingerprint",
    "set_access_time": "update-access-time",
    "load_punch_log": "load-log",
    "resend_punches": "resend-attendance",
    "resend_users": "resend-all-user",
}
# Actions that change the relay's data and send no command.
OTHERS = {"create_employee", "update_employee"}

pytestmark = pytest.mark.timeout(480)  # the first test installs the packages in the lock file


def node_program() -> str:
    program = shutil.which("node")
    assert program, "Node.js is needed: https://nodejs.org, or apt-get install nodejs npm"
    return program


@pytest.fixture(scope="session")
def app() -> Path:
    """The app's folder, with the packages in its lock file installed, and its catalog built."""
    built = node.npm(node.installed(APP), "run", "catalog")
    assert built.returncode == 0, built.stdout
    return APP


@pytest.fixture(scope="session")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A separate relay and simulator."""
    settings = {
        "RELAY_COMMAND_POLL_SCHEDULE": ",".join(["0.5"] * 50),
        "RELAY_PUBLIC_URL": "https://relay.example.com/attendance",
    }
    with stages.stage(tmp_path_factory.mktemp("stage"), **settings) as made:
        yield made


@pytest.fixture(scope="session")
def environment(stage: Stage) -> dict[str, str]:
    """URLs and keys for test/stage.mjs. The key has the scopes named in docs/integrations/zapier.md."""
    scopes = [*re.findall(r"--scope (\S+)", block(PAGE, "run", "key")), *MORE_SCOPES]
    answer = stage.relay.call("POST", "/v1/api-keys", json={"name": "Zapier", "scopes": scopes})
    return {
        "RELAY_URL": stage.relay.url,
        "RELAY_API_KEY": API_KEY,
        "CONNECTION_KEY": answer.json()["key"],
        "SIMULATOR_URL": stage.simulator.url,
    }


@pytest.mark.parametrize("path", TESTS, ids=[path.name.removesuffix(".test.mjs") for path in TESTS])
def test_its_own_tests_pass(path: Path, app: Path, environment: dict[str, str]) -> None:
    ran = node.run(app, node_program(), *OPTIONS, path, timeout=300, **environment)
    failed = ran.stdout.partition("✖ failing tests:")[2]
    assert ran.returncode == 0, failed or ran.stdout
    counts = {name: int(count) for name, count in re.findall(r"^ℹ (\w+) (\d+)$", ran.stdout, re.M)}
    assert counts["pass"] >= 2 and counts["pass"] == counts["tests"], counts


# Checks by its own tools


@pytest.fixture
def quiet(tmp_path: Path) -> dict[str, str]:
    """Another home folder, because Zapier's command line writes into it."""
    return {"HOME": str(tmp_path)}


@pytest.mark.parametrize(
    ("script", "output"),
    [("validate", "This project is structurally sound!"), ("format:check", "All matched files")],
)
def test_it_is_valid_and_formatted(script: str, output: str, app: Path, quiet: dict[str, str]) -> None:
    ran = node.npm(app, "run", script, **quiet)
    assert ran.returncode == 0 and output in ran.stdout, ran.stdout


def test_the_published_app_can_be_loaded_by_itself(app: Path, quiet: dict[str, str]) -> None:
    """Zapier's command line unpacks the build in another folder and loads it there."""
    ran = node.npm(app, "run", "build", **quiet)
    assert ran.returncode == 0 and "Build complete!" in ran.stdout, ran.stdout
    with zipfile.ZipFile(app / "build" / "build.zip") as archive:
        definition = json.loads(archive.read("definition.json"))
        names = {name.split("/")[0] for name in archive.namelist()}
    assert {"new_punch", "any_event"} <= set(definition["triggers"])
    assert not names & {"test", "build", ".npmrc"}


def test_zapiers_command_line_runs_it_as_in_the_readme(
    app: Path, quiet: dict[str, str], stage: Stage
) -> None:
    """Runs the README's commands except those that the fixture ran: `npm install`, and building the catalog."""
    script = block("zapier-app/README.md", "run", "invoke")
    for old, new in {
        "npm install\nnpm run catalog\n": "",
        "http://127.0.0.1:8000": stage.relay.url,
        "$(cat ../.data/api_key)": API_KEY,
        "VIRTUAL01": stage.device.id,
    }.items():
        assert old in script
        script = script.replace(old, new)
    ran = node.run(app, "bash", "-euc", script, **quiet)
    assert ran.returncode == 0, ran.stdout
    assert '"scopes": [' in ran.stdout and '"status": "completed"' in ran.stdout
    assert f'"id": "{stage.device.id}"' in ran.stdout
    assert "1234" not in ran.stdout


def test_the_lock_file_names_no_registry_and_versions_are_exact() -> None:
    lock = json.loads((APP / "package-lock.json").read_text())
    assert not any("resolved" in package for package in lock["packages"].values())
    document = json.loads((APP / "package.json").read_text())
    kinds = ("dependencies", "devDependencies", "optionalDependencies")
    versions = [version for kind in kinds for version in document[kind].values()]
    assert len(versions) >= 4 and all(version[0].isdigit() for version in versions)


# The API's description, read without the catalog from which the app is made


@pytest.fixture(scope="session")
def api() -> Json:
    described: Json = yaml.safe_load((ROOT / "openapi.yaml").read_text())
    return described


@pytest.fixture(scope="session")
def offered(app: Path) -> Json:
    """What the app offers, according to tests/zapier/definition.cjs."""
    ran = node.run(app, node_program(), ROOT / "tests" / "zapier" / "definition.cjs", app)
    assert ran.returncode == 0, ran.stdout
    made: Json = json.loads(ran.stdout)
    return made


def target(api: Json, part: Json) -> Json:
    """Return a part of the description. A reference is replaced by its component."""
    if "$ref" not in part:
        return part
    _, _, kind, name = part["$ref"].split("/")
    return target(api, api["components"][kind][name])


def resolved(api: Json, schema: Json) -> Json:
    """Return a schema's properties and required names, including those of its references and `allOf` parts."""
    schema = target(api, schema)
    parts = [resolved(api, part) for part in schema.get("allOf", [])] + [schema]
    return {
        "properties": {key: value for part in parts for key, value in part.get("properties", {}).items()},
        "required": [name for part in parts for name in part.get("required", [])],
    }


def names(properties: Json, api: Json) -> set[str]:
    """Return the names of properties as in the app's output fields, where items of lists are line items."""
    found = set()
    for name, part in properties.items():
        inner = resolved(api, part["items"])["properties"] if "items" in part else None
        found |= {f"{name}[]{one}" for one in inner} if inner is not None else {name}
    return found


def test_every_event_can_trigger_with_all_of_its_fields(api: Json, offered: Json) -> None:
    schemas = {
        event: resolved(api, hook["post"]["requestBody"]["content"]["application/json"]["schema"])
        for event, hook in openapi.document(webhooks=True)["webhooks"].items()
    }
    assert set(offered["events"]) == set(schemas)
    for event, fields in offered["events"].items():
        assert set(fields) == with_file(event, schemas), event
    assert set(offered["triggers"]) == {*TRIGGERS, "any_event"}
    for key, events in TRIGGERS.items():
        for event in events:
            assert set(offered["triggers"][key]) == with_file(event, schemas), key


def with_file(event: str, schemas: dict[str, Json]) -> set[str]:
    """Return the names of an event's fields. A photo event also has a file."""
    return set(schemas[event]["properties"]) | ({"photo"} if event == "attendance.photo" else set())


def test_every_action_is_offered_with_all_of_its_fields(api: Json, offered: Json) -> None:
    actions = {
        path.rsplit("/", 1)[1]: item["post"] for path, item in api["paths"].items() if "/actions/" in path
    }
    assert set(offered["actions"]) == set(actions) and len(actions) >= 28
    for name, post in actions.items():
        assert_same_fields(api, post, offered["actions"][name], without="command")
    assert set(offered["creates"]) == {*CREATES, *OTHERS}
    for key, name in CREATES.items():
        assert_same_fields(api, actions[name], offered["creates"][key])


def assert_same_fields(api: Json, post: Json, made: Json, without: str | None = None) -> None:
    """Check that a step's form matches the API's request body, and its result the response."""
    body = resolved(api, post["requestBody"]["content"]["application/json"]["schema"])
    fields = {
        "password" if field["key"] == "pin" else field["key"]: field
        for field in made["fields"]
        if field["key"] != without
    }
    assert set(fields) == set(body["properties"])
    for name, field in fields.items():
        schema = body["properties"][name]
        assert field["required"] == (name in body["required"]), name
        assert set(field.get("choices", ())) == set(schema.get("enum", ())), name
        assert (field["type"] in ("integer", "boolean")) == (schema["type"] in ("integer", "boolean")), name
    response = target(api, post["responses"]["200"])
    answer = resolved(api, response["content"]["application/json"]["schema"])
    assert set(made["result"]) == names(answer["properties"], api)


# Instructions in docs/integrations/zapier.md that don't need the app


def test_webhooks_by_zapier_receives_events_and_sends_commands_as_documented(stage: Stage) -> None:
    receiver = Receiver()

    def run(name: str, **replaced: str) -> Json:
        script = block(PAGE, "run", name).replace("http://127.0.0.1:8000", stage.relay.url)
        for old, new in replaced.items():
            assert old in script
            script = script.replace(old, new)
        ran = subprocess.run(
            ["bash", "-euc", script], env={**os.environ, "KEY": API_KEY}, capture_output=True, check=True
        )
        answer: Json = json.loads(ran.stdout)
        return answer

    hook = "https://hooks.zapier.com/hooks/catch/your/hook/"
    subscription = run("subscribe", **{hook: receiver.url})
    run("sample", **{"sub_…": subscription["id"]})
    (got,) = receiver.wait(1)
    assert (got.json["type"], got.json["test"]) == ("attendance.punch", True)
    assert stage.relay.call("DELETE", f"/v1/subscriptions/{subscription['id']}").status_code == 204
    receiver.close()

    body = json.loads(block(PAGE, "body", "add-user")) | {"device_id": stage.new_device().id}
    headers = {"Prefer": "wait=20"}
    answer = stage.relay.call("POST", "/v1/actions/add-user", json=body, headers=headers)
    assert (answer.status_code, answer.json()["status"]) == (200, "completed")
