"""The address guard: which addresses the relay may call. It prevents attacks on the relay's own network (SSRF).

The API calls `AddressGuard.check_url` for each URL that it gets. `workers.http.client` calls `AddressGuard.permits`
for the address of every socket that it opens. Only the second check protects, because a name may change its address in
between (DNS rebinding). The first one tells people about a problem at once.
"""

from __future__ import annotations

import contextlib
import re
import socket
from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any
from urllib.parse import SplitResult, quote, urlsplit

SETTING = "RELAY_ALLOW_PRIVATE_TARGETS"
MAX_URL = 2048

_Address = IPv4Address | IPv6Address

# From the IANA special-purpose registries. They are listed here because `ipaddress.is_global` differs between patch
# releases of Python.
_SPECIAL: tuple[tuple[IPv4Network | IPv6Network, str], ...] = tuple(
    (ip_network(network), kind)
    for network, kind in (
        ("0.0.0.0/8", "an unspecified"),
        ("10.0.0.0/8", "a private"),
        ("100.64.0.0/10", "a carrier-grade NAT"),
        ("127.0.0.0/8", "a loopback"),
        ("169.254.0.0/16", "a link-local"),
        ("172.16.0.0/12", "a private"),
        ("192.0.0.0/24", "a reserved"),
        ("192.0.2.0/24", "a documentation"),
        ("192.88.99.0/24", "a reserved"),
        ("192.168.0.0/16", "a private"),
        ("198.18.0.0/15", "a benchmarking"),
        ("198.51.100.0/24", "a documentation"),
        ("203.0.113.0/24", "a documentation"),
        ("224.0.0.0/4", "a multicast"),
        ("240.0.0.0/4", "a reserved"),
        ("::/128", "an unspecified"),
        ("::1/128", "a loopback"),
        ("2001::/23", "a reserved"),
        ("2001:db8::/32", "a documentation"),
        ("3fff::/20", "a documentation"),
        ("fc00::/7", "a private"),
        ("fe80::/10", "a link-local"),
        ("ff00::/8", "a multicast"),
    )
)
# All unicast addresses that have been assigned so far. All other IPv6 addresses are reserved.
_GLOBAL_V6 = IPv6Network("2000::/3")
_NAT64 = IPv6Network("64:ff9b::/96")

# IDNA 2003 (in the standard library) and IDNA 2008 (in browsers) map these to different names.
_AMBIGUOUS = re.compile("[ß\u03c2\u200c\u200d]")
_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_BLANK = re.compile(r"[\s\x00-\x1f\x7f-\x9f]")
_SAFE_IN_URL = "!$%&'()*+,-./:;=?@[]_~"
_DEFAULT_PORTS = {"http": 80, "https": 443}


class UrlRefused(ValueError):
    """The relay refuses to call a URL. The message is one or two sentences for people."""


class AddressGuard:
    """Permits public unicast addresses, and the private ones that the operator has allowed.

    `allowed` is the value of RELAY_ALLOW_PRIVATE_TARGETS: empty, `all`, or comma-separated networks. Raises
    ValueError, with a sentence that contains the wrong item and a valid example.
    """

    def __init__(self, allowed: str, look_up: Callable[..., Any] | None = None) -> None:
        """`look_up` finds a name's addresses, like `socket.getaddrinfo`. A web worker has its own."""
        self._look_up = look_up
        items = [item.strip() for item in allowed.split(",") if item.strip()]
        self._all = any(item.lower() == "all" for item in items)
        self._allowed = [_network(item) for item in items if item.lower() != "all"]
        self._items = items

    def permits(self, address: str) -> bool:
        """Return whether the relay may connect to this IP address; False if it isn't one."""
        try:
            return self._permits(ip_address(address.partition("%")[0]))
        except ValueError:
            return False

    def refusal(self, address: str) -> str:
        """Return why an IP address that `permits` refused is refused, and what would allow it."""
        ip = ip_address(address.partition("%")[0])
        inner = next((part for part in _embedded(ip) if not self._permits(part)), ip)
        widened = ",".join([*self._items, f"{inner}/{inner.max_prefixlen}"])
        return (
            f"{address} is {_kind(inner)} address, which the relay does not call. To allow it, set "
            f"{SETTING}={widened}."
        )

    def check_url(self, url: str, *, resolve: bool = True) -> str:
        """Return the normalised URL: host in lower case and ASCII, no fragment, no default port.

        With `resolve`, a name is looked up (which blocks) and refused if any of its addresses isn't permitted. A name
        that isn't found is accepted, because it may exist later, and connections are checked anyway. Raises
        UrlRefused.
        """
        parts = _split(url)
        host = _host(parts)
        port = _port(parts)
        for address in self._addresses(host, port or _DEFAULT_PORTS[parts.scheme], resolve=resolve):
            if not self.permits(address):
                via = "" if address == host else f"{host} resolves to a refused address: "
                raise UrlRefused(via + self.refusal(address))
        normal = _join(parts, host, port)
        if len(normal) > MAX_URL:
            raise UrlRefused(f"The URL is longer than {MAX_URL} characters.")
        return normal

    def _addresses(self, host: str, port: int, *, resolve: bool) -> list[str]:
        """Return the current addresses of `host`; none for a name that isn't found, or isn't looked up."""
        with contextlib.suppress(ValueError):
            return [str(ip_address(host))]
        if not resolve:
            return []
        try:
            found = (self._look_up or socket.getaddrinfo)(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError):
            return []
        return [str(entry[4][0]) for entry in found]

    def _permits(self, ip: _Address) -> bool:
        if self._all or any(ip in network for network in self._allowed):
            return True
        if inner := _embedded(ip):
            return all(self._permits(part) for part in inner)
        return _kind(ip) == ""


