"""Reads new lines of a text file that other software writes, with rotation, truncation and incomplete lines.

It follows the content rather than the file name. The content is recognised by a digest of its beginning and a digest
of the bytes just before the place. So it doesn't matter how the file was replaced (renamed, copied and truncated,
rewritten, restored), or whether the connector was running at that time. If the file has other content, the connector
looks for the former content in files with similar names (`attlog.dat.1`) and reads it to its end. It then reads newer
files, and finally the new file from its start. Failure policy: when in doubt, rows are read again rather than skipped,
because duplicates are detected by their OperationID.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import IO, Any, Self

from app.connector import text_lines
from app.connector.errors import Away, RowError, Stop
from app.connector.formats import Format
from app.connector.push import Read
from app.connector.rows import NEEDED, punches_of

log = logging.getLogger("connector")

_CHUNK = 256 * 1024
_LONGEST_LINE = 64 * 1024
_WITNESS = 512  # bytes covered by a digest
_PACKED = frozenset((".gz", ".zip", ".bz2", ".xz", ".zst", ".7z"))
_LOOKED_AT = 16 * 1024 * 1024  # bytes searched for a row from our device
_PREAMBLE_LINES = 100  # lines searched for the header
_MIXED = (
    "the line contains another kind of line break, so it may be several rows. "
    "Save the file with the same line break in every line, CR LF or LF"
)
_NOTHING = "\0\x1a \t\r\n"


@dataclass(frozen=True, slots=True)
class Place:
    """How far a file was read, in bytes and lines, and the digests that identify its content."""

    offset: int = 0
    line: int = 0
    head: str = ""  # digest of the first `head_bytes`
    head_bytes: int = 0
    tail: str = ""  # digest of the `tail_bytes` before the offset
    tail_bytes: int = 0
    encoding: str = ""
    header: list[str] | None = field(default=None)
    delimiter: str = ""  # the one that was detected
    device_column: str = ""  # the device column that was found although --map doesn't name one
    begun: int = 0  # while nothing was read yet: similarly named files with a later mtime (ns) are unread

    @classmethod
    def load(cls, kept: dict[str, Any] | None) -> Self:
        return cls(**kept) if kept else cls()


class LineSource:
    """The rows of a file."""

    def __init__(
        self,
        path: Path,
        layout: Format,
        encoding: str | None,
        place: dict[str, Any] | None,
        own: Iterable[Path] = (),
        *,
        finished: bool = False,
        ours: Iterable[str] = (),
    ) -> None:
        """Open the place in the file at `path`.

        `own` are files that the connector writes, which are never taken for a rotated file. If `finished`, nobody
        writes to the file any more, so a last line without a line break is a row. `ours` are the device's names: if
        a column contains one of them, rows from other devices are skipped.
        """
        self._path = path
        self._finished = finished
        self._last_taken: tuple[int, bytes] | None = None
        self._own = frozenset(one.absolute() for one in own)
        self._layout = layout
        self._encoding = text_lines.checked(encoding) if encoding else None
        self._device_column = ""
        self._ours = frozenset(name.lower() for name in ours)
        self._place = Place.load(place)
        if self._place.delimiter or self._place.header:
            layout.use_delimiter(self._place.delimiter or ",")  # earlier versions used a comma
        if self._place.device_column:
            self._choose(self._place.device_column)
        if place is None:
            self._meet()

    def _meet(self) -> None:
        """Record the file's identity, in case it is rotated and the connector killed before the first row is sent."""
        with suppress(OSError):
            self._place = Place(device_column=self._device_column, begun=self._newest())
            with self._path.open("rb") as file:
                head = file.read(_WITNESS)
            self._place = replace(self._place, head=_digest(head) if head else "", head_bytes=len(head))

    def place(self) -> dict[str, Any]:
        return asdict(self._place)

    def skip_to_end(self) -> None:
        """Skip the present content."""
        with suppress(Away):  # there is no file yet, so there is nothing to skip
            for read in self.rows():
                read.done()

    def waiting(self) -> int:
        """Return the number of unread lines in the file; 0 if it is unknown."""
        place, total = self._place, 0
        with suppress(OSError), self._path.open("rb") as file:
            encoding = place.encoding or self._encoding or text_lines.encoding_of(file)
            line_break = text_lines.line_break_of(file, encoding)
            is_same = self._is_the_text(self._path)
            total = text_lines.count(file, place.offset if is_same else 0, line_break)
            if is_same and self._last_taken is not None and self._last_taken[0] == place.offset:
                total -= 1  # this line was handled, although the place stays before it
        return max(total, 0)

    def rows(self) -> Iterator[Read]:
        """Yield the new complete lines, those of rotated files first."""
        try:
            while True:
                former = self._former()
                path = former or self._path
                with path.open("rb") as file:
                    if former is None and self._former() is not None:
                        continue  # the file was rotated just before it was opened
                    yield from self._read(path, file, is_former=former is not None)
                    if former is None:
                        return
                    self._place = Place(
                        device_column=self._device_column, begun=os.fstat(file.fileno()).st_mtime_ns
                    )
        except FileNotFoundError:
            raise Away(f"there is no file {self._path}") from None
        except OSError as error:
            raise Away(f"{self._path} can't be read ({error.strerror or error})") from None

    # Identifying the content

    def _is_the_text(self, path: Path) -> bool:
        """Return whether the file has the content that was being read."""
        place = self._place
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_size < place.offset:
                return False
            if place.head_bytes and _digest(file.read(place.head_bytes)) != place.head:
                return False
            file.seek(place.offset - place.tail_bytes)
            return not place.tail_bytes or _digest(file.read(place.tail_bytes)) == place.tail

    def _former(self) -> Path | None:
        """Return the rotated file to read next: the former content or a newer file; None if all have been read."""
        place = self._place
        if place.head_bytes and self._is_the_text(self._path):
            return None
        self._path.stat()  # raises an error until the file exists again
        beside = sorted(self._beside(), key=lambda path: (path.stat().st_mtime_ns, path.name))
        if not place.head_bytes:
            return next((path for path in beside if path.stat().st_mtime_ns > place.begun), None)
        for path in beside:
            if self._is_the_text(path):
                log.info("%s was rotated; the rest of the old file, %s, is read first", self._path, path.name)
                return path
        log.warning(
            "%s has new content, and the old file is not in the same folder. The new file is read from its start. "
            "Rows added to the old file after line %d were not read.",
            self._path,
            place.line,
        )
        self._place = Place(device_column=self._device_column, begun=self._newest())
        return None

    def _beside(self) -> list[Path]:
        return [path for path in self._path.parent.iterdir() if self._may_be_rotated(path)]

    def _newest(self) -> int:
        """Return the latest modification time of the file and its rotated files, in ns."""
        there = [path for path in (self._path, *self._beside()) if path.exists()]
        return max((path.stat().st_mtime_ns for path in there), default=1)

    def _may_be_rotated(self, path: Path) -> bool:
        """Return whether a file may be a rotated one (`attlog.dat.1`, `attlog-1.dat`); not own files or archives."""
        return (
            path != self._path
            and path.absolute() not in self._own
            and path.name.startswith(self._path.stem)
            and path.suffix.lower() not in _PACKED
            and not path.name.endswith((".connector.json", ".lock", ".new", ".rejects.jsonl"))
            and path.is_file()
        )

    # Reading

    def _read(self, path: Path, file: IO[bytes], *, is_former: bool) -> Iterator[Read]:
        place = self._place
        if not place.encoding:
            text_lines.refuse_workbook(path, file)
            place = replace(place, encoding=self._encoding or text_lines.encoding_of(file))
        line_break = text_lines.line_break_of(file, place.encoding)
        header, first = place.header, place.line
        for line, after in self._lines(path, file, place, line_break):
            number = first + 1 if after is None else after.line
            first = number
            if header is None and self._layout.has_header:
                header = self._heading(path, number, self._text(line, line_break, place.encoding))
                if header is None:
                    continue
                self._find_device_column(path, header, place.encoding, line_break)
                read = Read(None, f"{path}, line {number}", "", lambda: None)
            else:
                read = self._line(path, number, header, line, line_break, place.encoding)
            if after is None:
                read = self._last(read, line, cut_off=is_former and not self._finished)
            else:
                read = replace(read, done=partial(self._move, replace(after, header=header)))
            yield from _each_punch(read)
        if header is None and self._layout.has_header and first > place.line:
            raise self._layout.no_heading(str(path))

    def _lines(
        self, path: Path, file: IO[bytes], place: Place, line_break: bytes
    ) -> Iterator[tuple[bytes, Place | None]]:
        """Yield each new line and the place after it, or None for a last line without a line break."""
        head = b"" if place.head_bytes >= _WITNESS else text_lines.at(file, 0, _WITNESS)
        file.seek(place.offset)
        rest = b""
        while chunk := file.read(_CHUNK):
            rest += chunk
            for line in text_lines.lines(rest, line_break):
                rest = rest[len(line) :]
                place = _moved(place, line, head)
                yield line, place
            if len(rest) > _LONGEST_LINE:
                raise Stop(
                    f"{path}, line {place.line + 1} is longer than {_LONGEST_LINE // 1024} KiB. The file "
                    "doesn't consist of rows, or --encoding is wrong"
                )
        is_over = self._finished or path != self._path
        if is_over and rest.strip(_NOTHING.encode()) and self._last_taken != (place.offset, rest):
            yield rest, None

    def _last(self, read: Read, line: bytes, *, cut_off: bool) -> Read:
        """Return a last line without a line break. The place stays before it, because more of it may be written."""
        if cut_off:
            problem = RowError("the file was rotated before this line had a line break, so it may be cut off")
            read = replace(read, fields=problem)
        return replace(read, done=partial(self._take_last, (self._place.offset, line)))

    def _take_last(self, taken: tuple[int, bytes]) -> None:
        self._last_taken = taken

    def _move(self, place: Place) -> None:
        self._place = replace(place, device_column=self._device_column, delimiter=self._layout.delimiter)

    def _text(self, line: bytes, line_break: bytes, encoding: str) -> str:
        """Decode a line. Bytes that are invalid in the encoding become lone surrogates."""
        try:
            text = line.removesuffix(line_break).decode(encoding, "surrogateescape")
        except UnicodeDecodeError:
            text = line.removesuffix(line_break).decode(encoding, "replace")
        return text.strip("\r\n").removeprefix("\ufeff")

    def _heading(self, path: Path, number: int, text: str) -> list[str] | None:
        """Return the column names if the line is the header; None for a line before it. Raises Stop."""
        if not text.strip(_NOTHING):
            return None
        header = self._layout.header(text)
        if header is None and text_lines.has_line_break(text):
            raise Stop(f"{path}, line {number}: {_MIXED}")
        if header is None and number >= _PREAMBLE_LINES:
            raise Stop(str(self._layout.no_heading(str(path))))
        if header is not None and number > 1:
            log.info("%s: line %d contains the column names", path, number)
        return header

    def _find_device_column(self, path: Path, header: list[str], encoding: str, line_break: bytes) -> None:
        if self._device_column or not self._ours:
            return
        with path.open("rb") as file:
            content = text_lines.lines(file.read(_LOOKED_AT), line_break)
            texts = (self._text(line, line_break, encoding) for line in content)
            column = self._layout.device_column(header, texts, self._ours)
        if column is not None:
            log.info("%s: column %s names the device, so rows from other devices are left out", path, column)
            self._choose(column)

    def _choose(self, column: str) -> None:
        self._device_column = column
        self._layout.map_device(column)

    def _line(
        self,
        path: Path,
        number: int,
        header: list[str] | None,
        line: bytes,
        line_break: bytes,
        encoding: str,
    ) -> Read:
        text = self._text(line, line_break, encoding)
        shown = text if text.isascii() else line.removesuffix(line_break).decode(encoding, "backslashreplace")
        return Read(
            self._fields(text, header, line, encoding),
            f"{path}, line {number}",
            shown.strip("\r"),
            lambda: None,
        )

    def _fields(
        self, text: str, header: list[str] | None, line: bytes, encoding: str
    ) -> Mapping[str, object] | RowError | None:
        if not text.strip(_NOTHING):
            return None
        if text_lines.has_line_break(text):
            return RowError(_MIXED)
        try:
            fields = self._layout.fields(text, header)
        except RowError as error:
            return error
        if not text.isascii() and any(_is_spoilt(fields.get(name)) for name in NEEDED):
            return RowError(_not_in(line, encoding))
        return fields or None


