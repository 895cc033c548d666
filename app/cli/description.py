"""`cams-relay openapi`: the API's description, without a running relay."""

from __future__ import annotations

import click


@click.command("openapi")
@click.option(
    "--format",
    "form",
    type=click.Choice(("json", "yaml", "gemini")),
    default="json",
    show_default=True,
    help="gemini: function declarations, of the tag `actions` where no other is named.",
)
@click.option(
    "--version", type=click.Choice(("3.1", "3.0", "2.0")), help="Of OpenAPI; 3.1 where none is named."
)
@click.option("--tag", help="Only the operations under this tag, e.g. actions.")
@click.option(
    "--url",
    envvar="RELAY_PUBLIC_URL",
    default="http://127.0.0.1:8000",
    show_default=True,
    help="Where the relay is served. RELAY_PUBLIC_URL where that is set.",
)
def describe(form: str, version: str | None, tag: str | None, url: str) -> None:
    """Prints the API's description, as /openapi.json and /openapi.yaml serve it; needs no running relay."""
    import orjson

    from app import openapi

    if tag is not None and tag not in openapi.TAGS:
        raise click.ClickException(f"--tag: {tag[:64]!r} is not one of {', '.join(openapi.TAGS)}")
    if form == "gemini":
        if version is not None:
            raise click.ClickException("--version: is OpenAPI's, and --format gemini is none; leave one out")
        printed = orjson.dumps(openapi.gemini(tag or "actions"), option=orjson.OPT_INDENT_2).decode()
    elif form == "yaml":
        printed = openapi.as_yaml(version or "3.1", tag, url.rstrip("/")).rstrip("\n")
    else:
        printed = openapi.as_json(version or "3.1", tag, url.rstrip("/")).decode()
    click.echo(printed)
