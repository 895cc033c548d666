"""`python -m benchmarks [quick] [--only TEXT] [--json FILE] [--plot FILE]`: runs the benchmarks and prints a table."""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import TypeVar

import click

from benchmarks import archived, cases, deliveries, keeping, offline
from benchmarks.plot import plot
from benchmarks.processes import relay
from benchmarks.rows import Goal, Record, Row, table

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Size:
    """The amount of work of each benchmark."""

    repetitions: int
    seconds: int  # duration of the load
    singles: int  # callbacks sent one at a time
    backlog: int
    naive: int  # callbacks sent to the naive relay
    targets: int
    stored: int
    archived: int
    commands: int
    device_seconds: float
    offline: int  # punches of a device that was offline, delivered to n8n; 0 skips n8n


FULL = Size(5, 6, 500, 100_000, 500, 1_000, 1_000_000, 10_000_000, 500, 15.0, 10_000)
QUICK = Size(1, 3, 100, 10_000, 100, 200, 20_000, 500_000, 100, 2.0, 0)


class Bench:
    """All benchmarks. Baseline and relay run alternately on the same machine, never at the same time."""

    def __init__(self, folder: Path, size: Size) -> None:
        self._folder, self._size = folder, size
        self._hello: list[float] = []
        self._generator: list[float] = []  # the load generator's share of the machine, in %

    def groups(self) -> dict[str, Callable[[], list[Row]]]:
        """Return the groups of benchmarks that `--only` can select."""
        return {
            "acknowledging": self._acknowledged,
            "durable": self._durable,
            "latency": self._latency,
            "sustained": self._sustained,
            "backlog": self._backlog,
            "workers": self._workers,
            "many targets": self._many,
            "failing targets": self._failing,
            "matching": self._matching,
            "stored events": self._stored,
            "archive": self._archive,
            "commands": self._commands,
            "start": self._start,
            "n8n": self._n8n,
        }

    def _take(self, figures: Iterator[T]) -> list[T]:
        return list(islice(figures, self._size.repetitions))

    def _rates(self, loads: Iterator[cases.Load]) -> list[float]:
        taken = self._take(loads)
        self._generator += [load.generator for load in taken]
        return [load.per_second for load in taken]

    def _acknowledging(
        self, named: dict[str, tuple[float, dict[str, object]]], **environment: str
    ) -> list[Row]:
        size = self._size
        if not self._hello:
            self._hello = self._rates(cases.hello_per_second(self._folder, size.seconds))
        rows = []
        for what, (limit, how) in named.items():
            with relay(self._folder, **environment) as running:
                measured = cases.acknowledged_per_second(running, self._folder, size.seconds, **how)  # type: ignore[arg-type]
                goal = Goal(limit, ratio=True)
                rows.append(Row(what, "per s", self._rates(measured), self._hello, (goal,)))
        return rows

    def _acknowledged(self) -> list[Row]:
        rows = self._acknowledging(
            {
                "acknowledged callbacks": (0.6, {}),
                "acknowledged, encrypted": (0.5, {"security_key": cases.SECURITY_KEY}),
                "acknowledged, photo of 30 KB": (0.3, {"photo_bytes": 30_000}),
                "acknowledged, duplicates only": (0.65, {"again": True}),
            }
        )
        with_photo = cases.hello_per_second(self._folder, self._size.seconds, photo_bytes=30_000)
        return [
            Row("bare Flask hello", "per s", self._hello),
            *rows,
            Row("bare Flask hello, photo of 30 KB", "per s", self._rates(with_photo)),
            Row("CPU share of the load generator", "%", self._generator),
        ]

    def _durable(self) -> list[Row]:
        plain, synced = (
            self._acknowledging({what: (0.0, {})}, RELAY_DURABILITY=durability)[0]
            for what, durability in (("", "os"), ("", "fsync"))
        )
        goal = Goal(0.4, ratio=True)
        return [Row("acknowledged with durability fsync", "per s", synced.figures, plain.figures, (goal,))]

    def _latency(self) -> list[Row]:
        size, sink = self._size, cases.Sink()
        with relay(self._folder) as running:
            ours = self._take(cases.relay_latencies(running, size.singles))
        with cases.naive(self._folder, sink) as url:
            theirs = self._take(cases.naive_latencies(url, sink, size.singles))
        sink.close()
        rows = []
        for name, percent, most in (("p50", 50, 8), ("p99", 99, 40)):
            mine, naive = ([_percentile(run, percent) for run in runs] for runs in (ours, theirs))
            what = f"callback to delivery, idle, {name}"
            rows.append(Row(what, "ms", mine, naive, (Goal(most, at_most=True),)))
        return rows

    def _sustained(self) -> list[Row]:
        size = self._size
        with relay(self._folder) as running:
            ours = self._take(deliveries.sustained(running, self._folder, size.seconds))
        sink = cases.Sink()
        with cases.naive(self._folder, sink) as url:
            naive = self._take(deliveries.naive_sustained(url, sink, size.naive))
        sink.close()
        rates = [one.per_second for one in ours]
        goals = (Goal(1_500), Goal(15, ratio=True))
        return [
            Row("callbacks → one subscriber, all delivered", "per s", rates, naive, goals),
            Row("backlog when the callbacks ended", "events", [one.backlog for one in ours]),
        ]

    def _backlog(self) -> list[Row]:
        count = self._size.backlog
        raw = self._take(deliveries.raw(self._folder, count))
        ours = self._take(deliveries.drained(self._folder, count))
        goals = (Goal(10_000), Goal(0.35, ratio=True))
        return [
            Row(f"backlog of {count:,} drained", "per s", [one.per_second for one in ours], raw, goals),
            Row(
                "growth of the dispatcher's memory",
                "MB",
                [one.grown_mb for one in ours],
                None,
                (Goal(30, at_most=True),),
            ),
        ]

    def _workers(self) -> list[Row]:
        count, rows = self._size.backlog, []
        for workers in (1, 2, 3):
            rates = self._take(deliveries.drained_by_workers(self._folder, count, workers))
            rows.append(
                Row(f"backlog in 6 shards drained by {workers} worker{'s' * (workers > 1)}", "per s", rates)
            )
        return [Row(row.what, row.unit, row.figures, rows[0].figures) for row in rows]

    def _many(self) -> list[Row]:
        count = self._size.targets
        with relay(self._folder) as running:
            taken = self._take(deliveries.to_many(running, self._folder, count))
        return [Row(f"one event to {count:,} subscriptions", "ms", taken, None, (Goal(400, at_most=True),))]

    def _failing(self) -> list[Row]:
        count = self._size.targets
        well, ill = (
            self._take(deliveries.beside_failing(self._folder, count, failing, 10))
            for failing in (0, count // 5)
        )
        goal = Goal(2, at_most=True, ratio=True)
        return [Row("p99 with 20 % of targets dead or hanging", "ms", ill, well, (goal,))]

    def _matching(self) -> list[Row]:
        return [
            Row(
                f"an event matched against {count:,} subscriptions",
                "µs",
                self._take(keeping.matching(count)),
                None,
                (Goal(200, at_most=True),),
            )
            for count in (100, 10_000)
        ]

    def _stored(self) -> list[Row]:
        size = self._size
        per_event, pages = keeping.stored(self._folder, size.stored, size.repetitions)
        return [
            Row("page of /v1/events, p99", "ms", pages, None, (Goal(15, at_most=True),)),
            Row(
                f"a stored event, of {size.stored:,}",
                "bytes",
                [per_event],
                None,
                (Goal(1_000, at_most=True),),
            ),
        ]

    def _archive(self) -> list[Row]:
        rows, goal = [], Goal(300, at_most=True)
        with archived.databases(self._folder, self._size.archived) as urls:
            for name, url in urls.items():
                with archived.relay(self._folder, url) as running:
                    for what, measure in archived.times(running, url).items():
                        measure()  # the first request imports SQLAlchemy
                        taken = [measure() for _ in range(self._size.repetitions)]
                        rows.append(Row(f"{what}, {name}", "ms", taken, None, (goal,)))
        return rows

    def _commands(self) -> list[Row]:
        size = self._size
        taken = self._take(keeping.commands(self._folder, size.commands, size.device_seconds))
        what = f"{size.commands} commands to devices that take {size.device_seconds:g} s each"
        return [Row(what, "s", taken, None, (Goal(size.device_seconds + 7, at_most=True),))]

    def _start(self) -> list[Row]:
        ours = self._take(keeping.cold_start(self._folder))
        flask = self._take(keeping.import_flask())
        return [Row("cold start of web to healthy", "ms", ours, flask, (Goal(1_500, at_most=True),))]

    def _n8n(self) -> list[Row]:
        count = self._size.offline
        if not count:
            return []
        some = count // 10  # n8n would take minutes for all of them
        batched = self._take(offline.into_n8n(self._folder, count, 200))
        single = [some / took for took in self._take(offline.into_n8n(self._folder, some, 1))]
        alone = [some / took for took in self._take(offline.into_webhook(self._folder, some))]
        rates = [count / took for took in batched]
        goal = Goal(60, at_most=True)
        return [
            Row(f"{count:,} late punches into n8n, batches of 200", "s", batched, None, (goal,)),
            Row("the same, compared with one by one", "per s", rates, single),
            Row(f"{some:,} one by one, compared with n8n's webhook alone", "per s", single, alone),
        ]


def _percentile(values: list[float], percent: int) -> float:
    return sorted(values)[min(len(values) - 1, len(values) * percent // 100)]


def machine() -> str:
    """Return a description of the machine."""
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [line for line in info.read_text().splitlines() if line.startswith("model name")]
        model = f"{len(names)} × {names[0].partition(':')[2].strip()}" if names else model
    return f"{model}, Python {platform.python_version()}"


@click.command()
@click.argument("how", type=click.Choice(["full", "quick"]), default="full")
@click.option("--only", default="", help="Only the groups of cases whose name has this in it.")
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Writes the figures there, too.")
@click.option(
    "--plot", "plot_file", type=click.Path(path_type=Path), help="Writes an SVG of the ratios there."
)
def main(how: str, only: str, json_file: Path | None, plot_file: Path | None) -> None:
    """Run the benchmarks and print the results. `quick` does less work and skips n8n."""
    for program in ("wrk", "nginx"):
        subprocess.run([f"scripts/install-{program}"], check=True)
    with ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="relay-bench-"))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        bench = Bench(folder, FULL if how == "full" else QUICK)
        rows: list[Row] = []
        for name, measure in bench.groups().items():
            if only in name:
                began = time.monotonic()
                rows += measure()
                click.echo(f"{name}: measured in {time.monotonic() - began:.0f} s", err=True)
    record = Record(datetime.now(UTC).date().isoformat(), machine(), tuple(rows))
    click.echo(f"{record.date}, {record.machine}, generator and receiver on the same cores\n")
    click.echo(table(rows))
    if json_file:
        json_file.write_text(record.as_json())
    if plot_file:
        plot_file.write_bytes(plot(record))


if __name__ == "__main__":
    sys.exit(main())
