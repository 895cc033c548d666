"""The spool by itself: acknowledged means in the store or on disk, whatever happens to process, disk or files."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from app.base.vault import Vault
from app.store.spool import records
from app.store.spool.disk import Disk
from app.store.spool.items import Sealer
from app.store.spool.records import Damage, Record
from app.store.spool.spool import Spool, Spooled, SpoolFull, Unstorable

VAULT = Vault("made-up-key-of-the-spool-tests-0123456789")


def item(number: int, device: str = "DEV1", size: int = 10) -> Spooled:
    return Spooled(device, 1_000.0 + number, "http://relay", b"%d " % number + b"x" * size)


def segments(folder: Path, suffix: str = "spool") -> list[Path]:
    return sorted(folder.glob(f"*.{suffix}"))


def brought_in(folder: Path) -> list[Spooled]:
    """What a process that starts now hands to the store."""
    found: list[Spooled] = []
    spool = Spool(folder, VAULT)
    spool.replay(found.append)
    spool.close()
    return found


class FaultyDisk(Disk):
    """A disk whose syncs and writes can be made to fail. A failed sync forgets what was not synced, as Linux may."""

    def __init__(self) -> None:
        super().__init__(self._sync)
        self.failing: set[str] = set()
        self.syncs = 0

    def _sync(self, descriptor: int) -> None:
        self.syncs += 1
        if "sync" in self.failing:
            raise OSError(errno.EIO, "made-up I/O error")

    def write(self, descriptor: int, at: int, data: bytes) -> None:
        if "write" in self.failing:
            super().write(descriptor, at, data[: len(data) // 2])
            raise OSError(errno.ENOSPC, "made-up full disk")
        super().write(descriptor, at, data)

    def create(self, path: Path) -> int:
        if "create" in self.failing and path.suffix == ".new":
            raise OSError(errno.EACCES, "made-up refusal")
        return super().create(path)


# The format


@pytest.fixture(scope="module")
def written() -> tuple[bytes, list[Spooled], list[int]]:
    """A segment of ten records, and where each ends."""
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
def test_damage_costs_the_records_it_touches_and_no_other(
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
def test_any_bytes_are_read_without_an_error_and_kept(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "1-dead.spool"
        path.write_bytes(content)
        assert brought_in(Path(folder)) == []
        if len(content) > records.HEADER and any(content):
            kept = [one for one in Path(folder).iterdir() if one.suffix in (".damaged", ".unreadable")]
            assert [one.read_bytes() for one in kept] == [content]


def old_segment(items: list[Spooled]) -> bytes:
    """As version 0.1 wrote it."""
    content = b""
    for one in items:
        plain = b'["%s",%f,"%s"]\n' % (one.device_id.encode(), one.received_at, one.base_url.encode())
        sealed = VAULT.seal("spool", plain + one.body)
        content += len(sealed).to_bytes(4, "big") + sealed
    return content


@settings(max_examples=100, deadline=None)
@given(at=st.integers(0, 10_000), bit=st.integers(0, 7))
def test_segments_of_earlier_versions_are_read_also_with_a_flipped_bit(at: int, bit: int) -> None:
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


def test_a_flipped_bit_in_a_length_loses_one_of_ten_and_keeps_the_file(tmp_path: Path) -> None:
    """It lost seven of ten, and the file was deleted."""
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


# The disk


def test_a_failed_sync_fails_all_who_wait_for_it_and_ends_the_segment(tmp_path: Path) -> None:
    """The next one's sync of the same file "succeeded", and it was acknowledged."""
    entered, go_on = threading.Semaphore(0), threading.Event()
    failing = [False]

    def sync(_: int) -> None:
        if failing[0]:
            failing[0] = False  # Linux says it once
            entered.release()
            assert go_on.wait(10)
            raise OSError(errno.EIO, "made-up I/O error")

    spool = Spool(tmp_path, VAULT, sync)
    spool.append(item(0))
    failing[0] = True
    results: dict[int, BaseException | None] = {}

    def append(number: int) -> None:
        try:
            spool.append(item(number))
            results[number] = None
        except SpoolFull as error:
            results[number] = error

    threads = [threading.Thread(target=append, args=(number,)) for number in (1, 2, 3)]
    threads[0].start()
    assert entered.acquire(timeout=10)
    for thread in threads[1:]:
        thread.start()
    while segments(tmp_path)[0].stat().st_size < records.HEADER + 4 * len(Sealer(VAULT).record(item(0))):
        pass
    go_on.set()
    for thread in threads:
        thread.join(10)
    assert [type(results[number]) for number in (1, 2, 3)] == [SpoolFull] * 3
    spool.append(item(4))
    assert len(segments(tmp_path)) == 2, "nothing more is written to the file whose sync failed"
    found: list[Spooled] = []
    spool.replay(found.append)
    assert found == [item(0), item(4)]


