"""The lines for shell completion in docs/cli.md work when a user adds them to the shell's configuration."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.harness import ROOT

# Prints the completions of `cams-relay ke` in each shell.
ASK = {
    "bash": 'COMP_WORDS=(cams-relay ke) COMP_CWORD=1; _cams_relay_completion cams-relay; echo "${COMPREPLY[@]}"',
    "zsh": 'words=(cams-relay ke) CURRENT=2; _describe() { echo "${(P)3}"; }; compadd() { echo "${@[-1]}"; }; '
    "_cams_relay_completion",
    "fish": "complete --do-complete 'cams-relay ke'",
}


def documented_line(shell: str) -> str:
    section = (ROOT / "docs" / "cli.md").read_text().partition("## Shell completion")[2].partition("<!--")[0]
    found = re.search(rf"^\| {shell} \| `[^`]+` \| `([^`]+)` \|$", section, re.MULTILINE)
    assert found, f"docs/cli.md has no line for {shell}"
    return found[1].replace(r"\|", "|")


@pytest.mark.parametrize("shell", sorted(ASK))
def test_the_documented_line_completes_commands(shell: str, tmp_path: Path) -> None:
    line = documented_line(shell)
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    ready = "autoload -Uz compinit && compinit -u\n" if shell == "zsh" else ""
    ran = subprocess.run(
        [shell, "-c", f"{ready}{line}\n{ASK[shell]}"],
        cwd=tmp_path,
        env={
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "HOME": str(tmp_path),
        },
        capture_output=True,
        text=True,
        timeout=60,
    )
    offered = [re.split(r"[:\s]", row)[0] for row in ran.stdout.splitlines()]
    assert (ran.returncode, offered) == (0, ["keys"]), ran.stdout + ran.stderr
    assert list(tmp_path.glob("**/secret_key")) == []
