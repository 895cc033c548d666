"""One store's automatic backups on S3-compatible storage.

A backup is written and checked on the local disk, in a folder of RELAY_DATA_DIR, and then uploaded. An upload appears
under its name only when it is complete, and the storage compares its checksum.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from app.base.private_folder import make_private
from app.settings.s3_url import S3Url
from app.store.upkeep.backup_file import BackupError
from app.store.upkeep.backup_folder import BackupFolder
from app.store.upkeep.backup_names import BackupNames, Kept, newest_of, surplus
from app.store.upkeep.s3_client import explained_errors, open_client

_FOLDER = "backup-upload"  # in RELAY_DATA_DIR
_LISTED_SECONDS = 3_600.0  # a list is only read again after this, because storage providers charge for it
_PART_BYTES = 16 << 20
_GROWTH = 1.1  # from one backup to the next
_RESERVE = 64 << 20  # bytes that stay free for callbacks


class S3Backups:
    """The backups of one store in a folder of a bucket."""

    def __init__(self, place: S3Url, store_id: str, origin: str, data_dir: Path) -> None:
        self._place = place
        self._names = BackupNames(store_id, origin)
        self._local = BackupFolder(data_dir / _FOLDER, store_id, origin)
        self._local_folder = data_dir / _FOLDER
        self._client: Any = None
        self._listed: tuple[float, list[Kept]] | None = None
        self._newest_size: int | None = None  # bytes of the newest backup that was listed

    def newest(self, now: float) -> Kept | None:
        """Return the newest backup, except those dated ahead. Raises BackupError."""
        return newest_of(self._all(), now)

    def ahead(self, now: float) -> list[str]:
        """Return the names of the backups that are dated in the future. Raises BackupError."""
        return sorted(kept.path.name for kept in self._all() if kept.is_ahead(now))

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes of this machine from making backups meanwhile. Raises BackupError and OSError."""
        make_private(self._local_folder)
        with self._local.locked():
            yield

    def remove_abandoned(self) -> None:
        """Remove the local copies of backups whose process was killed. Call it while locked. Raises OSError."""
        self._local.remove_abandoned()
        for path in self._local_folder.iterdir():
            if self._names.made_at(path.name) is not None:
                path.unlink(missing_ok=True)

    def save(self, write: Callable[[Path], int], now: float) -> tuple[S3Url, int]:
        """Make a backup with `write`, and upload it; return where it is, and what `write` returned.

        Raises BackupError, OSError, and what `write` raises.
        """
        client = self._open()  # what is wrong with it is found before the store is copied
        self._check_room()
        path = self._local_folder / self._names.new(now)
        place = self._place.below(path.name)
        try:
            count = write(path)
            self._listed = None
            with explained_errors(place), path.open("rb") as file:
                self._upload(client, file, place)
                size = client.head_object(Bucket=place.bucket, Key=place.path)["ContentLength"]
            if size != path.stat().st_size:
                raise BackupError(f"{place} isn't complete: it has {size} bytes of {path.stat().st_size}")
        finally:
            path.unlink(missing_ok=True)
        return place, count

    def remove_all_but(self, count: int, new: Path | S3Url, now: float) -> list[str]:
        """Remove this store's oldest backups, so that `count` are left; return their names. See `surplus`.

        Raises BackupError once all were tried.
        """
        removed = []
        failed: BackupError | None = None
        self._listed = None
        client = self._open()
        for kept in surplus(self._all(), count, new, now):
            try:
                with explained_errors(f"{self._place}/{kept.path.name}"):
                    key = self._place.below(kept.path.name).path
                    client.delete_object(Bucket=self._place.bucket, Key=key)
                removed.append(kept.path.name)
            except BackupError as error:
                failed = error
        self._listed = None
        if failed is not None:
            raise failed
        return removed

    def _check_room(self) -> None:
        """Raise BackupError if the copy could fill the disk, which is also that of the embedded store and the spool."""
        self._all()
        size = self._newest_size
        if size is None:  # the first one is no larger than what the embedded store has written
            size = sum(
                path.stat().st_size for path in self._local_folder.parent.glob("store/appendonlydir/*")
            )
        free, needed = shutil.disk_usage(self._local_folder).free, int(size * _GROWTH) + _RESERVE
        if free < needed:
            raise BackupError(
                f"a backup is first written to {self._local_folder}, whose disk has only {free >> 20} MiB free. It "
                f"needs about {needed >> 20} MiB. Free up space"
            )

    def _upload(self, client: Any, file: Any, place: S3Url) -> None:
        from boto3.s3.transfer import TransferConfig

        config = TransferConfig(
            use_threads=False, multipart_threshold=_PART_BYTES, multipart_chunksize=_PART_BYTES
        )
        client.upload_fileobj(file, place.bucket, place.path, Config=config)

    def _open(self) -> Any:
        if self._client is None:
            self._client = open_client()
        return self._client

    def _all(self) -> list[Kept]:
        if self._listed is not None and 0 <= time.monotonic() - self._listed[0] < _LISTED_SECONDS:
            return self._listed[1]
        found = []
        sizes: dict[str, int] = {}
        start = self._place.below(self._names.start).path
        client = self._open()  # before the errors of a library that may be missing are explained
        with explained_errors(self._place):
            pages = client.get_paginator("list_objects_v2").paginate(Bucket=self._place.bucket, Prefix=start)
            for page in pages:
                for entry in page.get("Contents", ()):
                    name = str(entry["Key"]).rpartition("/")[2]
                    made_at = self._names.made_at(name)
                    if made_at is not None and entry["Key"] == self._place.below(name).path:
                        found.append(Kept(made_at, self._place.below(name)))
                        sizes[name] = entry["Size"]
        newest = max(found, default=None, key=lambda kept: kept.made_at)
        self._newest_size = None if newest is None else sizes[newest.path.name]
        self._listed = (time.monotonic(), found)
        return found


def download(place: S3Url, file: Path) -> None:
    """Copy an object to a file. Raises BackupError and OSError."""
    client = open_client()  # it says what to install if boto3 is missing
    from boto3.s3.transfer import TransferConfig

    with explained_errors(place), file.open("xb") as target:
        client.download_fileobj(place.bucket, place.path, target, Config=TransferConfig(use_threads=False))
