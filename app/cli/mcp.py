"""`cams-relay mcp`: the server for AI assistants."""

from __future__ import annotations

import click

from app.cli.shared import checked_settings


@click.command()
@click.option(
    "--url",
    envvar="RELAY_URL",
    show_envvar=True,
    default="http://127.0.0.1:8000",
    show_default=True,
    help="URL of the relay.",
)
@click.option(
    "--http",
    "port",
    type=click.IntRange(1, 65_535),
    metavar="PORT",
    help="Serve streamable HTTP on this port, at /mcp, instead of standard input and output. Each client must "
    "send an API key of the relay: Authorization: Bearer KEY.",
)
@click.option(
    "--host", default="127.0.0.1", show_default=True, help="Address to listen on. This requires --http."
)
@click.option(
    "--allow-host",
    "hosts",
    multiple=True,
    metavar="NAME",
    help="A host name that clients may use, such as that of a proxy or tunnel. You can repeat this option. It "
    "requires --http.",
)
@click.option(
    "--cards-and-pins",
    is_flag=True,
    help="Let the assistant set card numbers and PINs when it adds users. The assistant's model then sees "
    "them.",
)
def mcp(url: str, port: int | None, host: str, hosts: tuple[str, ...], cards_and_pins: bool) -> None:
    """Serve AI assistants with the Model Context Protocol.

    By default, the server uses standard input and output. Its API key is RELAY_API_KEY or, if that isn't set, the one
    in the data folder.
    """
    url = url.rstrip("/")
    if not url.startswith(("http://", "https://")):
        raise click.ClickException(
            f"--url: {url[:80]!r} is not a URL; use, for example, --url https://relay.example.com"
        )
    if port is None:
        key = _own_key()
        import anyio

        from app.mcp.api_client import Relay
        from app.mcp.server import serve_stdio

        anyio.run(lambda: serve_stdio(Relay(url, key), cards_and_pins=cards_and_pins))
        return
    from app.mcp.http import is_loopback, serve

    if not is_loopback(host) and not hosts:
        raise click.ClickException(
            f"--host {host} is reachable from other machines. Name the host that clients use, e.g. "
            "--allow-host relay.example.com"
        )
    click.echo(f"MCP at http://{host}:{port}/mcp for the relay at {url}", err=True)
    serve(url, host, port, hosts, cards_and_pins=cards_and_pins)


def _own_key() -> str:
    """Return the key in RELAY_API_KEY, or the key that the relay created in the data folder."""
    settings = checked_settings()
    if settings.api_key:
        return settings.api_key
    try:
        return (settings.data_dir / "api_key").read_text().strip()
    except OSError:
        raise click.ClickException(
            f"there is no API key. Set RELAY_API_KEY, because {settings.data_dir.absolute()}/api_key can't be read"
        ) from None
