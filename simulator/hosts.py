"""Host names at which the control API can be called: loopback names and configured names.

A page on the internet can make its own name resolve to 127.0.0.1 (DNS rebinding), and would then reach the control API
from its visitors' browsers. The browser sends that name as `Host`.
"""

import ipaddress
from collections.abc import Iterable
from urllib.parse import urlsplit

_LOCALHOST = "localhost"


class AllowedHosts:
    """Loopback names and addresses, and the configured names."""

    def __init__(self, names: Iterable[str] = ()) -> None:
        self._names = {_bare(name) for name in names}

    def allow(self, host: str) -> bool:
        """Return whether a `Host` header contains an allowed name, with or without a port."""
        name = _host_name(f"//{host}")
        return name is not None and (name in self._names or _is_loopback(name))

    def allow_origin(self, origin: str) -> bool:
        """Return whether an `Origin` header contains an allowed name, so that other sites' pages can't call the API."""
        name = _host_name(origin)
        return name is not None and (name in self._names or _is_loopback(name))


def _host_name(url: str) -> str | None:
    try:
        name = urlsplit(url).hostname
    except ValueError:
        return None
    return _bare(name) if name else None


def _bare(name: str) -> str:
    return name.strip().strip("[]").lower().removesuffix(".")


def _is_loopback(name: str) -> bool:
    if name == _LOCALHOST or name.endswith(f".{_LOCALHOST}"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
