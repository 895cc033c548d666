"""Output of commands: tables for people, and JSON for programs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import click

from app.base.printable import printable

as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON, one object per line.")


def print_json(value: Any) -> None:
    """Print a value as one line of JSON."""
    import orjson

    click.echo(orjson.dumps(value))


def print_rows(
    rows: Iterable[dict[str, Any]],
    columns: dict[str, Callable[[dict[str, Any]], object]],
    *,
    json: bool,
    none: str,
) -> None:
    """Print rows as JSON, or as a table whose `columns` map titles to functions of a row. Print `none` without rows."""
    if json:
        for row in rows:
            print_json(row)
        return
    lines = [[_cell(text(row)) for text in columns.values()] for row in rows]
    if not lines:
        click.echo(none)
        return
    widths = [max(map(len, column)) for column in zip(columns, *lines, strict=True)]
    for line in (list(columns), *lines):
        click.echo(_aligned(line, widths))


def _aligned(line: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip()


def _cell(value: object) -> str:
    return "-" if value in (None, "") else printable(str(value))