def origin(url: str) -> str:
    """Return scheme, host and port of a URL, normalised: `https://robot.camsunit.com:443`. Raises UrlRefused."""
    parts = _split(url)
    host = _host(parts)
    return f"{parts.scheme}://{f'[{host}]' if ':' in host else host}:{_port(parts) or _DEFAULT_PORTS[parts.scheme]}"


def _network(item: str) -> IPv4Network | IPv6Network:
    """Read the network in one item of the setting."""
    try:
        return ip_network(item)
    except ValueError:
        pass
    right = "10.1.0.0/16,192.168.1.5/32"
    with contextlib.suppress(ValueError):
        right = str(ip_network(item, strict=False))
    raise ValueError(
        f"{SETTING} contains {item!r}, which is not a network. Use CIDR notation, for example "
        f"{SETTING}={right}, or all."
    )


def _embedded(ip: _Address) -> list[IPv4Address]:
    """Yield the IPv4 addresses that a packet to this IPv6 address would reach through a translator or tunnel."""
    if isinstance(ip, IPv4Address):
        return []
    if ip.ipv4_mapped:
        return [ip.ipv4_mapped]
    if ip in _NAT64:
        return [IPv4Address(int(ip) & 0xFFFFFFFF)]
    if ip.sixtofour:
        return [ip.sixtofour]
    return list(ip.teredo or ())


def _kind(ip: _Address) -> str:
    """Return `a loopback`, `a private`, … for an address that isn't public, otherwise an empty text."""
    for network, kind in _SPECIAL:
        if ip in network:
            return kind
    return "a reserved" if isinstance(ip, IPv6Address) and ip not in _GLOBAL_V6 else ""


def _split(url: str) -> SplitResult:
    """Split a URL, if all parsers read it in the same way. Raises UrlRefused otherwise."""
    if len(url) > MAX_URL:
        raise UrlRefused(f"The URL is longer than {MAX_URL} characters.")
    # Before parsing: urlsplit silently drops line breaks, and parsers disagree about backslashes.
    if _BLANK.search(url) or "\\" in url:
        raise UrlRefused("The URL contains a space, a control character or a backslash. Percent-encode it.")
    try:
        url.encode()
        parts = urlsplit(url)
    except ValueError:
        raise UrlRefused("This is not a URL. Use, for example, https://example.com/hook.") from None
    if parts.scheme not in _DEFAULT_PORTS:
        raise UrlRefused("The URL must start with http:// or https://.")
    if "@" in parts.netloc:
        raise UrlRefused("The URL contains a user name or password. Send credentials in a header instead.")
    if not parts.hostname:
        raise UrlRefused("The URL has no host. Use, for example, https://example.com/hook.")
    return parts


def _port(parts: SplitResult) -> int | None:
    """Return the port; None for the scheme's default."""
    try:
        port = parts.port
    except ValueError:
        port = 0
    if port == 0:
        raise UrlRefused("The URL's port must be a number from 1 to 65535.")
    return None if port == _DEFAULT_PORTS[parts.scheme] else port


def _host(parts: SplitResult) -> str:
    """Return the host: an IP address in its usual spelling (IPv6 without brackets), or a name in ASCII."""
    name = parts.hostname or ""
    if "[" in parts.netloc:
        try:
            return str(IPv6Address(name if "%" not in name else ""))
        except ValueError:
            raise UrlRefused(
                f"[{name}] is not an IPv6 address, or it has a zone, which is not allowed."
            ) from None
    host = _ascii(name)
    if _NUMBER.fullmatch(host.rpartition(".")[2]):
        return _odd_ipv4(host)
    if len(host) > 253 or not all(_LABEL.fullmatch(label) for label in host.split(".")):
        raise UrlRefused(f"{name!r} is not a host name.")
    return host


def _ascii(name: str) -> str:
    """Return the name as in DNS (`xn--…`): lower case, without the dot at the end."""
    try:
        if _AMBIGUOUS.search(name):
            raise UnicodeError
        return name.encode("idna").decode("ascii").lower().removesuffix(".")
    except UnicodeError:
        raise UrlRefused(
            f"{name!r} can't be converted to ASCII. Use its punycode form, which starts with xn--."
        ) from None


def _odd_ipv4(host: str) -> str:
    """Return the address of 2130706433, 0x7f.1 or 0177.0.0.1, as libcurl reads them."""
    try:
        found = socket.getaddrinfo(host, None, socket.AF_INET, socket.SOCK_STREAM, 0, socket.AI_NUMERICHOST)
    except OSError:
        raise UrlRefused(f"{host!r} is neither an IPv4 address nor a host name.") from None
    return str(found[0][4][0])


def _join(parts: SplitResult, host: str, port: int | None) -> str:
    """Return the joined URL, with characters other than ASCII in its path and query percent-encoded."""
    netloc = f"[{host}]" if ":" in host else host
    if port is not None:
        netloc += f":{port}"
    path = quote(parts.path or "/", safe=_SAFE_IN_URL)
    query = f"?{quote(parts.query, safe=_SAFE_IN_URL)}" if parts.query else ""
    return f"{parts.scheme}://{netloc}{path}{query}"
