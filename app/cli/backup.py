"""`cams-relay backup`: copies of the store."""

from __future__ import annotations

from pathlib import Path

import click

from app.cli.shared import asked_store, note, refuse_wrong_store, with_settings
from app.settings import readers
from app.settings.backups import backup_place
from app.settings.s3_url import S3Url
from app.settings.table import Settings

_WHERE_THE_KEY_IS = (
    "Keep the secret key in a different place: RELAY_SECRET_KEY, or the file secret_key in RELAY_DATA_DIR"
)


def _interval(_context: click.Context, _parameter: click.Parameter, text: str | None) -> float | None:
    try:
        return None if text is None else readers.interval(text)
    except ValueError as error:
        raise click.BadParameter(f"{text!r} {error}, e.g. 1d") from None


def _place(_context: click.Context, _parameter: click.Parameter, text: str | None) -> Path | S3Url | None:
    try:
        return None if text is None else backup_place(text)
    except readers.HiddenValueError as error:
        raise click.BadParameter(f"the value {error}") from None


@click.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path), required=False)
@click.option(
    "--to",
    "folder",
    callback=_place,
    metavar="DIRECTORY|s3://BUCKET/PREFIX",
    help="Folder or S3-compatible storage to save to instead of FILE. The name of the backup contains the time. "
    "The default is RELAY_BACKUP_TO.",
)
@click.option(
    "--every", callback=_interval, help="Keep running, and make a backup this often, e.g. 12h or 1d."
)
@click.option(
    "--keep",
    type=click.IntRange(1, 10_000),
    help="Number of backups to keep in the folder. Older backups of this store are removed once a new one is complete "
    "and verified. With --every, the default is RELAY_BACKUP_KEEP. Otherwise, no backups are removed.",
)
@with_settings
def backup(
    settings: Settings, file: Path | None, folder: Path | S3Url | None, every: float | None, keep: int | None
) -> None:
    """Save a copy of the store to FILE, or to a folder. The relay can keep running.

    The file is encrypted with RELAY_SECRET_KEY, which is not included. Keep the key in a different place. Without the
    key, the backup can't be used. Anyone who has both can read everything. The spool is not included, either.

    If RELAY_BACKUP_TO is set, `cams-relay up` makes backups automatically.

    s3://BUCKET/PREFIX requires boto3 (pip install boto3). Set AWS_ACCESS_KEY_ID and
    AWS_SECRET_ACCESS_KEY, and AWS_ENDPOINT_URL if the storage isn't on AWS.
    """
    if file is not None:
        if folder is not None or every is not None or keep is not None:
            raise click.UsageError("--to, --every and --keep can't be combined with FILE. Leave out FILE")
        _to_file(settings, file)
        return
    folder = folder or settings.backups.to
    if folder is None:
        raise click.ClickException("give a file, or set a folder with --to FOLDER or RELAY_BACKUP_TO")
    if isinstance(folder, Path):
        folder = folder.absolute()
    if every is None:
        _to_folder(settings, folder, keep)
        return
    from app.run.backups import run
    from app.store import Store

    refuse_wrong_store(settings)
    run(settings, Store(settings), folder, every, keep or settings.backups.keep)


def _to_file(settings: Settings, file: Path) -> None:
    from app.store.upkeep.backup import backup as copy
    from app.store.upkeep.backup_file import BackupError

    file = (
        file if file.exists() and not file.is_file() else file.resolve()
    )  # a link stays, and leads to the copy
    if not file.parent.is_dir():
        raise click.ClickException(f"the folder {file.parent} doesn't exist")
    if file.exists() and not file.is_file():
        # The finished backup replaces the file, so a device such as /dev/stdout would be removed from the machine.
        raise click.ClickException(f"{file} is not a file. Choose a file")
    with asked_store(settings) as kept:
        try:
            count = copy(kept.connection, file, kept.past, kept.api_keys.first_record())
        except BackupError as error:
            raise click.ClickException(str(error)) from None
        except OSError as error:  # errors of the store are redis.RedisError
            raise click.ClickException(f"{file} can't be written: {error.strerror}") from None
        note(kept, "store.backed_up", detail=f"{count} keys")
    click.echo(f"{count} keys saved to {file}. {_WHERE_THE_KEY_IS}")


def _to_folder(settings: Settings, folder: Path | S3Url, keep: int | None) -> None:
    from app.store.upkeep.backup_file import BackupError
    from app.store.upkeep.backup_schedule import BackupSchedule, explained

    with asked_store(settings) as kept:
        schedule = BackupSchedule(kept, folder, settings.backups.every, keep)
        ours = schedule.folder()
        if ours is None:
            raise click.ClickException("the store has no ID yet. Start the web process once")
        try:
            made = schedule.make(ours)
        except BackupError as error:
            raise click.ClickException(str(error)) from None
        except OSError as error:
            raise click.ClickException(f"the backup can't be written: {explained(error)}") from None
    click.echo(f"Saved to {made}. {_WHERE_THE_KEY_IS}")
    if schedule.removal_error is not None:
        raise click.ClickException(f"older backups can't be removed: {explained(schedule.removal_error)}")
