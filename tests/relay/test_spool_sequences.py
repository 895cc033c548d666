"""The spool in random sequences of steps: no acknowledged callback is lost."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from app.store.spool.spool import Spool, Spooled, SpoolFull, Unstorable
from tests.relay.spooling import VAULT, FaultyDisk, item, segments


class Machine(RuleBasedStateMachine):
    """Two processes with one folder, an unreliable store, and a disk that fails. Nothing acknowledged is lost."""

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
        """Unlink files of living processes, which then check them before they die."""
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
