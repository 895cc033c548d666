"""Which callers the control API answers: those that reach it by a loopback name, or by a name it was given.

A page on the internet can have its own name resolve to 127.0.0.1 (DNS rebinding) and would then reach the control API
from the browser of whoever opens it. The browser sends that name as `Host`.
"""

import ipaddress
from collections.abc import Iterable
from urllib.parse import urlsplit

_LOCALHOST = "localhost"


class AllowedHosts:
    """Loopback names and addresses, and the names it is made with."""

    def __init__(self, names: Iterable[str] = ()) -> None:
        self._names = {_bare(name) for name in names}

    def allow(self, host: str) -> bool:
        """Whether a `Host` header names one of them, with or without a port."""
        name = _host_name(f"//{host}")
        return name is not None and (name in self._names or _is_loopback(name))

    def allow_origin(self, origin: str) -> bool:
        """Whether an `Origin` header does: a page of another site may not use the browser to call either."""
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
