"""Following a text file that other software writes: appends, rotation, truncation, half-written lines.

What is followed is not a name but a text, known by a digest of its beginning and one of what stands just before
the place. So it doesn't matter how a file came to be another one: renamed with a new one in its place, copied and
truncated, written anew, restored; nor whether we were running then. Where the text under the name is another
one, the former is looked for among the files beside it that begin with the same name (`attlog.dat.1`), is read
to its end, then those that are newer, then the new one from its start. Failure policy: when in doubt, rows are
read again rather than skipped, since what is sent twice is told by its OperationID.
"""

from __future__ import annotations

import codecs
import hashlib
import logging
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Self

from app.connector.errors import Away, RowError, Stop
from app.connector.formats import Format
from app.connector.push import Read

log = logging.getLogger("connector")

_CHUNK = 256 * 1024
_LONGEST_LINE = 64 * 1024
_WITNESS = 512  # bytes that a digest is of
_PACKED = frozenset((".gz", ".zip", ".bz2", ".xz", ".zst", ".7z"))
_MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))


@dataclass(frozen=True, slots=True)
class Place:
    """How far a text was read: bytes and lines, and how to know it again."""

    offset: int = 0
    line: int = 0
    head: str = ""  # digest of the first `head_bytes`
    head_bytes: int = 0
    tail: str = ""  # digest of the `tail_bytes` before the offset
    tail_bytes: int = 0
    encoding: str = ""
    header: list[str] | None = field(default=None)
    begun: int = 0  # where not a byte is known yet: files beside that are newer (mtime, ns) are unread

    @classmethod
    def load(cls, kept: dict[str, Any] | None) -> Self:
        return cls(**kept) if kept else cls()


class LineSource:
    """The rows of a file."""

    def __init__(
        self, path: Path, layout: Format, encoding: str | None, place: dict[str, Any] | None
    ) -> None:
        self._path = path
        self._layout = layout
        self._encoding = _checked(encoding) if encoding else None
        self._place = Place.load(place)
        if place is None:
            self._meet()

    def _meet(self) -> None:
        """Notes which text it is before any of it is read: it may be rotated, and we killed, before a row is sent."""
        with suppress(OSError):
            self._place = Place(begun=self._newest())
            with self._path.open("rb") as file:
                head = file.read(_WITNESS)
            self._place = replace(self._place, head=_digest(head) if head else "", head_bytes=len(head))

    def place(self) -> dict[str, Any]:
        return asdict(self._place)

    def skip_to_end(self) -> None:
        """Leaves out what is there now."""
        with suppress(Away):  # no file yet: nothing to leave out
            for read in self.rows():
                read.done()

    def rows(self) -> Iterator[Read]:
        """The whole lines that are new, of rotated files first."""
        try:
            while True:
                former = self._former()
                path = former or self._path
                with path.open("rb") as file:
                    if former is None and self._former() is not None:
                        continue  # rotated just before it was opened
                    yield from self._read(path, file)
                    if former is None:
                        return
                    self._place = Place(begun=os.fstat(file.fileno()).st_mtime_ns)
        except FileNotFoundError:
            raise Away(f"there is no file {self._path}") from None
        except OSError as error:
            raise Away(f"{self._path} can't be read ({error.strerror or error})") from None

    # Which text it is

    def _is_the_text(self, path: Path) -> bool:
        """Whether the file is the text that was being read."""
        place = self._place
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_size < place.offset:
                return False
            if place.head_bytes and _digest(file.read(place.head_bytes)) != place.head:
                return False
            file.seek(place.offset - place.tail_bytes)
            return not place.tail_bytes or _digest(file.read(place.tail_bytes)) == place.tail

    def _former(self) -> Path | None:
        """The file to read before the one under the name: of the former text, or a newer one; None where none is."""
        place = self._place
        if place.head_bytes and self._is_the_text(self._path):
            return None
        self._path.stat()  # the name has to be there again first
        beside = sorted(self._beside(), key=lambda path: (path.stat().st_mtime_ns, path.name))
        if not place.head_bytes:
            return next((path for path in beside if path.stat().st_mtime_ns > place.begun), None)
        for path in beside:
            if self._is_the_text(path):
                log.info("%s goes on in a new file; the former is %s", self._path, path.name)
                return path
        log.warning(
            "%s is another text than before, and the former is not beside it: it is read from its start. "
            "Rows that were added to the former after its line %d were not seen.",
            self._path,
            place.line,
        )
        self._place = Place(begun=self._newest())
        return None

    def _beside(self) -> list[Path]:
        return [path for path in self._path.parent.iterdir() if self._may_be_rotated(path)]

    def _newest(self) -> int:
        """When the file and those beside it were last written to."""
        there = [path for path in (self._path, *self._beside()) if path.exists()]
        return max((path.stat().st_mtime_ns for path in there), default=1)

    def _may_be_rotated(self, path: Path) -> bool:
        """`attlog.dat.1`, `attlog.dat-20261124`, `attlog-1.dat`; not what the connector itself keeps, nor archives."""
        return (
            path != self._path
            and path.name.startswith(self._path.stem)
            and path.suffix.lower() not in _PACKED
            and not path.name.endswith((".connector.json", ".lock", ".new", ".rejects.jsonl"))
            and path.is_file()
        )

    # Reading it

    def _read(self, path: Path, file: Any) -> Iterator[Read]:
        place = self._place
        if not place.encoding:
            place = replace(place, encoding=self._encoding or _encoding_of(file))
        head = b"" if place.head_bytes >= _WITNESS else _at(file, 0, _WITNESS)
        line_break = "\n".encode(place.encoding)
        file.seek(place.offset)
        rest = b""
        while chunk := file.read(_CHUNK):
            rest += chunk
            for line in _lines(rest, line_break):
                rest = rest[len(line) :]
                place = _moved(place, line, head)
                read = self._line(place, line, line_break, path)
                if read.fields is None and place.header is None and self._layout.has_header:
                    place = replace(place, header=self._layout.header(read.text))
                yield replace(read, done=partial(self._move, place))
            if len(rest) > _LONGEST_LINE:
                raise Stop(
                    f"{path}, line {place.line + 1} is longer than {_LONGEST_LINE // 1024} KiB: this is no file "
                    "of rows, or not in the encoding that --encoding says"
                )

    def _move(self, place: Place) -> None:
        self._place = place

    def _line(self, place: Place, line: bytes, line_break: bytes, path: Path) -> Read:
        where = f"{path}, line {place.line}"

        def made(fields: Any, text: str) -> Read:
            return Read(fields, where, text, lambda: None)

        try:
            text = (
                line.removesuffix(line_break).decode(place.encoding).removesuffix("\r").removeprefix("\ufeff")
            )
        except UnicodeDecodeError as error:
            shown = line.decode(place.encoding, "backslashreplace").rstrip()
            problem = (
                f"byte {error.start + 1} is not {place.encoding}: say --encoding, e.g. --encoding cp1252"
            )
            return made(RowError(problem), shown)
        if not text.strip("\0\x1a \t") or (self._layout.has_header and place.header is None):
            return made(None, text)
        try:
            return made(self._layout.fields(text, place.header), text)
        except RowError as error:
            return made(error, text)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:32]