@pytest.mark.parametrize(
    "how", ["unlinked", "folder moved away", "folder removed", "another file in its place"]
)
def test_files_unlinked_while_in_use_are_written_again_before_the_next_acknowledgement(
    tmp_path: Path, how: str
) -> None:
    """Everything later was acknowledged and lost for ever."""
    folder = tmp_path / "spool"
    spool = Spool(folder, VAULT)
    spool.append(item(0))
    spool.append(item(1))
    (path,) = segments(folder)
    if how == "unlinked":
        path.unlink()
    elif how == "folder moved away":
        folder.rename(tmp_path / "elsewhere")
    elif how == "folder removed":
        shutil.rmtree(folder)
    else:
        path.unlink()
        path.write_bytes(b"")
    spool.append(item(2))
    spool.close()
    assert brought_in(folder) == [item(0), item(1), item(2)]


def test_unlinked_files_are_written_again_without_another_callback(tmp_path: Path) -> None:
    spool = Spool(tmp_path, VAULT)
    spool.append(item(0))
    spool.park(item(1), "made up")
    for path in (*segments(tmp_path), *segments(tmp_path, "parked")):
        path.unlink()
    spool.check()
    spool.close()
    again = Spool(tmp_path, VAULT)
    assert (again.summary().waiting, again.summary().parked) == (1, 1)


def test_where_it_cannot_be_written_again_nothing_is_acknowledged(tmp_path: Path) -> None:
    disk = FaultyDisk()
    spool = Spool(tmp_path, VAULT, disk=disk)
    spool.append(item(0))
    segments(tmp_path)[0].unlink()
    disk.failing = {"create"}
    with pytest.raises(SpoolFull):
        spool.append(item(1))
    with pytest.raises(SpoolFull):
        spool.check()
    disk.failing = set()
    spool.append(item(2))
    spool.close()
    found = brought_in(tmp_path)
    assert found[0] == item(0) and found[-1] == item(2)


def test_a_write_that_fails_halfway_leaves_nothing_in_front_of_later_ones(tmp_path: Path) -> None:
    disk = FaultyDisk()
    spool = Spool(tmp_path, VAULT, disk=disk)
    spool.append(item(0))
    disk.failing = {"write"}
    with pytest.raises(SpoolFull):
        spool.append(item(1))
    disk.failing = set()
    spool.append(item(2))
    spool.close()
    assert brought_in(tmp_path) == [item(0), item(2)]
    assert segments(tmp_path, "damaged") == []


# Parking


def refusing(device: str, found: list[Spooled]) -> Callable[[Spooled], None]:
    def store(one: Spooled) -> None:
        if one.device_id == device:
            raise Unstorable("made up")
        found.append(one)

    return store


def test_callbacks_that_the_store_refuses_are_parked_and_others_continue(tmp_path: Path) -> None:
    spool = Spool(tmp_path, VAULT, sleep=lambda _: None)
    for number in range(9):
        spool.append(item(number, f"DEV{number % 3}"))
    found: list[Spooled] = []
    assert spool.replay(refusing("DEV1", found)) == 9
    assert found == [item(number, f"DEV{number % 3}") for number in range(9) if number % 3 != 1]
    assert segments(tmp_path) == []
    shown = Spool(tmp_path, VAULT).summary()
    assert (shown.waiting, shown.parked, shown.oldest_parked) == (0, 3, 1_001.0)
    assert [one.reason for one in spool.listed(".parked")] == ["made up"] * 3
    assert not spool.holds("DEV1"), "what is parked holds up nothing"
    found.clear()
    assert spool.retry_parked(refusing("DEV1", found)) == 0
    assert spool.retry_parked(found.append) == 3
    assert found == [item(number, "DEV1") for number in (1, 4, 7)]
    assert segments(tmp_path, "parked") == []


def test_callbacks_that_stay_parked_are_kept_when_others_are_stored(tmp_path: Path) -> None:
    spool = Spool(tmp_path, VAULT)
    for number in range(6):
        spool.park(item(number, f"DEV{number % 2}"), "made up")
    found: list[Spooled] = []
    assert spool.retry_parked(refusing("DEV1", found)) == 3
    spool.close()
    again = Spool(tmp_path, VAULT)
    assert again.summary().parked == 3
    assert again.retry_parked(found.append) == 3
    assert len(found) == 6


