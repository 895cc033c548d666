"""`cams-relay connector try`: shows which rows of a file would be sent or rejected. Sends and writes nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from app.base.printable import printable
from app.connector import callbacks
from app.connector.errors import RowError
from app.connector.push import Read, Source
from app.connector.targets import Targets

SHOWN: Final = 20
"""How many rows to send, and how many rejected ones, are shown."""
_LONGEST_CELL: Final = 40
_LONGEST_ROW: Final = 200
_COLUMNS: Final = ("UserId", "LogTime", "Type", "InputType", "Temperature", "FaceMask")


@dataclass(slots=True)
class TrialCounts:
    """How many rows would be sent, repeat another row, would be rejected, or are from other devices."""

    sent: int = 0
    repeated: int = 0
    rejected: int = 0
    of_others: int = 0

    def __str__(self) -> str:
        """Return a summary such as "12 rows read: 9 would be sent, 2 repeated, 1 rejected. Nothing was sent."."""
        read = self.sent + self.repeated + self.rejected + self.of_others
        more = {"repeated": self.repeated, "from other devices": self.of_others}
        said = "".join(f", {count} {what}" for what, count in more.items() if count)
        return (
            f"{read} rows read: {self.sent} would be sent{said}, {self.rejected} rejected. Nothing was sent."
        )


@dataclass(slots=True)
class _Rejected:
    where: str
    problem: str
    row: str


@dataclass(slots=True)
class _Found:
    rows: list[dict[str, str]] = field(default_factory=list)
    rejected: list[_Rejected] = field(default_factory=list)
    seen: set[int] = field(default_factory=set)  # hashes of punches: a punch is sent once


class Trial:
    """The result of reading all rows of a source once. Raises Stop and Away, as the source does."""

    def __init__(self, source: Source, targets: Targets) -> None:
        self.counts = TrialCounts()
        self._targets = targets
        self._found = _Found()
        for read in source.rows():
            self._take(read)

    def lines(self) -> Iterator[str]:
        """Yield the text to show: a table of the first rows, then the first rejected rows and why."""
        found, counts = self._found, self.counts
        if found.rows:
            yield f"The first {len(found.rows)} of {counts.sent} rows, as they would be sent:"
            yield ""
            yield from _table(found.rows)
            yield ""
        if found.rejected:
            yield f"The first {len(found.rejected)} of {counts.rejected} rejected rows:"
            yield ""
            for one in found.rejected:
                yield f"{one.where}: {printable(one.problem)}"
                yield f"    {printable(one.row[:_LONGEST_ROW])}"
            yield ""

    def _take(self, read: Read) -> None:
        if read.fields is None:
            return
        try:
            if isinstance(read.fields, RowError):
                raise read.fields
            self._take_fields(read.fields, read.where)
        except RowError as error:
            self.counts.rejected += 1
            if len(self._found.rejected) < SHOWN:
                self._found.rejected.append(_Rejected(read.where, str(error), read.text))

    def _take_fields(self, fields: Mapping[str, object], where: str) -> None:
        target = self._targets.of(fields)
        punch = None if target is None else target.reader.punch(fields)
        if target is None or punch is None:
            self.counts.of_others += 1
            return
        key = hash((target.device.stgid, callbacks.contents(punch)))
        if key in self._found.seen:
            self.counts.repeated += 1
            return
        self._found.seen.add(key)
        self.counts.sent += 1
        if len(self._found.rows) < SHOWN:
            said: dict[str, Any] = {
                "line": where.rpartition(" ")[2],
                "stgid": target.device.stgid,
                **callbacks.punch_log(punch),
            }
            self._found.rows.append({name: _cell(value) for name, value in said.items()})


def _cell(value: object) -> str:
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return printable(text[:_LONGEST_CELL])


def _table(rows: Sequence[Mapping[str, str]]) -> Iterator[str]:
    """Yield the headings and the rows. Columns without values are left out."""
    names = [name for name in ("line", "stgid", *_COLUMNS) if any(row.get(name) for row in rows)]
    lines = [names, *([row.get(name) or "-" for name in names] for row in rows)]
    widths = [max(len(line[number]) for line in lines) for number in range(len(names))]
    for line in lines:
        yield "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip()
