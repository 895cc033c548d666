"""The TypeScript client: its types, package, own tests and examples, with a running relay and a simulated device."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests import node
from tests.harness import API_KEY, ROOT, Receiver, verify, wait_for
from tests.stage import Stage, stage

CLIENT = ROOT / "clients" / "typescript"
NARROWED = """
import type { Event } from 'cams-relay-client';
export function shown(event: Event): string | null {
  return event.type === 'attendance.punch' ? event.punch_type : event.id;
}
// @ts-expect-error Only some types have this field.
export const wrong = (event: Event) => event.punch_type;
"""


@pytest.fixture(scope="module", autouse=True)
def built() -> None:
    """The client as tsc builds it, in strict mode. The examples and tests import it by its name."""
    made = node.npm(node.installed(CLIENT), "run", "--silent", "build")
    assert made.returncode == 0, made.stdout


@pytest.fixture(scope="module")
def staged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with stage(tmp_path_factory.mktemp("client")) as made:
        yield made


def program(staged: Stage, *arguments: str | Path, **environment: str) -> str:
    """Run Node.js, and return its output."""
    ran = node.run(
        CLIENT, "node", *arguments, RELAY_URL=staged.relay.url, RELAY_API_KEY=API_KEY, **environment
    )
    assert ran.returncode == 0, ran.stdout
    return ran.stdout


def test_the_clients_own_tests_pass(staged: Stage) -> None:
    device = staged.relay.device()
    for user in ("31", "32", "33"):
        device.send_done(device.punch(user))
    assert "fail 0" in program(
        staged, "--test", "--test-reporter=tap", "test/client.test.mjs", DEVICE=device.id
    )


def test_the_type_of_an_event_decides_which_fields_it_has() -> None:
    source = CLIENT / "dist" / "narrowed.ts"
    source.write_text(NARROWED)
    try:
        options = ("--noEmit", "--strict", "--module", "nodenext", "--target", "es2022")
        ran = node.run(CLIENT, "node_modules/.bin/tsc", *options, source)
        assert ran.returncode == 0, ran.stdout
    finally:
        source.unlink()


def test_a_package_contains_the_code_and_the_types() -> None:
    ran = node.npm(CLIENT, "pack", "--dry-run", "--json", "--ignore-scripts")
    names = {entry["path"] for entry in json.loads(ran.stdout)[0]["files"]}
    assert {"dist/index.js", "dist/index.d.ts", "dist/types.d.ts", "LICENSE", "README.md"} <= names
    assert not any(name.startswith(("test", "src", "node_modules")) for name in names)


def test_yesterdays_punches_are_copied_in_javascript(staged: Stage) -> None:
    at = datetime.now(UTC).replace(hour=9, minute=0, second=0, microsecond=0) - timedelta(days=1)
    staged.device.send_done(staged.device.punch("41", at))
    staged.device.send_done(staged.device.punch("42", at - timedelta(days=1)))
    staged.device.send_done(staged.device.punch("43", at))
    staged.device.send_done(staged.device.punch("43", at, InputType="Card"))
    shown = program(staged, "examples/copy-yesterday.mjs")
    assert f",{staged.device.id},41,check_in" in shown
    assert shown.count(",43,") == 1
    assert ",42," not in shown


def test_a_subscription_made_in_javascript_delivers(staged: Stage, receiver: Receiver) -> None:
    _, secret = program(staged, "examples/subscribe.mjs", receiver.url).split()
    staged.device.send_done(staged.device.punch("8"))
    assert verify(secret, receiver.wait(1)[0])["user_id"] == "8"


def test_a_user_is_enrolled_in_javascript(staged: Stage) -> None:
    shown = program(staged, "examples/enrol-user.mjs", staged.device.id, "77", "0004829371")
    assert shown.endswith(" completed\n")
    assert wait_for(lambda: "77" in staged.machine(staged.device).users)


def test_a_failed_command_is_explained_in_javascript(staged: Stage) -> None:
    shown = program(staged, "examples/failed-command.mjs", staged.device.id, "999")
    assert shown == "Add the user first.\n"
