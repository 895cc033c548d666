"""compose.yaml and the files in examples/compose follow the Compose Specification and configure the relay correctly."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from app.settings.table import VARIABLES, load
from tests.harness import ROOT

EXAMPLES = ROOT / "examples" / "compose"
FILES = [ROOT / "compose.yaml", *sorted(EXAMPLES.glob("*/compose.yaml"))]
SCHEMA = jsonschema.Draft7Validator(
    json.loads((Path(__file__).parent / "compose-spec" / "compose-spec.json").read_text())
)
_VARIABLE = re.compile(r"\$\{(\w+)(?:(:[-?])([^}]*))?\}")


def _variables(path: Path) -> dict[str, str]:
    """Return the variables in `.env.example`, with values for all of them."""
    example = path.parent / ".env.example" if path.parent != ROOT else Path(os.devnull)
    lines = [line.partition("=") for line in example.read_text().splitlines() if line and line[0] != "#"]
    return {name: value or "made-up-value-of-more-than-32-characters" for name, _, value in lines}


def _document(path: Path) -> Any:
    """Return the file with its variables substituted, as by Compose."""
    known = _variables(path)

    def put_in(match: re.Match[str]) -> str:
        name, kind, more = match.groups()
        if kind == ":-":
            return known.get(name, more)
        assert name in known, f"{name} is not in {path.parent.name}/.env.example"
        return known[name]

    return yaml.safe_load(_VARIABLE.sub(put_in, path.read_text()))


def _named(path: Path) -> str:
    return str(path.parent.relative_to(ROOT))


@pytest.fixture(params=FILES, ids=_named)
def file(request: pytest.FixtureRequest) -> Path:
    path: Path = request.param
    return path


def _relays(document: Any) -> dict[str, Any]:
    return {name: one for name, one in document["services"].items() if one.get("image") == "cams-relay"}


def test_it_follows_the_specification(file: Path) -> None:
    SCHEMA.validate(_document(file))
    wrong = _document(file)
    next(iter(wrong["services"].values()))["prots"] = []
    with pytest.raises(jsonschema.ValidationError):
        SCHEMA.validate(wrong)


def test_its_settings_exist(file: Path) -> None:
    relays = _relays(_document(file))
    assert relays
    for service in relays.values():
        environment = {name: str(value or "") for name, value in service["environment"].items()}
        assert set(environment) <= {variable.name for variable in VARIABLES}
        load(environment)


def test_the_relay_can_only_write_to_its_volume(file: Path) -> None:
    for name, service in _relays(_document(file)).items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert [mount.split(":")[1] for mount in service["volumes"]] == ["/data"], name
        assert service["stop_grace_period"] == "30s", name  # processes take up to 10 s to hand over


def test_only_the_proxy_can_be_reached_from_outside(file: Path) -> None:
    for name, service in _document(file)["services"].items():
        for port in service.get("ports", []):
            assert name == "caddy" or port.startswith("127.0.0.1:"), (name, port)


def test_the_folders_it_builds_and_mounts_exist(file: Path) -> None:
    document = _document(file)
    for name, service in document["services"].items():
        build = service.get("build", {})
        context = file.parent / (build if isinstance(build, str) else build.get("context", "."))
        if build:
            dockerfile = "Dockerfile" if isinstance(build, str) else build["dockerfile"]
            assert (context / dockerfile).is_file(), name
        for mount in service.get("volumes", []):
            source = mount.split(":")[0]
            if source.startswith("."):
                assert (file.parent / source).exists(), name
            else:
                assert source in document["volumes"], name


def test_n8n_is_the_only_private_address_that_the_relay_can_call() -> None:
    document = _document(EXAMPLES / "n8n" / "compose.yaml")
    (subnet,) = document["networks"]["automation"]["ipam"]["config"]
    relay = document["services"]["relay"]["environment"]
    assert relay["RELAY_ALLOW_PRIVATE_TARGETS"] == subnet["subnet"]
    assert document["services"]["n8n"]["networks"] == document["services"]["relay"]["networks"]


@pytest.mark.parametrize("name", ["n8n", "workers"])
def test_its_caddyfile_is_valid(name: str, tmp_path: Path) -> None:
    caddy = shutil.which("caddy")
    assert caddy, "caddy is not installed: run scripts/install-caddy"
    file = EXAMPLES / name / "Caddyfile"
    ran = subprocess.run(
        [caddy, "adapt", "--config", file],
        env={**os.environ, **_variables(EXAMPLES / name / "compose.yaml"), "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert ran.returncode == 0, ran.stderr


def test_n8n_uses_the_nodes_of_its_image_after_each_start(tmp_path: Path) -> None:
    """The volume may contain the nodes of an earlier image."""
    package = tmp_path / "opt" / "n8n-nodes-cams-relay"
    package.mkdir(parents=True)
    (package / "package.json").write_text("new")
    volume = tmp_path / "home" / ".n8n" / "nodes" / "node_modules" / "n8n-nodes-cams-relay"
    volume.mkdir(parents=True)
    (volume / "gone.js").write_text("old")
    (volume / "package.json").write_text("old")
    environment = {
        **os.environ,
        "HOME": str(tmp_path / "home"),
        "NODES_FOLDER": str(tmp_path / "opt"),
        "N8N_ENTRYPOINT": "echo",
    }
    environment.pop("N8N_USER_FOLDER", None)
    ran = subprocess.run(
        ["sh", EXAMPLES / "n8n" / "with-nodes.sh", "start"], env=environment, capture_output=True, text=True
    )
    assert ran.stdout == "start\n", ran.stderr
    assert [path.name for path in volume.iterdir()] == ["package.json"]
    assert (volume / "package.json").read_text() == "new"
