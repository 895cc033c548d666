"""Coverage-guided fuzzing of unauthenticated requests, starting with samples. `make test-soak` runs it for minutes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from app.gateway.cipher import SecurityKey
from tests.harness import ROOT

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="atheris has no packages for this system")

_LONG = pytest.param(300, marks=[pytest.mark.soak, pytest.mark.timeout(900)])
_TIMES = (
    "2020-09-17 12:01:33 GMT +0530",
    "2026-11-24T09:00:00Z",
    "2026-11-24 9:5 +05",
    "0001-01-01 00:00:00 UTC",
)


def seeds(target: str, folder: Path) -> Path:
    """Return a folder with the inputs that the fuzzer starts with."""
    samples = [path.read_bytes() for path in sorted((ROOT / "tests" / "samples").glob("*.request.json"))]
    key = SecurityKey("made-up-security-key-of-32-bytes")
    found = {
        "timestamps": [text.encode() for text in _TIMES],
        "decryption": [*samples, *map(key.encrypt, samples)],
        "reader": samples,
    }[target]
    for number, seed in enumerate(found):
        (folder / f"seed{number}").write_bytes(seed)
    return folder


@pytest.mark.parametrize("seconds", [8, _LONG])
@pytest.mark.parametrize("target", ["decryption", "timestamps", "reader"])
def test_no_input_causes_an_unexpected_error(target: str, seconds: int, tmp_path: Path) -> None:
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    options = ["-timeout=5", "-rss_limit_mb=2048", "-max_len=20000", f"-artifact_prefix={tmp_path}/"]
    command = [sys.executable, "-m", "tests.security.fuzz", target, str(seeds(target, corpus)), *options]
    run = subprocess.run(
        [*command, f"-max_total_time={seconds}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=seconds + 60,
    )
    assert run.returncode == 0, run.stderr[-4_000:]
    assert "Done " in run.stderr  # libFuzzer's last line, with the number of runs
