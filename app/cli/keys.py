"""`cams-relay keys`: API keys."""

from __future__ import annotations

from urllib.parse import quote, urlsplit

import click

from app.base.printable import printable
from app.cli.operator import operator
from app.cli.output import as_json, print_json, print_rows
from app.cli.shared import asked_store, note, with_settings
from app.settings.table import Settings


@click.group()
def keys() -> None:
    """Manage API keys."""


@keys.command("create")
@click.option("--name", required=True, help="A name for the key, such as the app that uses it.")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    required=True,
    help="A scope of the key. You can repeat this option. `admin` includes all scopes.",
)
@click.option(
    "--device",
    "device_ids",
    multiple=True,
    help="The ID of a device that the key may access. You can repeat this option. By default, it may access all.",
)
@with_settings
def create_key(settings: Settings, name: str, scopes: tuple[str, ...], device_ids: tuple[str, ...]) -> None:
    """Create an API key and print it. It is not shown again."""
    from app.store.access.scopes import FOR_ALL_DEVICES, SCOPES

    unknown = sorted(set(scopes) - set(SCOPES))
    if unknown:
        raise click.ClickException(f"there is no scope {unknown[0]!r}. Use one of: {', '.join(SCOPES)}")
    unlimited = [scope for scope in FOR_ALL_DEVICES if scope in scopes]
    if device_ids and unlimited:
        raise click.ClickException(f"the scope {unlimited[0]} can't be limited to devices")
    with asked_store(settings) as kept:
        missing = sorted(set(device_ids).difference(kept.devices.ids()))
        if missing:
            raise click.ClickException(f"{missing[0]!r} is not a registered device")
        key, record = kept.api_keys.create(name, list(scopes), device_ids=list(device_ids) or None)
        note(kept, "api_key.created", subject=record["id"], detail=" ".join(scopes))
    click.echo(key)


@keys.command("list")
@as_json
@with_settings
def list_keys(settings: Settings, as_json: bool) -> None:
    """List the API keys, oldest first, without the keys themselves.

    The first key, which is in RELAY_API_KEY or in the data folder, is not in the list.
    """
    with operator(settings) as api:
        print_rows(
            api.rows("/v1/api-keys"),
            {
                "ID": lambda key: key["id"],
                "NAME": lambda key: key["name"],
                "LAST 4": lambda key: key["key_hint"],
                "CREATED": lambda key: key["created_at"],
                "EXPIRES": lambda key: key["expires_at"],
                "LAST USED": lambda key: key["last_used_at"],
                "DEVICES": lambda key: " ".join(key["device_ids"] or ()),
                "SCOPES": lambda key: " ".join(key["scopes"]),
            },
            json=as_json,
            none="There are no API keys except the first one, which is in RELAY_API_KEY or in the data folder.",
        )


@keys.command("rename")
@click.argument("key_id")
@click.argument("name")
@as_json
@with_settings
def rename_key(settings: Settings, key_id: str, name: str, as_json: bool) -> None:
    """Change the name of the API key with the ID KEY_ID to NAME. The key itself stays the same."""
    with operator(settings) as api:
        changed = api.call("PATCH", f"/v1/api-keys/{quote(key_id, safe='')}", json={"name": name})
    if as_json:
        print_json(changed)
    else:
        click.echo(f"The API key {key_id} is now called {printable(changed['name'])!r}.")


@keys.command("rotate")
@click.argument("key_id")
@click.option(
    "--overlap",
    type=int,
    default=24 * 3_600,
    show_default=True,
    help="Seconds for which the previous key stays valid, at most 30 days. With 0, it stops working immediately.",
)
@as_json
@with_settings
def rotate_key(settings: Settings, key_id: str, overlap: int, as_json: bool) -> None:
    """Replace the secret of an API key. Prints the new secret, which is not shown again.

    Name, scopes and ID stay the same. To replace the first key, change RELAY_API_KEY or remove the file api_key in the
    data folder, and restart the relay.
    """
    with operator(settings) as api:
        rotated = api.call(
            "POST",
            f"/v1/api-keys/{quote(key_id, safe='')}/rotate",
            json={"previous_key_expires_in": overlap},
        )
    if as_json:
        print_json(rotated)
        return
    until = rotated["previous_key_expires_at"]
    click.echo(
        f"The previous key is valid until {until}." if until else "The previous key no longer works.",
        err=True,
    )
    click.echo(rotated["key"])


@keys.command()
@click.argument("key_id")
@click.option("--yes", is_flag=True, help="Don't ask anything.")
@click.option(
    "--subscriptions",
    type=click.Choice(["keep", "delete"]),
    help="What to do with the subscriptions that the key created. Without this, the command asks; with --yes, it keeps "
    "them.",
)
@as_json
@with_settings
def revoke(settings: Settings, key_id: str, yes: bool, subscriptions: str | None, as_json: bool) -> None:
    """Delete the API key with the ID KEY_ID. It stops working immediately.

    To replace the first key, change RELAY_API_KEY or remove the file api_key in the data folder, and restart the relay.
    """
    with operator(settings) as api:
        found = next((key for key in api.rows("/v1/api-keys") if key["id"] == key_id), None)
        if found is None:
            raise click.ClickException(
                f"there is no API key with the ID {key_id!r}. List the keys with `cams-relay keys list`"
            )
        if not yes:
            click.confirm(
                f"Revoke the API key {printable(found['name'])!r} ({key_id})?", abort=True, err=True
            )
        created = [one for one in api.rows("/v1/subscriptions") if one["created_by"] == key_id]
        if created:
            click.echo(
                "The key created these subscriptions. If they are kept, they still receive events:", err=True
            )
            for one in created:
                click.echo(f"  {one['id']} {printable(urlsplit(one['target_url']).netloc)}", err=True)
            if subscriptions is None and not yes:
                subscriptions = "delete" if click.confirm("Delete them?", err=True) else "keep"
        api.call("DELETE", f"/v1/api-keys/{key_id}?subscriptions={subscriptions or 'keep'}")
    if as_json:
        print_json({"id": key_id, "revoked": True})
    else:
        click.echo(f"The API key {printable(found['name'])!r} ({key_id}) no longer works.")
