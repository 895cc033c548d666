"""The process for automatic backups: a child of `cams-relay up`, or `cams-relay backup --every`."""

from __future__ import annotations

import signal
import sys
import time
from pathlib import Path
from typing import NoReturn

from app.base.log import configure
from app.base.loops import LOOPS
from app.settings.s3_url import S3Url
from app.settings.table import Settings
from app.store import Store
from app.store.upkeep.backup_schedule import LOOP, TURN_SECONDS, BackupSchedule


def run(settings: Settings, store: Store, folder: Path | S3Url, every: float, keep: int) -> NoReturn:
    """Make backups until SIGTERM. A backup in progress is then given up, and leaves no file."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    configure(settings.log_level, settings.log_format)
    LOOPS.start(store.loop_reports.write)
    schedule = BackupSchedule(store, folder, every, keep)
    while True:
        try:
            schedule.turn()
        except Exception as error:
            LOOPS.get(LOOP).failed(error)
        time.sleep(TURN_SECONDS)
