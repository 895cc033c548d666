"""A file is followed however it is replaced: every complete line is read once, in order."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from app.connector import formats
from app.connector.errors import Away, RowError, Stop
from app.connector.lines import LineSource


class Follower:
    """A source that is created again from its saved position for every read, as after a restart."""

    def __init__(
        self, path: Path, name: str = "csv", mapping: str = "user=1,time=2", encoding: str | None = None
    ) -> None:
        self._path, self._encoding = path, encoding
        self._layout = formats.make(name, mapping, None, None)
        self.position: str | None = None
        self.wrong: list[str] = []

    def meet(self) -> None:
        """Start for the first time, and stop before a row is read."""
        self.position = json.dumps(LineSource(self._path, self._layout, self._encoding, None).place())

    def look(self, most: int = 1_000_000) -> list[str]:
        """Return the users of up to `most` new rows. The rest stays unread, as after kill -9."""
        source = LineSource(
            self._path, self._layout, self._encoding, json.loads(self.position) if self.position else None
        )
        found: list[str] = []
        for read in source.rows():
            if len(found) == most:
                break
            if isinstance(read.fields, RowError):
                self.wrong.append(f"{read.where}: {read.fields}")
            elif read.fields is not None:
                found.append(str(read.fields["user"]))
            read.done()
            self.position = json.dumps(source.place())
        return found


def _rows(*users: object) -> str:
    return "".join(f"{user},2026-11-24 08:00:00 {user}\n" for user in users)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "attlog.dat"


def _append(path: Path, text: str) -> None:
    with path.open("a") as file:
        file.write(text)


def test_appended_lines_are_read_once_they_are_complete(path: Path) -> None:
    path.write_text(_rows(1, 2) + "3,2026-1")
    follower = Follower(path)
    assert follower.look() == ["1", "2"]
    assert follower.look() == []
    _append(path, "1-24 08:00:00\n4,x\n")
    assert follower.look() == ["3", "4"]


def test_reading_continues_after_any_row(path: Path) -> None:
    path.write_text(_rows(*range(50)))
    follower = Follower(path)
    assert [follower.look(1)[0] for _ in range(50)] == [str(number) for number in range(50)]
    assert follower.look() == []


def test_a_file_that_is_renamed_and_started_again_is_followed(path: Path) -> None:
    path.write_text(_rows(1, 2))
    follower = Follower(path)
    follower.look()
    _append(path, _rows(3))
    path.rename(path.with_name("attlog.dat.1"))
    path.write_text(_rows(4))
    assert follower.look() == ["3", "4"]


def test_a_file_rotated_several_times_while_stopped_is_followed(path: Path) -> None:
    path.write_text(_rows(1, 2))
    follower = Follower(path)
    assert follower.look(1) == ["1"]
    for number, name in enumerate(("attlog.dat.2", "attlog.dat.1")):
        path.rename(path.with_name(name))
        os.utime(path.with_name(name), (1_700_000_000 + number, 1_700_000_000 + number))
        path.write_text(_rows(f"new{number}"))
    assert follower.look() == ["2", "new0", "new1"]


def test_a_file_that_is_copied_and_truncated_is_followed(path: Path) -> None:
    path.write_text(_rows(1, 2))
    follower = Follower(path)
    follower.look()
    _append(path, _rows(3))
    path.with_name("attlog.dat.1").write_text(path.read_text())
    os.truncate(path, 0)
    _append(path, _rows(4))
    assert follower.look() == ["3", "4"]


def test_a_truncated_file_that_grows_past_the_place_is_read_from_its_start(path: Path) -> None:
    path.write_text(_rows(1, 2))
    follower = Follower(path)
    follower.look()
    path.write_text(_rows(*range(100, 140)))
    assert follower.look() == [str(number) for number in range(100, 140)]


def test_a_file_with_the_same_beginning_but_other_content_is_read_from_its_start(path: Path) -> None:
    """Two files with the same long header are still two files."""
    header = "# " + "x" * 2_000 + ",y\n"
    path.write_text(header + _rows(1, 2))
    follower = Follower(path)
    follower.look()
    path.write_text(header + _rows(5, 6, 7))
    assert follower.look()[-3:] == ["5", "6", "7"]


def test_a_rewritten_file_with_more_lines_is_continued(path: Path) -> None:
    path.write_text(_rows(1, 2))
    follower = Follower(path)
    follower.look()
    beside = path.with_name("export.tmp")
    beside.write_text(_rows(1, 2, 3))
    beside.replace(path)
    assert follower.look() == ["3"]


def test_a_file_that_is_emptied_deleted_and_recreated_is_followed(path: Path) -> None:
    path.write_text(_rows(1))
    follower = Follower(path)
    follower.look()
    path.write_text("")
    assert follower.look() == []
    path.unlink()
    with pytest.raises(Away, match="no file"):
        follower.look()
    path.write_text(_rows(2))
    assert follower.look() == ["2"]


def test_archives_and_the_connectors_own_files_are_not_rotated_files(path: Path) -> None:
    path.write_text(_rows(1))
    follower = Follower(path)
    follower.look()
    for name in ("attlog.dat.2.gz", "attlog.connector.json", "attlog.rejects.jsonl"):
        path.with_name(name).write_text(_rows(1, "wrong"))
    path.write_text(_rows("new"))
    assert follower.look() == ["new"]


def test_the_header_is_remembered_and_read_again_in_a_new_file(path: Path) -> None:
    path.write_text("EmpCode,When\n1,x\n")
    follower = Follower(path, mapping="user=EmpCode,time=When")
    assert follower.look() == ["1"]
    _append(path, "2,x\n")
    assert follower.look() == ["2"]
    path.rename(path.with_name("attlog.dat.1"))
    path.write_text("When,EmpCode\nx,3\n")
    assert follower.look() == ["3"]


def test_a_header_without_a_required_column_stops_the_connector(path: Path) -> None:
    path.write_text("EmpCode,Date\n1,x\n")
    with pytest.raises(Stop, match=r"no column 'When' for time\. It has EmpCode, Date"):
        Follower(path, mapping="user=EmpCode,time=When").look()


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252"])
def test_encodings_are_detected(path: Path, encoding: str) -> None:
    """Ċ and ਊ have a byte like a line break in UTF-16."""
    users = ["Zoë", "é"] if encoding == "cp1252" else ["Zoë", "Ċਊ", "ਊ"]
    path.write_bytes("".join(f"{user},x\r\n" for user in users).encode(encoding))
    named = None if encoding in ("utf-8", "utf-8-sig", "utf-16") else encoding
    follower = Follower(path, encoding=named)
    assert [follower.look(1)[0] for _ in users] == users
    if encoding not in ("utf-8-sig", "utf-16"):
        with path.open("ab") as file:
            file.write("Ö,x\r\n".encode(encoding))
        assert follower.look() == ["Ö"]


def test_a_line_in_another_encoding_is_rejected_with_its_number(path: Path) -> None:
    path.write_bytes(b"1,x\nZo\xeb,x\n3\n4,x\n\n")
    follower = Follower(path)
    assert follower.look() == ["1", "4"]
    assert "line 2: byte 3 is not utf-8. Set the encoding, e.g. --encoding" in follower.wrong[0]
    assert "line 3: time should be column 2, but there are 1" in follower.wrong[1]


def test_a_file_without_rows_of_text_stops_the_connector(path: Path) -> None:
    path.write_bytes(b"x" * 400_000)
    with pytest.raises(Stop, match="longer than 64 KiB"):
        Follower(path).look()


@pytest.mark.parametrize("first", ["", _rows(1)])
@pytest.mark.parametrize("copied", [False, True])
def test_a_file_rotated_before_its_first_row_was_sent_is_read(path: Path, first: str, copied: bool) -> None:
    """The connector is killed after the first read. The file is written to and rotated before the next one."""
    path.write_text(first)
    path.with_name("attlog.dat.7").write_text(_rows("older"))
    for there in (path, path.with_name("attlog.dat.7")):
        os.utime(there, (1_700_000_000, 1_700_000_000))
    follower = Follower(path)
    follower.meet()
    _append(path, _rows(2))
    if copied:
        path.with_name("attlog.dat.1").write_text(path.read_text())
        os.truncate(path, 0)
    else:
        path.rename(path.with_name("attlog.dat.1"))
        path.touch()
    _append(path, _rows(3))
    assert follower.look() == (["1"] if first else []) + ["2", "3"]
    assert follower.look() == []


def test_a_file_rotated_again_while_the_former_is_read_is_followed(path: Path) -> None:
    """The second file is created and rotated while rows from the first one are being sent."""
    path.write_text(_rows(1))
    layout = formats.make("csv", "user=1,time=2", None, None)
    source = LineSource(path, layout, None, None)
    found = []

    def take() -> None:
        for read in source.rows():
            assert isinstance(read.fields, dict)
            found.append(read.fields["user"])
            read.done()
            if read.fields["user"] == "2":
                path.rename(path.with_name("attlog.dat.2"))
                path.write_text(_rows(4))

    take()
    _append(path, _rows(2))
    path.rename(path.with_name("attlog.dat.1"))
    path.write_text(_rows(3))
    later = path.with_name("attlog.dat.1").stat().st_mtime_ns + 10**9
    os.utime(path, ns=(later, later))
    take()
    assert found == ["1", "2", "3", "4"]
