"""The plot for the README: each figure next to its goal, both relative to the baseline."""

from __future__ import annotations

import re

import pygal  # type: ignore[import-untyped]
from pygal.style import CleanStyle  # type: ignore[import-untyped]

from benchmarks.rows import Record, Row


def plot(record: Record) -> bytes:
    """Return an SVG of the rows that have a baseline and a goal relative to it."""
    rows = [row for row in reversed(record.rows) if row.ratio is not None and _wanted(row) is not None]
    chart = pygal.HorizontalBar(
        style=CleanStyle(background="#ffffff", plot_background="#ffffff", colors=("#2a6f97", "#c9ccd1")),
        title="Compared with each baseline (1 = the baseline; logarithmic)",
        logarithmic=True,
        range=(0.1, 30),
        width=960,
        height=120 + 56 * len(rows),
        legend_at_bottom=True,
        truncate_label=-1,
        print_values=True,
        formatter=lambda ratio: f"{ratio:.2f} ×",
        js=(),  # loads nothing from other servers
        disable_xml_declaration=True,
    )
    chart.uuid = "bench"  # fixed, so that the file doesn't change in every run
    chart.x_labels = [row.what for row in rows]
    chart.add("measured", [row.ratio for row in rows])
    chart.add("target", [_wanted(row) for row in rows])
    rendered: str = chart.render(is_unicode=True)
    return re.sub(r"<!--.*?-->", "", rendered).encode() + b"\n"  # pygal's comments contain the date


def _wanted(row: Row) -> float | None:
    return next((goal.limit for goal in row.goals if goal.ratio and not goal.at_most), None)
