"""Inspects processes that a test has started, using /proc."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from tests.harness import Relay


def children(pid: int) -> dict[int, str]:
    """Return the children of a process and their commands."""
    found = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            if int(stat.read_text().rpartition(")")[2].split()[1]) == pid:
                command = (stat.parent / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                found[int(stat.parent.name)] = command
    return found


def child(relay: Relay, process: str, module: str) -> int:
    """Return the PID of the child with this command, of one of a relay's processes."""
    pids = [pid for pid, command in children(relay.processes[process].pid).items() if module in command]
    assert len(pids) == 1, pids
    return pids[0]


def descriptors(pid: int) -> int:
    """Return how many files, sockets and so on a process has open."""
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def tree(pid: int) -> dict[int, str]:
    """Return a process with all its descendants, and their commands."""
    found = {pid: Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()}
    for below in children(pid):
        found |= tree(below)
    return found


def resident(pid: int) -> int:
    """Return the bytes of memory that a process uses."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) * 1024
