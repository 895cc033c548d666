"""`python -m benchmarks [quick] [--json FILE]`: everything side by side, as a table."""

from __future__ import annotations

import json
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import TypeVar

import click

from benchmarks import cases
from benchmarks.processes import relay

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table: figures of all repetitions, and of the baseline it is compared with."""

    what: str
    unit: str
    figures: list[float]
    baseline: list[float] | None = None

    @property
    def ratio(self) -> float | None:
        return statistics.median(self.figures) / statistics.median(self.baseline) if self.baseline else None


def measure(folder: Path, repetitions: int, seconds: int, singles: int) -> list[Row]:
    """All cases. Baseline and relay take turns on the same machine, never at the same time."""
    hello = _take(cases.hello_per_second(folder, seconds), repetitions)
    rows = [Row("bare Flask hello", "per s", hello)]
    with relay(folder) as running:
        kinds: dict[str, Iterator[float]] = {
            "acknowledged callbacks": cases.acknowledged_per_second(running, folder, seconds),
            "acknowledged, encrypted": cases.acknowledged_per_second(
                running, folder, seconds, security_key=cases.SECURITY_KEY
            ),
            "acknowledged, duplicates only": cases.acknowledged_per_second(
                running, folder, seconds, again=True
            ),
        }
        rows += [Row(what, "per s", _take(figures, repetitions), hello) for what, figures in kinds.items()]
    with relay(folder) as running:
        ours = _take(cases.relay_latencies(running, singles), repetitions)
    sink = cases.Sink()
    with cases.naive(folder, sink) as url:
        theirs = _take(cases.naive_latencies(url, sink, singles), repetitions)
    sink.close()
    for name, percent in (("p50", 50), ("p99", 99)):
        mine, naive = ([_percentile(run, percent) for run in runs] for runs in (ours, theirs))
        rows.append(Row(f"callback to delivery, idle, {name}", "ms", mine, naive))
    return rows


def _take(figures: Iterator[T], count: int) -> list[T]:
    return list(islice(figures, count))


def _percentile(values: list[float], percent: int) -> float:
    return sorted(values)[min(len(values) - 1, len(values) * percent // 100)]


def table(rows: list[Row]) -> str:
    """Markdown: median, minimum, maximum, the baseline's median, and the ratio."""
    lines = ["| what | unit | median | min | max | baseline | ratio |", "|---|---|---:|---:|---:|---:|---:|"]
    for row in rows:
        base = f"{statistics.median(row.baseline):,.1f}" if row.baseline else ""
        ratio = f"{row.ratio:.2f}" if row.ratio else ""
        figures = (statistics.median(row.figures), min(row.figures), max(row.figures))
        shown = " | ".join(f"{figure:,.1f}" for figure in figures)
        lines.append(f"| {row.what} | {row.unit} | {shown} | {base} | {ratio} |")
    return "\n".join(lines)


def machine() -> str:
    """What it ran on."""
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [line for line in info.read_text().splitlines() if line.startswith("model name")]
        model = f"{len(names)} × {names[0].partition(':')[2].strip()}" if names else model
    return f"{model}, Python {platform.python_version()}"


@click.command()
@click.argument("how", type=click.Choice(["full", "quick"]), default="full")
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Writes the figures there, too.")
def main(how: str, json_file: Path | None) -> None:
    """Measures and prints. `quick` repeats less."""
    if not shutil.which("wrk"):
        subprocess.run(["scripts/install-wrk"], check=True)
    repetitions, seconds, singles = (5, 6, 500) if how == "full" else (3, 3, 200)
    folder = Path(tempfile.mkdtemp(prefix="relay-bench-"))
    try:
        rows = measure(folder, repetitions, seconds, singles)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    today = datetime.now(UTC).date().isoformat()
    click.echo(f"{today}, {machine()}, generator and receiver on the same cores\n")
    click.echo(table(rows))
    if json_file:
        record = {
            "date": today,
            "machine": machine(),
            "rows": [
                {"what": row.what, "unit": row.unit, "figures": row.figures, "baseline": row.baseline}
                for row in rows
            ],
        }
        json_file.write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    sys.exit(main())
