"""The rows of the table, and their goals."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class Goal:
    """A minimum or maximum for a figure or its ratio to the baseline."""

    limit: float
    at_most: bool = False
    ratio: bool = False

    def __str__(self) -> str:
        return f"{'≤' if self.at_most else '≥'} {self.limit:,g}{' ×' if self.ratio else ''}"


@dataclass(frozen=True, slots=True)
class Row:
    """The figures of all repetitions, and those of the baseline."""

    what: str
    unit: str
    figures: Sequence[float]
    baseline: Sequence[float] | None = None
    goals: tuple[Goal, ...] = ()

    @property
    def median(self) -> float:
        return statistics.median(self.figures)

    @property
    def ratio(self) -> float | None:
        return self.median / statistics.median(self.baseline) if self.baseline else None

    @property
    def reached(self) -> bool | None:
        """Whether all goals are reached; None without goals."""
        if not self.goals:
            return None
        found = [(self.ratio if goal.ratio else self.median, goal) for goal in self.goals]
        return all(
            value is not None and (value <= goal.limit if goal.at_most else value >= goal.limit)
            for value, goal in found
        )


@dataclass(frozen=True, slots=True)
class Record:
    """A run of the benchmarks: its time, its machine and its results."""

    date: str
    machine: str
    rows: tuple[Row, ...]

    def as_json(self) -> str:
        return json.dumps(asdict(self), indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Record:
        found = json.loads(text)
        rows = (
            Row(**{**row, "goals": tuple(Goal(**goal) for goal in row["goals"])}) for row in found["rows"]
        )
        return cls(found["date"], found["machine"], tuple(rows))


def table(rows: Sequence[Row]) -> str:
    """Return a Markdown table: median, minimum, maximum, the baseline's median, the ratio and whether goals are met."""
    lines = [
        "| measurement | unit | median | min | max | baseline | ratio | target | |",
        "|---|---|---:|---:|---:|---:|---:|---:|---|",
    ]
    for row in rows:
        base = _number(statistics.median(row.baseline)) if row.baseline else ""
        ratio = f"{row.ratio:.2f}" if row.ratio is not None else ""
        shown = " | ".join(_number(figure) for figure in (row.median, min(row.figures), max(row.figures)))
        goals = ", ".join(map(str, row.goals))
        verdict = {None: "", True: "reached", False: "**missed**"}[row.reached]
        lines.append(f"| {row.what} | {row.unit} | {shown} | {base} | {ratio} | {goals} | {verdict} |")
    return "\n".join(lines)


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:,.1f}" if abs(value) >= 10 else f"{value:,.2f}"
