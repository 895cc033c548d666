"""The package passes its own tools' checks, and the published file has the expected content."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import pytest

from tests.n8n.n8n import PACKAGE
from tests.node import npm

pytestmark = pytest.mark.timeout(420)  # the first one installs the package's build tools


@pytest.mark.parametrize("script", ["lint", "format:check", "test"])
def test_its_own_checks_pass(package: Path, script: str) -> None:
    ran = npm(package, "run", script)
    assert ran.returncode == 0, ran.stdout[-5000:]


def test_the_published_package_contains_the_needed_files_only(packed: Path) -> None:
    with tarfile.open(packed) as archive:
        names = {name.removeprefix("package/") for name in archive.getnames()}
        manifest = json.load(archive.extractfile("package/package.json"))  # type: ignore[arg-type]
    nodes = [*manifest["n8n"]["nodes"], *manifest["n8n"]["credentials"]]
    icons = {"dist/icons/cams.svg", "dist/icons/cams.dark.svg"}
    assert names >= {*nodes, *icons, "README.md", "LICENSE", "dist/nodes/catalog.json"}
    assert {name.split("/")[0] for name in names if "/" in name} == {"dist", "workflows"}
    assert not any(name.endswith((".map", ".tsbuildinfo", ".test.mjs")) for name in names)


def test_it_has_no_runtime_dependencies_and_the_keyword_of_community_nodes() -> None:
    manifest = json.loads((PACKAGE / "package.json").read_text())
    assert "dependencies" not in manifest
    assert manifest["peerDependencies"] == {"n8n-workflow": "*"}
    assert "n8n-community-node-package" in manifest["keywords"]
    assert manifest["n8n"]["strict"] is True
