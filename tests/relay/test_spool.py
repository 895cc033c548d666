"""The spool: an acknowledged callback is in the store or on disk, despite failures of processes, disk and files."""

from __future__ import annotations

import errno
import os
import shutil
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from app.base.vault import Vault
from app.store.spool import records
from app.store.spool.disk import Disk
from app.store.spool.items import Sealer
from app.store.spool.segment import Segment
from app.store.spool.spool import Spool, Spooled, SpoolFull, Unstorable
from tests.relay.spooling import VAULT, FaultyDisk, brought_in, item, segments

# Disk failures


def test_a_failed_sync_fails_all_waiting_callbacks_and_ends_the_segment(tmp_path: Path) -> None:
    """Once, the next sync of the same file "succeeded", and the callback was acknowledged."""
    entered, go_on = threading.Semaphore(0), threading.Event()
    failing = [False]

    def sync(_: int) -> None:
        if failing[0]:
            failing[0] = False  # Linux only reports it once
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
    assert len(segments(tmp_path)) == 2, "nothing more may be written to the file whose sync failed"
    found: list[Spooled] = []
    spool.replay(found.append)
    assert found == [item(0), item(4)]


@pytest.mark.parametrize(
    "how", ["unlinked", "folder moved away", "folder removed", "another file in its place"]
)
def test_files_unlinked_while_in_use_are_written_again_before_the_next_acknowledgement(
    tmp_path: Path, how: str
) -> None:
    """Once, all later callbacks were acknowledged and lost."""
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


def test_if_the_file_cannot_be_written_again_nothing_is_acknowledged(tmp_path: Path) -> None:
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


def test_a_write_that_fails_halfway_does_not_affect_later_records(tmp_path: Path) -> None:
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


# Parked callbacks


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
    assert not spool.holds("DEV1"), "parked callbacks must not block others"
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


def test_callbacks_that_cannot_be_parked_do_not_block_others(tmp_path: Path) -> None:
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


@pytest.mark.parametrize("stored_by_the_other", [1, 3, 6])
def test_another_process_may_store_what_could_not_be_parked(tmp_path: Path, stored_by_the_other: int) -> None:
    disk = FaultyDisk()
    spool = Spool(tmp_path, VAULT, disk=disk, sleep=lambda _: None)
    items = [item(number, f"DEV{number % 3}") for number in range(6)]
    for one in items:
        spool.append(one)
    disk.failing = {"create"}
    with pytest.raises(SpoolFull):
        spool.replay(refusing("DEV0", []))
    disk.failing = set()
    other, found = Spool(tmp_path, VAULT), list[Spooled]()

    def store(one: Spooled) -> None:
        if len(found) == stored_by_the_other:
            raise ConnectionError("made up")
        found.append(one)

    with suppress(ConnectionError):
        other.replay(store)
    for number in (6, 7):
        spool.append(item(number, "DEV1"))
    spool.replay(found.append)
    assert {one.received_at for one in found} >= {item(number).received_at for number in (0, 3, 6, 7)}
    spool.check()
    assert segments(tmp_path) == [], "everything is in the store, so the file must be removed"
    assert spool._sum().waiting == 0


def test_a_process_that_was_overtaken_holds_nothing_and_does_not_go_back(tmp_path: Path) -> None:
    spool, disk = Spool(tmp_path, VAULT), Disk()
    for number in range(5):
        spool.append(item(number))
    (path,) = segments(tmp_path)
    frozen, other = (Segment(disk, path, disk.open(path), lambda _: True) for _ in range(2))
    found = [record for _, _, record in frozen.pending()]
    for record in found[:3]:
        other.settle(record.end)
    frozen.progress()
    frozen.hold(found[0])  # as if it had not been frozen
    frozen.settle(found[1].end)
    assert frozen.progress() == other.progress()
    frozen.settle(found[3].end)
    frozen.settle(found[4].end)
    assert frozen.is_drained() and frozen.progress().stored == 5
    for segment in (frozen, other):
        segment.close()
    spool.close()


# Several processes on one machine


def test_a_devices_callbacks_wait_behind_those_of_other_processes(tmp_path: Path) -> None:
    first, second = Spool(tmp_path, VAULT), Spool(tmp_path, VAULT)
    assert not second.holds("DEV1")
    first.append(item(0))
    assert second.holds("DEV1") and first.holds("DEV1")
    assert not second.holds("DEV2"), "other devices must not wait"
    second.append(item(1))
    first.append(item(2))
    found: list[Spooled] = []
    assert second.replay(found.append) == 3
    assert found == [item(0), item(1), item(2)], "must be in order of receipt, in whichever process"
    assert not first.holds("DEV1") and not second.holds("DEV1")
    first.check()
    assert segments(tmp_path) == []


def test_a_running_process_keeps_its_file_until_it_has_been_drained(tmp_path: Path) -> None:
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


def test_only_one_process_drains_the_spool_and_a_frozen_one_does_not_block_others(tmp_path: Path) -> None:
    now = [0.0]
    first = Spool(tmp_path, VAULT)
    second = Spool(tmp_path, VAULT, monotonic=lambda: now[0])
    for number in range(3):
        first.append(item(number))
    found: list[Spooled] = []

    def frozen_at_the_second(one: Spooled) -> None:
        if one == item(1) and not found:
            assert second.replay(found.append) == 0, "the other process is draining the spool"
            now[0] += 4.0
            assert second.replay(found.append) == 0
            now[0] += 4.0
            assert second.replay(found.append) == 2, "the other process has been frozen for eight seconds"
            assert not second.holds("DEV1")

    first.replay(frozen_at_the_second)
    assert found == [item(1), item(2)]
    assert segments(tmp_path) == []


def test_an_empty_spool_costs_one_read_of_the_folder(tmp_path: Path) -> None:
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


def test_an_interrupted_drain_continues_where_it_stopped(tmp_path: Path) -> None:
    spool = Spool(tmp_path, Vault("a" * 64))
    items = [Spooled("DEV1", float(number), "http://relay", b"{}") for number in range(10)]
    for one in items:
        spool.append(one)
    found: list[Spooled] = []

    def store(one: Spooled) -> None:
        if len(found) == 4 and interrupt:
            interrupt.pop()
            raise ConnectionError("the store is away again")
        found.append(one)

    interrupt = [True]
    with pytest.raises(ConnectionError):
        spool.replay(store)
    assert spool.replay(store) == 6
    assert found == items
    assert not spool.holds("DEV1")
    assert list(tmp_path.glob("*.spool")) == []


def test_a_folder_that_accepts_no_files_counts_as_full(tmp_path: Path) -> None:
    (tmp_path / "spool").write_text("a file")
    with pytest.raises(SpoolFull):
        Spool(tmp_path / "spool", Vault("a" * 64)).append(Spooled("DEV1", 1.0, "http://relay", b"{}"))
