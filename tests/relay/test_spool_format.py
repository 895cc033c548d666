"""The spool's files: damage only affects the records it touches, and no damaged file is deleted."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.base.vault import Vault
from app.store.spool import records
from app.store.spool.items import Sealer
from app.store.spool.records import HEADER, Damage, Record
from app.store.spool.spool import Spool, Spooled
from tests.relay.spooling import VAULT, brought_in, item, segments


@pytest.fixture(scope="module")
def written() -> tuple[bytes, list[Spooled], list[int]]:
    """A segment of ten records, and the offset of each record's end."""
    items = [item(number, f"DEV{number % 3}", size=17 * number) for number in range(10)]
    content, ends = records.header(records.Progress()), []
    for one in items:
        content += Sealer(VAULT).record(one)
        ends.append(len(content))
    return content, items, ends


def read_all(content: bytes) -> list[Record | Damage]:
    return list(records.records(lambda at, count: content[at : at + count], records.HEADER, len(content)))


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_damage_only_loses_the_records_it_touches(
    written: tuple[bytes, list[Spooled], list[int]], data: st.DataObject
) -> None:
    content, items, ends = written
    starts = [records.HEADER, *ends[:-1]]
    at = data.draw(st.integers(records.HEADER, len(content) - 1))
    kind = data.draw(st.sampled_from(("flip", "insert", "delete", "overwrite", "truncate")))
    length = data.draw(st.integers(1, 300))
    noise = data.draw(st.binary(min_size=length, max_size=length))
    end = min(len(content), at + length)
    damaged = {
        "flip": content[:at] + bytes([content[at] ^ (1 << length % 8)]) + content[at + 1 :],
        "insert": content[:at] + noise + content[at:],
        "delete": content[:at] + content[end:],
        "overwrite": content[:at] + noise[: end - at] + content[end:],
        "truncate": content[:at],
    }[kind]
    touched_to = {"flip": at + 1, "insert": at, "truncate": len(content)}.get(kind, end)
    spared = [
        one for one, start, stop in zip(items, starts, ends, strict=True) if stop <= at or start >= touched_to
    ]
    found = [Sealer(VAULT).item(one) for one in read_all(damaged) if isinstance(one, Record)]
    assert [one for one in spared if one not in found] == []
    assert [one for one in found if one not in items] == []


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.integers(0, 2_000), bit=st.integers(0, 7))
def test_a_file_with_a_flipped_bit_is_never_deleted(
    written: tuple[bytes, list[Spooled], list[int]], at: int, bit: int
) -> None:
    content, items, _ = written
    damaged = bytearray(content)
    damaged[at % len(content)] ^= 1 << bit
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "1-dead.spool"
        path.write_bytes(damaged)
        found = brought_in(Path(folder))
        assert len(found) >= 9 and [one for one in found if one not in items] == []
        if len(found) < 10:
            assert path.with_suffix(".damaged").read_bytes()[records.HEADER :] == damaged[records.HEADER :]


@settings(max_examples=100, deadline=None)
@given(content=st.binary(max_size=2_000))
def test_arbitrary_bytes_are_read_without_an_error_and_kept(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "1-dead.spool"
        path.write_bytes(content)
        assert brought_in(Path(folder)) == []
        if len(content) > records.HEADER and any(content):
            saved = [one for one in Path(folder).iterdir() if one.suffix in (".damaged", ".unreadable")]
            assert [one.read_bytes() for one in saved] == [content]


def old_segment(items: list[Spooled]) -> bytes:
    """Return a segment as version 0.1 wrote it."""
    content = b""
    for one in items:
        plain = b'["%s",%f,"%s"]\n' % (one.device_id.encode(), one.received_at, one.base_url.encode())
        sealed = VAULT.seal("spool", plain + one.body)
        content += len(sealed).to_bytes(4, "big") + sealed
    return content


@settings(max_examples=100, deadline=None)
@given(at=st.integers(0, 10_000), bit=st.integers(0, 7))
def test_segments_of_earlier_versions_are_read_even_with_a_flipped_bit(at: int, bit: int) -> None:
    items = [item(number, size=100) for number in range(10)]
    content = bytearray(old_segment(items))
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "1-dead.spool").write_bytes(content)
        assert brought_in(Path(folder)) == items
        assert segments(Path(folder)) == []
        content[at % len(content)] ^= 1 << bit
        (Path(folder) / "2-dead.spool").write_bytes(content)
        assert len(brought_in(Path(folder))) >= 9
        assert [one for one in Path(folder).iterdir() if one.suffix in (".damaged", ".unreadable")]


