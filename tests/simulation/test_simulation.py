"""The promises hold whatever fails, and a seed always gives the same run. docs/simulation.md explains how it works."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.harness import ROOT


def simulate(*options: str) -> subprocess.CompletedProcess[str]:
    """Run the simulation's command line in a separate process."""
    command = [sys.executable, "-m", "tests.simulation", *options]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


@pytest.mark.timeout(3_600)
def test_two_thousand_seeds_keep_every_promise() -> None:
    ran = simulate("--seeds", "0:2000", "--jobs", "2")
    assert ran.returncode == 0, f"{ran.stdout}\n{ran.stderr}"


@pytest.mark.soak
@pytest.mark.timeout(3_600)
def test_ten_minutes_of_random_seeds_keep_every_promise() -> None:
    ran = simulate("--seconds", "600", "--jobs", "2")
    assert ran.returncode == 0, f"{ran.stdout}\n{ran.stderr}"


@pytest.mark.timeout(600)  # takes some seconds on an idle machine
def test_the_same_seed_gives_the_same_trace() -> None:
    """The trace doesn't depend on the seeds played before, or on the store."""
    first, second = (
        simulate("--digests", "--seeds", seeds).stdout.splitlines() for seeds in ("5000:5050", "5025:5050")
    )
    assert len(first) == len(set(first)) == 50
    assert first[25:] == second
