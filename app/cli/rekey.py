"""`cams-relay rekey`: changes the secret key."""

from __future__ import annotations

import click

from app.cli.shared import asked_store, note, with_settings
from app.settings.table import Settings


@click.command()
@with_settings
def rekey(settings: Settings) -> None:
    """Re-encrypt all data with a new key. RELAY_SECRET_KEY is the new key, and RELAY_SECRET_KEY_OLD the old one.

    First, restart every process with both keys. Then run this command. The relay can keep running. Finally, remove
    RELAY_SECRET_KEY_OLD. If this command is interrupted, run it again.
    """
    from app.store.upkeep.rekey import PURPOSES, Rekey, WrongKeys

    if not settings.secret_key_old:
        raise click.ClickException("RELAY_SECRET_KEY_OLD is not set. Set it to the previous key")
    with asked_store(settings) as kept:
        try:
            done = Rekey(kept.connection, kept.past.archive).run()
        except WrongKeys:
            raise click.ClickException(
                "Nothing was changed. RELAY_SECRET_KEY_OLD doesn't decrypt any of the data that "
                "RELAY_SECRET_KEY can't decrypt. Set it to exactly the key that was used before."
            ) from None
        note(kept, "secret_key.changed", detail=f"{done.sealed.total()} sealed anew")
    for purpose, count in sorted(done.sealed.items()):
        click.echo(f"{count} {PURPOSES[purpose]} encrypted with the new key")
    for purpose, count in sorted(done.unreadable.items()):
        click.echo(f"{count} {PURPOSES[purpose]} can't be decrypted with either key")
    if done.busy_segments:
        raise click.ClickException(
            "callbacks are being spooled, possibly with the old key. Run this again in a moment"
        )
    click.echo(
        "Everything is encrypted with the new key. Remove RELAY_SECRET_KEY_OLD and restart. Photo links "
        "created before that will then stop working."
    )
