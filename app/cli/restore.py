"""`cams-relay restore`: restores a backup into an empty store."""

from __future__ import annotations

import os
import secrets
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from app.cli.called_as import with_name
from app.cli.shared import asked_store, note, with_settings
from app.settings import readers
from app.settings.archive import FILE as ARCHIVE_FILE
from app.settings.s3_url import SCHEME, S3Url, s3_url
from app.settings.table import Settings

if TYPE_CHECKING:
    from app.store import Store
    from app.store.upkeep.hold import Waiting

_START_SECONDS = 120.0  # long enough for a slow or busy machine
_STOP_SECONDS = 60.0
_KEY_FILE = "secret_key"


class _Backup(click.Path):
    """A file, or the URL of a backup on S3-compatible storage."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not str(value).lower().startswith(SCHEME):
            return super().convert(value, param, ctx)
        try:
            return s3_url(value)
        except readers.HiddenValueError as error:
            self.fail(f"the value {error}", param, ctx)


@click.command()
@click.argument("file", type=_Backup(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--secret-key-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="File with the secret key of the relay that made the backup. It is secret_key in that relay's "
    "RELAY_DATA_DIR.",
)
@click.option(
    "--hold",
    is_flag=True,
    help="Disable all subscriptions and end all commands, so that nothing is sent. Use this if the relay that made "
    "the backup still runs.",
)
@with_settings
def restore(settings: Settings, file: Path | S3Url, secret_key_file: Path | None, hold: bool) -> None:
    """Restore a backup into an empty store. Stop web and worker first.

    FILE can also be s3://BUCKET/PREFIX/NAME.backup, with the same AWS_… settings as for `cams-relay backup`.

    The secret key of the backup is read from --secret-key-file, RELAY_SECRET_KEY or the file secret_key in
    RELAY_DATA_DIR. If none of them contains it, you are asked for it. Without REDIS_URL, the embedded store runs during
    the restore. If the store isn't empty, nothing is restored. If a restore is interrupted, the relay doesn't start
    with that store. Empty it and restore again. API keys stay valid. A restore also brings back people who were erased
    with `forget` since the backup. Erase them again.

    When the restored relay starts, it sends the deliveries and commands that were waiting. With --hold, it doesn't. To
    send the deliveries later, run `cams-relay subscriptions enable --held`.
    """
    from app.store.server.damage import left_out
    from app.store.upkeep.backup import restore as put_back
    from app.store.upkeep.backup_file import BackupError
    from app.store.upkeep.hold import hold as hold_all
    from app.store.upkeep.hold import waiting

    has_keys, left = False, None
    with _given_to_its_owner(settings.data_dir), _local_copy(settings.data_dir, file) as copy:
        settings = replace(settings, secret_key=_secret_key(settings, copy, secret_key_file))
        with _store(settings) as kept:

            def finish() -> None:
                nonlocal has_keys, left
                kept.identity.accept()
                has_keys = kept.api_keys.go_on_with_restored()
                if hold:
                    left = hold_all(kept)

            try:
                count = put_back(kept.connection, copy, kept.past, finish)
            except BackupError as error:
                raise click.ClickException(str(error)) from None
            if not hold:
                with left_out("what is waiting"):
                    left = waiting(kept)
            note(kept, "store.restored", detail=f"{count} keys, held" if hold else f"{count} keys")
    click.echo(f"{count} keys restored. Start the relay, for example with `cams-relay up`")
    if has_keys:
        click.echo("API keys from the backup are valid, and no new first key is made")
    elif not settings.api_key:
        click.echo(
            "The backup contains no API key with the scope admin. When the relay starts, it writes a first key to "
            f"{settings.data_dir}/api_key"
        )
    if left is not None:
        _say_what_waits(left, hold)


@contextmanager
def _local_copy(data_dir: Path, backup: Path | S3Url) -> Iterator[Path]:
    """The backup's file. One on S3 is downloaded to the data folder, and removed afterwards."""
    from app.base.private_folder import make_private
    from app.store.upkeep.backup_file import BackupError
    from app.store.upkeep.backup_s3 import download

    if isinstance(backup, Path):
        yield backup
        return
    make_private(data_dir)
    with tempfile.TemporaryDirectory(prefix="restore-", dir=data_dir) as folder:
        file = Path(folder) / "backup"
        try:
            download(backup, file)
        except BackupError as error:
            raise click.ClickException(str(error)) from None
        except OSError as error:
            raise click.ClickException(f"{data_dir} can't be written: {error.strerror}") from None
        yield file


def _say_what_waits(left: Waiting, hold: bool) -> None:
    deliveries = _counted(left.deliveries, "delivery", "deliveries")
    commands = _counted(left.commands, "command", "commands")
    if hold:
        subscriptions = _counted(left.subscriptions, "subscription", "subscriptions")
        click.echo(f"--hold has disabled {subscriptions} and ended {commands}")
        text = f"To send what is waiting ({deliveries}), run `cams-relay subscriptions enable --held`"
        click.echo(with_name(text))
    elif left.deliveries or left.commands:
        click.echo(
            f"{deliveries} and {commands} are waiting and will be sent when the relay starts. If the relay that made "
            "the backup still runs, don't start this one: empty the store, and restore again with --hold"
        )


def _counted(count: int, one: str, many: str) -> str:
    return f"{count} {one if count == 1 else many}"


# The secret key