def test_a_flipped_bit_in_a_length_loses_one_of_ten_records_and_keeps_the_file(tmp_path: Path) -> None:
    """Once, this lost seven of the ten records, and the file was deleted."""
    spool = Spool(tmp_path, VAULT)
    for number in range(10):
        spool.append(item(number))
    spool.close()
    (path,) = segments(tmp_path)
    content = bytearray(path.read_bytes())
    third = content.find(records.MARKER, content.find(records.MARKER, records.HEADER + 1) + 1)
    content[third + 9] ^= 4
    path.write_bytes(content)
    assert brought_in(tmp_path) == [item(number) for number in range(10) if number != 2]
    assert len(segments(tmp_path, "damaged")) == 1
    assert Spool(tmp_path, VAULT).summary().damaged == (segments(tmp_path, "damaged")[0].name,)


def test_an_incomplete_last_record_is_not_damage(tmp_path: Path) -> None:
    content = records.header(records.Progress()) + Sealer(VAULT).record(item(1))
    for number in range(1, 200):
        (tmp_path / "1-dead.spool").write_bytes(content + Sealer(VAULT).record(item(2, size=500))[:number])
        assert brought_in(tmp_path) == [item(1)]
        assert segments(tmp_path) == segments(tmp_path, "damaged") == []


def test_files_set_aside_with_a_wrong_key_are_stored_with_the_right_one(tmp_path: Path) -> None:
    spool = Spool(tmp_path, VAULT)
    spool.append(item(0))
    spool.close()
    (tmp_path / "0-old.spool").write_bytes(old_segment([item(1)]))
    wrong = Spool(tmp_path, Vault("another-made-up-key-of-the-spool-tests-01"))
    wrong.check()
    wrong.replay([].append)
    assert len(segments(tmp_path, "unreadable")) == 2
    again = Spool(tmp_path, VAULT)
    again.check()
    found: list[Spooled] = []
    again.replay(found.append)
    assert sorted(one.received_at for one in found) == [1_000.0, 1_001.0]
    assert segments(tmp_path, "unreadable") == segments(tmp_path) == []


def test_files_encrypted_with_another_key_are_set_aside_and_kept(tmp_path: Path) -> None:
    item = Spooled("DEV1", 1.0, "http://relay", b"{}")
    first = Spool(tmp_path, Vault("a" * 64))
    first.append(item)
    (segment,) = tmp_path.glob("*.spool")
    content = segment.read_bytes()
    first.close()
    found: list[Spooled] = []
    Spool(tmp_path, Vault("b" * 64)).replay(found.append)
    assert found == []
    assert not segment.exists()
    saved = segment.with_suffix(".unreadable").read_bytes()
    assert saved[HEADER:] == content[HEADER:]


def test_a_zeroed_tail_ends_a_segment(tmp_path: Path) -> None:
    """A file system may leave this of a record that was cut off by a power loss."""
    spool = Spool(tmp_path, Vault("a" * 64))
    item = Spooled("DEV1", 1.0, "http://relay", b"{}")
    spool.append(item)
    spool.close()
    (segment,) = tmp_path.glob("*.spool")
    segment.write_bytes(segment.read_bytes() + bytes(4096))
    found: list[Spooled] = []
    Spool(tmp_path, Vault("a" * 64)).replay(found.append)
    assert found == [item]
    assert not list(tmp_path.glob("*.spool")) and not list(tmp_path.glob("*.damaged"))
