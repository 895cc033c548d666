"""The store as a whole: `backup`, `restore` and `rekey`."""

from __future__ import annotations

from pathlib import Path

import click

from app.cli.shared import asked_store, note, with_settings
from app.settings import Settings


@click.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@with_settings
def backup(settings: Settings, file: Path) -> None:
    """Copies all that is in the store to FILE, while the relay runs.

    Secrets and templates in it are encrypted; events are not. RELAY_SECRET_KEY is not in it: keep that apart, for
    without it the copy can't be used, and with it the copy could be read by whoever finds it. Nor is the spool.
    """
    from app.store.backup import backup as copy

    if not file.parent.is_dir():
        raise click.ClickException(f"there is no folder {file.parent}")
    with asked_store(settings) as kept:
        try:
            count = copy(kept.connection, file)
        except OSError as error:  # the store's are redis.RedisError
            raise click.ClickException(f"{file} can't be written: {error.strerror}") from None
        note(kept, "store.backed_up", detail=f"{count} keys")
    click.echo(f"{count} keys are in {file}; keep RELAY_SECRET_KEY elsewhere")


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@with_settings
def restore(settings: Settings, file: Path) -> None:
    """Puts a backup into an empty store; refuses where there is something. Web and worker must not run meanwhile.

    What was forgotten since the backup was made is back afterwards: forget it again.
    """
    from app.store.backup import BackupError
    from app.store.backup import restore as put_back

    with asked_store(settings) as kept:
        try:
            count = put_back(kept.connection, file)
        except BackupError as error:
            raise click.ClickException(str(error)) from None
        note(kept, "store.restored", detail=f"{count} keys")
    click.echo(f"{count} keys are back; start web and worker")


@click.command()
@with_settings
def rekey(settings: Settings) -> None:
    """Encrypts everything under RELAY_SECRET_KEY that RELAY_SECRET_KEY_OLD encrypted.

    First give every process both keys and restart it. Then run this, while the relay runs or without. Then take
    RELAY_SECRET_KEY_OLD away. Breaking it off does no harm: run it again.
    """
    from app.store.rekey import PURPOSES, Rekey, WrongKeys

    if not settings.secret_key_old:
        raise click.ClickException("RELAY_SECRET_KEY_OLD is not set: there is no key to change from")
    with asked_store(settings) as kept:
        try:
            done = Rekey(kept.connection).run()
        except WrongKeys:
            raise click.ClickException(
                "Nothing was changed: RELAY_SECRET_KEY_OLD opens nothing of what RELAY_SECRET_KEY doesn't. "
                "It must be the key that was in use before, to the letter."
            ) from None
        note(kept, "secret_key.changed", detail=f"{done.sealed.total()} sealed anew")
    for purpose, count in sorted(done.sealed.items()):
        click.echo(f"{count} {PURPOSES[purpose]} sealed under the new key")
    for purpose, count in sorted(done.unreadable.items()):
        click.echo(f"{count} {PURPOSES[purpose]} can't be opened with either key")
    if done.busy_segments:
        raise click.ClickException(
            "callbacks are being spooled just now, perhaps under the old key: run this again in a moment"
        )
    click.echo(
        "All is under the new key. Take RELAY_SECRET_KEY_OLD away and restart. Links to photos that were given out "
        "before then stop opening."
    )