def test_callbacks_that_cannot_be_parked_stay_in_the_queue(tmp_path: Path) -> None:
    disk = FaultyDisk()
    spool = Spool(tmp_path, VAULT, disk=disk, sleep=lambda _: None)
    spool.append(item(0))
    disk.failing = {"create"}
    with pytest.raises(SpoolFull):
        spool.replay(refusing("DEV1", []))
    disk.failing = set()
    spool.close()
    assert brought_in(tmp_path) == [item(0)]


def test_callbacks_that_cannot_be_parked_hold_up_no_others(tmp_path: Path) -> None:
    disk = FaultyDisk()
    spool = Spool(tmp_path, VAULT, disk=disk, sleep=lambda _: None)
    for number in range(9):
        spool.append(item(number, f"DEV{number % 3}"))
    disk.failing = {"create"}
    found: list[Spooled] = []
    for _ in range(2):
        with pytest.raises(SpoolFull):
            spool.replay(refusing("DEV1", found))
        assert found == [item(number, f"DEV{number % 3}") for number in range(9) if number % 3 != 1]
    assert spool.holds("DEV1")
    assert not spool.holds("DEV0") and not spool.holds("DEV2"), "their callbacks are all in the store"
    assert spool._sum().waiting == 3
    disk.failing = set()
    assert spool.replay(refusing("DEV1", found)) == 3
    assert spool.summary().parked == 3 and segments(tmp_path) == []
    found.clear()
    assert spool.retry_parked(found.append) == 3


def test_a_kill_while_callbacks_cannot_be_parked_loses_none(tmp_path: Path) -> None:
    disk = FaultyDisk()
    spool = Spool(tmp_path, VAULT, disk=disk, sleep=lambda _: None)
    for number in range(6):
        spool.append(item(number, f"DEV{number % 3}"))
    disk.failing = {"create"}
    with pytest.raises(SpoolFull):
        spool.replay(refusing("DEV1", []))
    spool.close()
    assert brought_in(tmp_path) == [item(number, f"DEV{number % 3}") for number in range(1, 6)]


# Several processes of one machine


def test_a_devices_callbacks_wait_behind_those_of_other_processes(tmp_path: Path) -> None:
    first, second = Spool(tmp_path, VAULT), Spool(tmp_path, VAULT)
    assert not second.holds("DEV1")
    first.append(item(0))
    assert second.holds("DEV1") and first.holds("DEV1")
    assert not second.holds("DEV2"), "other devices wait for nothing"
    second.append(item(1))
    first.append(item(2))
    found: list[Spooled] = []
    assert second.replay(found.append) == 3
    assert found == [item(0), item(1), item(2)], "in order of receipt, whoever took them"
    assert not first.holds("DEV1") and not second.holds("DEV1")
    first.check()
    assert segments(tmp_path) == []


def test_a_process_that_lives_keeps_its_file_until_it_sees_that_it_is_drained(tmp_path: Path) -> None:
    first, second = Spool(tmp_path, VAULT), Spool(tmp_path, VAULT)
    first.append(item(0))
    second.replay([].append)
    assert len(segments(tmp_path)) == 1
    first.append(item(1))
    found: list[Spooled] = []
    second.replay(found.append)
    assert found == [item(1)]
    first.check()
    assert segments(tmp_path) == []


def test_only_one_process_brings_in_and_a_frozen_one_is_not_waited_for(tmp_path: Path) -> None:
    now = [0.0]
    first = Spool(tmp_path, VAULT)
    second = Spool(tmp_path, VAULT, monotonic=lambda: now[0])
    for number in range(3):
        first.append(item(number))
    found: list[Spooled] = []

    def frozen_at_the_second(one: Spooled) -> None:
        if one == item(1) and not found:
            assert second.replay(found.append) == 0, "it is the other one's turn"
            now[0] += 4.0
            assert second.replay(found.append) == 0
            now[0] += 4.0
            assert second.replay(found.append) == 2, "which has not moved for eight seconds"
            assert not second.holds("DEV1")

    first.replay(frozen_at_the_second)
    assert found == [item(1), item(2)]
    assert segments(tmp_path) == []


