"""`cams-relay openapi`: prints the API's description, without a running relay."""

from __future__ import annotations

import click


@click.command("openapi")
@click.option(
    "--format",
    "form",
    type=click.Choice(("json", "yaml", "gemini")),
    default="json",
    show_default=True,
    help="Output format. gemini prints function declarations, by default for the tag `actions`.",
)
@click.option(
    "--version", type=click.Choice(("3.1", "3.0", "2.0")), help="OpenAPI version. The default is 3.1."
)
@click.option("--tag", help="Print only operations with this tag, e.g. actions.")
@click.option(
    "--webhooks",
    is_flag=True,
    help="Include the deliveries that subscribed URLs receive. This requires OpenAPI 3.1.",
)
@click.option(
    "--url",
    envvar="RELAY_PUBLIC_URL",
    default="http://127.0.0.1:8000",
    show_default=True,
    help="URL of the relay, used as the server in the description.",
)
def describe(form: str, version: str | None, tag: str | None, webhooks: bool, url: str) -> None:
    """Print the OpenAPI description. It is the same as /openapi.json and /openapi.yaml.

    The relay doesn't need to be running.
    """
    import orjson

    from app import openapi

    if tag is not None and tag not in openapi.TAGS:
        raise click.ClickException(f"--tag: {tag[:64]!r} is not one of {', '.join(openapi.TAGS)}")
    if webhooks and (form == "gemini" or version not in (None, "3.1")):
        raise click.ClickException(
            "--webhooks: only OpenAPI 3.1 has webhooks. Leave out --webhooks, or the version"
        )
    if form == "gemini":
        if version is not None:
            raise click.ClickException(
                "--version: can't be combined with --format gemini. Leave one of them out"
            )
        printed = orjson.dumps(openapi.gemini(tag or "actions"), option=orjson.OPT_INDENT_2).decode()
    elif form == "yaml":
        printed = openapi.as_yaml(version or "3.1", tag, url.rstrip("/"), webhooks).rstrip("\n")
    else:
        printed = openapi.as_json(version or "3.1", tag, url.rstrip("/"), webhooks).decode()
    click.echo(printed)