def _at(file: Any, offset: int, size: int) -> bytes:
    file.seek(offset)
    content: bytes = file.read(size)
    return content


def _moved(place: Place, line: bytes, head: bytes) -> Place:
    """The place after a line. Its witnesses are of bytes that were read, so that they can't change any more."""
    offset = place.offset + len(line)
    tail = line[-_WITNESS:]
    moved = replace(place, offset=offset, line=place.line + 1, tail=_digest(tail), tail_bytes=len(tail))
    if place.head_bytes < _WITNESS:
        known = head[: max(min(offset, _WITNESS), place.head_bytes)]
        moved = replace(moved, head=_digest(known), head_bytes=len(known))
    return moved


def _lines(content: bytes, line_break: bytes) -> Iterator[bytes]:
    """The whole lines in it, with their breaks; of UTF-16, breaks at whole characters only."""
    width, start = len(line_break), 0
    found = content.find(line_break)
    while found >= 0:
        if (found - start) % width:
            found = content.find(line_break, found + 1)
            continue
        yield content[start : found + width]
        start = found + width
        found = content.find(line_break, start)


def _encoding_of(file: Any) -> str:
    """By its byte order mark, else UTF-8."""
    start = _at(file, 0, 4)
    return next((name for mark, name in _MARKS if start.startswith(mark)), "utf-8")


def _checked(encoding: str) -> str:
    """The name, if Python knows it; UTF-16 without a byte order is a little-endian one, as Windows writes it."""
    try:
        name = codecs.lookup(encoding).name
    except LookupError:
        raise Stop(f"--encoding: there is no {encoding!r}; right ones are utf-8, utf-16-le, cp1252") from None
    return {"utf-16": "utf-16-le", "utf-8-sig": "utf-8"}.get(name, name)
