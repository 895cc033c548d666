"""The simulation finds the relay's former faults if they are restored, and nothing if they aren't."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from tests.harness import ROOT
from tests.simulation.known_faults import FAULTS


@pytest.fixture(scope="module")
def found() -> dict[str, list[bool]]:
    """Return for each fault whether it is found while it is present, and whether it is found without it."""
    command = [sys.executable, "-m", "tests.simulation.known_faults"]
    environment = {**os.environ, "PYTHONHASHSEED": "0"}
    ran = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    answer: dict[str, list[bool]] = json.loads(ran.stdout)
    return answer


@pytest.mark.parametrize("name", FAULTS)
@pytest.mark.timeout(600)  # takes a second on an idle machine
def test_a_restored_fault_is_found(found: dict[str, list[bool]], name: str) -> None:
    assert found[name] == [True, False], "[while it is present, without it]"
