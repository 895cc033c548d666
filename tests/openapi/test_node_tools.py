"""Node.js tools accept the descriptions: Spectral, Redocly, and newman with both Postman collections.

They are pinned in `node/` and installed once from the npm registry. Nothing else needs the network.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
import yaml

from app import openapi
from app.gateway.operations import COMMANDS
from tests import node
from tests.stage import Stage

_FOLDER = Path(__file__).parent / "node"

pytestmark = pytest.mark.timeout(300)  # the first run installs


def _run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return node.run(
        _FOLDER, *command, timeout=240, REDOCLY_TELEMETRY="off", REDOCLY_SUPPRESS_UPDATE_NOTICE="true"
    )


@pytest.fixture(scope="module")
def documents(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Files of each version of the description, complete and with only the tag `actions`, and one with webhooks."""
    folder = tmp_path_factory.mktemp("documents")
    found = []
    for version in openapi.VERSIONS:
        for tag in (None, "actions"):
            path = folder / f"{version}-{tag or 'whole'}.yaml"
            path.write_text(openapi.as_yaml(version, tag))
            found.append(path)
    found.append(folder / "webhooks.yaml")
    found[-1].write_text(openapi.as_yaml(webhooks=True))
    return found


def _lint(tools: Path, rules: str, *documents: Path) -> str:
    found = _run(tools / "spectral", "lint", "-r", rules, "--fail-severity=hint", *documents)
    assert (found.returncode == 0) == ("No results" in found.stdout), found.stdout
    return found.stdout


def test_spectral_finds_no_problem(tools: Path, documents: list[Path]) -> None:
    found = _lint(tools, "formats.spectral.yaml", *documents)
    assert "No results" in found, found


def test_the_rules_of_owasp_find_no_problem(tools: Path, tmp_path: Path) -> None:
    """Checks the complete document, from which the others are converted."""
    document, path = openapi.document(), tmp_path / "openapi.yaml"
    path.write_text(yaml.safe_dump(document))
    found = _lint(tools, ".spectral.yaml", path)
    assert "No results" in found, found
    label = document["components"]["schemas"]["DeviceBody"]["properties"]["label"]
    del label["maxLength"]
    path.write_text(yaml.safe_dump(document))
    assert "request-string-limit" in _lint(tools, ".spectral.yaml", path)


def test_redocly_finds_no_problem(tools: Path, documents: list[Path]) -> None:
    found = _run(tools / "redocly", "lint", "--config", "redocly.yaml", *documents)
    assert found.returncode == 0, found.stdout


# Postman


def _newman(tools: Path, collection: object, folder: Path, **variables: str) -> int:
    """Runs a collection, checks that all its tests pass, and returns the number of its requests."""
    path, report = folder / "collection.json", folder / "report.json"
    path.write_text(json.dumps(collection))
    values = [part for name, value in variables.items() for part in ("--env-var", f"{name}={value}")]
    ran = _run(
        *(tools / "newman", "run", path, *values),
        *("--reporters", "cli,json", "--reporter-json-export", report, "--timeout-request", "30000"),
    )
    assert ran.returncode == 0, ran.stdout[-6000:]
    stats = json.loads(report.read_text())["run"]["stats"]
    assert stats["assertions"]["total"] >= stats["requests"]["total"] > 0
    return int(stats["requests"]["total"])


def test_newman_runs_the_gateways_collection_with_the_simulator(
    tools: Path, stage: Stage, tmp_path: Path
) -> None:
    device = stage.new_device()
    made = _newman(
        tools,
        openapi.gateway_collection(),
        tmp_path,
        base_url=stage.simulator.command_url(),
        stgid=device.id,
        auth_token=device.token,
    )
    assert made == len(COMMANDS)
    assert not stage.simulator.gateway.device(device.id).users  # the last requests delete everything


def test_newman_runs_the_relays_collection_with_a_relay(tools: Path, stage: Stage, tmp_path: Path) -> None:
    device = stage.new_device()
    collection = stage.relay.get("/postman.json", params={"collection": "relay"})
    made = _newman(
        tools,
        collection,
        tmp_path,
        api_key=stage.relay.environment["RELAY_API_KEY"],
        device_id=device.id,
        auth_token=device.token,
        target_url="http://127.0.0.1:9/",
    )
    assert made == sum(len(folder["item"]) for folder in collection["item"])