def _each_punch(read: Read) -> Iterator[Read]:
    """Yield a line once for each of its punches. The position moves past it with the last one."""
    if read.fields is None or isinstance(read.fields, RowError):
        yield read
        return
    punches = punches_of(read.fields)
    for fields in punches[:-1]:
        yield replace(read, fields=fields, done=lambda: None)
    yield replace(read, fields=punches[-1] if punches else None)


def _is_spoilt(value: object) -> bool:
    return isinstance(value, str) and any("\ud800" <= letter <= "\udfff" for letter in value)


def _not_in(line: bytes, encoding: str) -> str:
    """Return advice for a line with bytes in another encoding."""
    try:
        line.decode(encoding)
    except UnicodeDecodeError as error:
        return f"byte {error.start + 1} is not {encoding}. Set the encoding, e.g. --encoding cp1252"
    return f"it is not {encoding}. Set the encoding, e.g. --encoding cp1252"


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:32]


def _moved(place: Place, line: bytes, head: bytes) -> Place:
    """Return the place after a line. Its digests only cover bytes that were read, which no longer change."""
    offset = place.offset + len(line)
    tail = line[-_WITNESS:]
    moved = replace(place, offset=offset, line=place.line + 1, tail=_digest(tail), tail_bytes=len(tail))
    if place.head_bytes < _WITNESS:
        known = head[: max(min(offset, _WITNESS), place.head_bytes)]
        moved = replace(moved, head=_digest(known), head_bytes=len(known))
    return moved