def _secret_key(settings: Settings, file: Path, key_file: Path | None) -> str:
    """Return the backup's secret key. Unless it is a setting, save it in the data folder."""
    from app.base.vault import Vault
    from app.store.server.embedded import keep_private_file
    from app.store.upkeep.backup_file import BackupError, check_records, head_of

    try:
        key_id = head_of(file)["key_id"]
    except BackupError as error:
        raise click.ClickException(str(error)) from None
    kept = settings.data_dir / _KEY_FILE
    key, place = _offered_key(settings, kept, key_file)
    vault = Vault(key, settings.secret_key_old)
    if key_id not in vault.key_ids:
        raise click.ClickException(
            f"{place} is not the secret key that the backup was made with. Use that key, for example with "
            "--secret-key-file FILE. The old relay read it from RELAY_SECRET_KEY, or from the file secret_key in its "
            "RELAY_DATA_DIR"
        )
    try:
        with file.open("rb") as opened:
            check_records(opened, vault)
    except BackupError as error:
        raise click.ClickException(str(error)) from None
    if settings.secret_key is None and _text_of(kept) != key:
        if kept.exists():  # nothing is encrypted with the old key, but keep it to be safe
            kept.rename(kept.with_name(f"{_KEY_FILE}.unused-{secrets.token_hex(4)}"))
        keep_private_file(kept, key)
    return key


def _text_of(file: Path) -> str:
    return file.read_text(errors="replace").strip() if file.exists() else ""


def _offered_key(settings: Settings, kept: Path, key_file: Path | None) -> tuple[str, str]:
    """Return the secret key that the user provides, and its origin for messages."""
    found = []
    if key_file is not None:
        found.append((key_file.read_text(errors="replace").strip(), str(key_file)))
    if settings.secret_key is not None:
        found.append((settings.secret_key, "RELAY_SECRET_KEY"))
    elif _text_of(kept) and not (found and _is_unused(settings)):
        found.append((_text_of(kept), f"The key in {kept}"))
    if len(found) > 1 and found[0][0] != found[1][0]:
        what_to_do = (
            "Use only the key that the backup was made with"
            if settings.secret_key is not None
            else f"{settings.data_dir} may contain data that is encrypted with the second key. To restore there "
            f"without that data, stop the relay, and move {kept} and the folders store and spool of that folder away"
        )
        raise click.ClickException(f"{found[0][1]} and {found[1][1]} are different keys. {what_to_do}")
    if not found and sys.stdin.isatty():
        found.append((click.prompt("Secret key of the backup", hide_input=True).strip(), "This"))
    if not found or not found[0][0]:
        raise click.ClickException(
            "the secret key of the backup is missing. Use --secret-key-file FILE, or set "
            "RELAY_SECRET_KEY. The old relay read it from RELAY_SECRET_KEY, or from the file secret_key in its "
            "RELAY_DATA_DIR"
        )
    return found[0]


def _is_unused(settings: Settings) -> bool:
    """Return whether the data folder contains no data that could be encrypted with its key."""
    from app.store.server.admission import holds_something

    return settings.redis_url is None and not holds_something(settings)


# The owner of the files


@contextmanager
def _given_to_its_owner(folder: Path) -> Iterator[None]:
    """Afterwards, change the owner of root's files to the folder's owner, so that the relay's user can read them."""
    if os.geteuid() != 0:
        yield
        return
    above = folder = folder.resolve()
    while not above.exists():
        above = above.parent
    owner = above.stat()
    try:
        yield
    finally:
        if owner.st_uid != 0 and folder.is_dir():
            if folder.stat().st_uid == 0:
                os.chown(folder, owner.st_uid, owner.st_gid, follow_symlinks=False)
            _give(folder, owner.st_uid, owner.st_gid)


def _give(folder: Path, user: int, group: int) -> None:
    """Change the owner of the files, without following links, which the folder's owner may have created."""
    from app.store.access.api_keys import RESTORED

    for where, folders, files, at in os.fwalk(folder):
        if where == str(folder):  # at the top level, only what a restore creates
            folders[:] = {"store", "spool"}.intersection(folders)
            files = [name for name in files if name == RESTORED or name.startswith((_KEY_FILE, ARCHIVE_FILE))]
        for name in (*folders, *files):
            found = os.stat(name, dir_fd=at, follow_symlinks=False)
            if found.st_uid == 0 and (stat.S_ISDIR(found.st_mode) or found.st_nlink == 1):
                os.chown(name, user, group, dir_fd=at, follow_symlinks=False)


# The store


@contextmanager
def _store(settings: Settings) -> Iterator[Store]:
    """Provide the store. If it is the embedded store and isn't running, run it for the duration of the restore."""
    server = None if settings.redis_url or _answers(settings) else _started(settings)
    try:
        with asked_store(settings) as kept:
            yield kept
    finally:
        if server is not None:
            server.terminate()  # it saves its data before it ends
            try:
                server.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                server.kill()


def _answers(settings: Settings) -> bool:
    """Return whether the store can be reached."""
    import redis

    from app.store import Store, StoreRefused

    try:
        Store(settings).connection.redis.ping()
    except StoreRefused as error:
        raise click.ClickException(str(error)) from None
    except (redis.RedisError, OSError):  # for example because there is no password yet
        return False
    return True


def _started(settings: Settings) -> subprocess.Popen[bytes]:
    """Start the embedded store, wait until it can be reached, and return its process."""
    from app.store.server.embedded import die_with_parent

    server = subprocess.Popen([sys.executable, "-m", "app", "store"], preexec_fn=die_with_parent)
    deadline = time.monotonic() + _START_SECONDS
    while server.poll() is None and time.monotonic() < deadline:
        if _answers(settings):
            return server
        time.sleep(0.1)
    server.kill()
    server.wait()
    raise click.ClickException(
        f"the embedded store in {settings.data_dir} did not start. See its messages above. If the relay is running, "
        "stop it first"
    )