def test_nothing_spooled_costs_one_look_at_the_folder(tmp_path: Path) -> None:
    looked: list[Path] = []

    class Watched(Disk):
        def changed(self, path: Path) -> tuple[int, int] | None:
            looked.append(path)
            return super().changed(path)

        def names(self, folder: Path) -> list[str]:
            looked.append(folder)
            return super().names(folder)

    os.utime(tmp_path, (1, 1))
    spool = Spool(tmp_path, VAULT, disk=Watched())
    spool.holds("DEV1")
    looked.clear()
    for _ in range(10):
        assert not spool.holds("DEV1")
    assert looked == [tmp_path] * 10


# Any sequence


class Machine(RuleBasedStateMachine):
    """Two processes on one folder, a store that comes and goes, and a disk that fails: nothing acknowledged is lost."""

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp())
        self.folder = self.root / "spool"
        self.acknowledged: set[int] = set()
        self.stored: list[int] = []
        self.number = 0
        self.away = False
        self.refused: set[str] = set()

    @initialize()
    def start(self) -> None:
        self.disks = [FaultyDisk(), FaultyDisk()]
        self.spools = [self._process(0), self._process(1)]

    def _process(self, which: int) -> Spool:
        return Spool(self.folder, VAULT, disk=self.disks[which], sleep=lambda _: None)

    def _store(self, one: Spooled) -> None:
        if self.away:
            raise ConnectionError("made up")
        if one.device_id in self.refused:
            raise Unstorable("made up")
        self.stored.append(int(one.body.split()[0]))

    @rule(which=st.integers(0, 1), device=st.sampled_from(("DEV1", "DEV2")), parked=st.booleans())
    def append(self, which: int, device: str, parked: bool) -> None:
        self.number += 1
        one = item(self.number, device)
        with suppress(SpoolFull):
            if parked:
                self.spools[which].park(one, "made up")
            else:
                self.spools[which].append(one)
            self.acknowledged.add(self.number)

    @rule(which=st.integers(0, 1))
    def replay(self, which: int) -> None:
        with suppress(ConnectionError, SpoolFull, OSError):
            self.spools[which].replay(self._store)

    @rule(which=st.integers(0, 1))
    def retry(self, which: int) -> None:
        with suppress(ConnectionError, SpoolFull, OSError):
            self.spools[which].retry_parked(self._store)

    @rule(which=st.integers(0, 1))
    def check(self, which: int) -> None:
        with suppress(SpoolFull, OSError):
            self.spools[which].check()

    @rule(which=st.integers(0, 1), what=st.sets(st.sampled_from(("sync", "write", "create"))))
    def disk_fails(self, which: int, what: set[str]) -> None:
        self.disks[which].failing = what

    @rule(away=st.booleans(), refused=st.sets(st.sampled_from(("DEV1", "DEV2"))))
    def store_changes(self, away: bool, refused: set[str]) -> None:
        self.away, self.refused = away, refused

    @rule(which=st.integers(0, 1))
    def die(self, which: int) -> None:
        self.spools[which].close()
        self.spools[which] = self._process(which)

    @precondition(lambda self: not any(disk.failing for disk in self.disks))
    @rule(folder=st.booleans())
    def unlink(self, folder: bool) -> None:
        """Of files whose process lives and looks after them before it dies."""
        live = {
            one.path for spool in self.spools for one in (*spool._queue.segments, *spool._parked.segments)
        }
        if folder and live >= {*segments(self.folder), *segments(self.folder, "parked")}:
            shutil.rmtree(self.folder, ignore_errors=True)
        else:
            for path in live:
                path.unlink(missing_ok=True)
        for spool in self.spools:
            spool.check()

    @invariant()
    def nothing_is_lost(self) -> None:
        if not hasattr(self, "spools"):
            return
        reader = Spool(self.folder, VAULT)
        on_disk = {
            int(one.body.split()[0]) for suffix in (".spool", ".parked") for one in reader.listed(suffix)
        }
        reader.close()
        assert self.acknowledged - set(self.stored) - on_disk == set()

    def teardown(self) -> None:
        self.away, self.refused = False, set()
        for which, disk in enumerate(self.disks):
            disk.failing = set()
            self.spools[which].check()
        for _ in range(2):
            for spool in self.spools:
                spool.replay(self._store)
                spool.retry_parked(self._store)
                spool.check()
        try:
            assert self.acknowledged <= set(self.stored)
            left = [one for suffix in ("spool", "parked", "damaged") for one in segments(self.folder, suffix)]
            assert left == []
        finally:
            for spool in self.spools:
                spool.close()
            shutil.rmtree(self.root, ignore_errors=True)


TestAnySequence = Machine.TestCase
TestAnySequence.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
