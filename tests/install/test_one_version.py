"""The relay, its descriptions, clients and packages have the same version, which the changelog dates."""

from __future__ import annotations

import json
import re
import tomllib

import yaml

from app import __version__
from tests.harness import ROOT


def test_every_package_has_the_same_version() -> None:
    found = {"pyproject.toml": tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]}
    client = ROOT / "clients" / "python"
    found["clients/python"] = tomllib.loads((client / "pyproject.toml").read_text())["project"]["version"]
    for folder in ("n8n-nodes", "zapier-app", "clients/typescript"):
        package = json.loads((ROOT / folder / "package.json").read_text())
        lock = json.loads((ROOT / folder / "package-lock.json").read_text())
        found[folder] = package["version"]
        found[f"{folder} lock"] = lock["version"]
        found[f"{folder} lock of itself"] = lock["packages"][""]["version"]
    for name in ("openapi.yaml", "asyncapi.yaml"):
        found[name] = yaml.safe_load((ROOT / name).read_text())["info"]["version"]
    for name, pattern in {
        "Dockerfile": r"^ARG VERSION=(.+)$",
        "clients/python/src/cams_relay_client/client.py": r"cams-relay-client-python/([\d.]+)",
        "docs/install.md": r"cams_relay-([\d.]+)-py3",
    }.items():
        match = re.search(pattern, (ROOT / name).read_text(), re.MULTILINE)
        assert match is not None, name
        found[name] = match[1]
    assert set(found.values()) == {__version__}, found


def test_the_changelog_has_the_day_of_this_version() -> None:
    text = (ROOT / "CHANGELOG.md").read_text()
    assert re.search(rf"^## \[{re.escape(__version__)}\] - \d{{4}}-\d\d-\d\d$", text, re.MULTILINE)
