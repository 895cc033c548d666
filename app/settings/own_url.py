"""The relay's URL on its own machine."""

from __future__ import annotations

from app.settings.table import Settings


def local_url(settings: Settings) -> str:
    """Return the URL at which programs on this machine reach the web process, without a slash at the end."""
    host = "127.0.0.1" if settings.host in ("0.0.0.0", "::") else settings.host
    return f"http://{f'[{host}]' if ':' in host else host}:{settings.port}"
