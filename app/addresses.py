"""Which addresses the relay may call: the guard against being turned on its own network (SSRF).

The API asks `AddressGuard.check_url` when a URL is given; `workers.http` asks `AddressGuard.permits` for
the address of every socket it opens. Only the second one is the lock: a name may change its address in
between (DNS rebinding). The first one is there so that a person hears of it at once.
"""

from __future__ import annotations

import contextlib
import re
import socket
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from urllib.parse import SplitResult, quote, urlsplit

SETTING = "RELAY_ALLOW_PRIVATE_TARGETS"
MAX_URL = 2048

_Address = IPv4Address | IPv6Address

# From the IANA special-purpose registries. Written out because `ipaddress.is_global` differs between
# patch releases of Python.
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
# All unicast addresses given out so far; whatever IPv6 address lies outside is reserved.
_GLOBAL_V6 = IPv6Network("2000::/3")
_NAT64 = IPv6Network("64:ff9b::/96")

# IDNA 2003 (the standard library's) maps these to other names than IDNA 2008 (a browser's) does.
_AMBIGUOUS = re.compile("[ß\u03c2\u200c\u200d]")
_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_BLANK = re.compile(r"[\s\x00-\x1f\x7f-\x9f]")
_SAFE_IN_URL = "!$%&'()*+,-./:;=?@[]_~"
_DEFAULT_PORTS = {"http": 80, "https": 443}


class UrlRefused(ValueError):
    """A URL that the relay will not call; the message is one or two sentences for a person."""


class AddressGuard:
    """Permits public unicast addresses, and whatever private ones the operator has allowed.

    `allowed` is the value of RELAY_ALLOW_PRIVATE_TARGETS: empty, `all`, or a comma list of networks.
    Raises ValueError, one sentence that names the bad item and gives a right example.
    """

    def __init__(self, allowed: str) -> None:
        items = [item.strip() for item in allowed.split(",") if item.strip()]
        self._all = any(item.lower() == "all" for item in items)
        self._allowed = [_network(item) for item in items if item.lower() != "all"]
        self._items = items

    def permits(self, address: str) -> bool:
        """Whether the relay may connect to this IP address; False for what isn't one."""
        try:
            return self._permits(ip_address(address.partition("%")[0]))
        except ValueError:
            return False

    def refusal(self, address: str) -> str:
        """Why `address` (an IP address that `permits` refused) is refused, and what would allow it."""
        ip = ip_address(address.partition("%")[0])
        inner = next((part for part in _embedded(ip) if not self._permits(part)), ip)
        widened = ",".join([*self._items, f"{inner}/{inner.max_prefixlen}"])
        return (
            f"{address} is {_kind(inner)} address, which the relay does not call. "
            f"Where it is meant to, set {SETTING}={widened}."
        )

    def check_url(self, url: str, *, resolve: bool = True) -> str:
        """The normalised URL: host in lower case and ASCII, no fragment, no default port.

        With `resolve`, a name is looked up (which blocks) and refused when any of its addresses is not
        permitted. One that isn't found passes: it may be tomorrow, and the connection is guarded anyway.
        Raises UrlRefused.
        """
        parts = _split(url)
        host = _host(parts)
        port = _port(parts)
        for address in _addresses(host, port or _DEFAULT_PORTS[parts.scheme], resolve=resolve):
            if not self.permits(address):
                via = "" if address == host else f"{host} leads to a refused address: "
                raise UrlRefused(via + self.refusal(address))
        normal = _join(parts, host, port)
        if len(normal) > MAX_URL:
            raise UrlRefused(f"The URL is longer than {MAX_URL} characters.")
        return normal

    def _permits(self, ip: _Address) -> bool:
        if self._all or any(ip in network for network in self._allowed):
            return True
        if inner := _embedded(ip):
            return all(self._permits(part) for part in inner)
        return _kind(ip) == ""


def _network(item: str) -> IPv4Network | IPv6Network:
    """The network that one item of the setting names."""
    try:
        return ip_network(item)
    except ValueError:
        pass
    right = "10.1.0.0/16,192.168.1.5/32"
    with contextlib.suppress(ValueError):
        right = str(ip_network(item, strict=False))
    raise ValueError(
        f"{SETTING} holds {item!r}, which is not a network; write for example {SETTING}={right}, or all."
    )


def _embedded(ip: _Address) -> list[IPv4Address]:
    """The IPv4 addresses that a packet to this IPv6 address ends up at, by way of a translator or tunnel."""
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
    """`a loopback`, `a private`, … for an address that isn't public; empty for one that is."""
    for network, kind in _SPECIAL:
        if ip in network:
            return kind
    return "a reserved" if isinstance(ip, IPv6Address) and ip not in _GLOBAL_V6 else ""


def _split(url: str) -> SplitResult:
    """The URL's parts, where its form is one that every parser reads alike."""
    if len(url) > MAX_URL:
        raise UrlRefused(f"The URL is longer than {MAX_URL} characters.")
    # Before parsing: urlsplit silently drops line breaks, and parsers disagree on what a backslash is.
    if _BLANK.search(url) or "\\" in url:
        raise UrlRefused("The URL holds a space, a control character or a backslash; percent-encode it.")
    try:
        url.encode()
        parts = urlsplit(url)
    except ValueError:
        raise UrlRefused("That is not a URL; write for example https://example.com/hook.") from None
    if parts.scheme not in _DEFAULT_PORTS:
        raise UrlRefused("The URL must start with http:// or https://.")
    if "@" in parts.netloc:
        raise UrlRefused("The URL holds a user name or password; send those in a header instead.")
    if not parts.hostname:
        raise UrlRefused("The URL names no host; write for example https://example.com/hook.")
    return parts


def _port(parts: SplitResult) -> int | None:
    """The port, None for the scheme's own."""
    try:
        port = parts.port
    except ValueError:
        port = 0
    if port == 0:
        raise UrlRefused("The URL's port must be a number from 1 to 65535.")
    return None if port == _DEFAULT_PORTS[parts.scheme] else port


def _host(parts: SplitResult) -> str:
    """The host: an IP address in its usual spelling (IPv6 without brackets), or a name in ASCII."""
    name = parts.hostname or ""
    if "[" in parts.netloc:
        try:
            return str(IPv6Address(name if "%" not in name else ""))
        except ValueError:
            raise UrlRefused(f"[{name}] is not an IPv6 address without a zone.") from None
    host = _ascii(name)
    if _NUMBER.fullmatch(host.rpartition(".")[2]):
        return _odd_ipv4(host)
    if len(host) > 253 or not all(_LABEL.fullmatch(label) for label in host.split(".")):
        raise UrlRefused(f"{name!r} is not a host name.")
    return host


def _ascii(name: str) -> str:
    """The name as DNS has it (`xn--…`): lower case, without the dot at the end."""
    try:
        if _AMBIGUOUS.search(name):
            raise UnicodeError
        return name.encode("idna").decode("ascii").lower().removesuffix(".")
    except UnicodeError:
        raise UrlRefused(f"{name!r} has no one spelling in ASCII; write it in its xn-- form.") from None


def _odd_ipv4(host: str) -> str:
    """The address that 2130706433, 0x7f.1 or 0177.0.0.1 stand for, by the reading libcurl gives them."""
    try:
        found = socket.getaddrinfo(host, None, socket.AF_INET, socket.SOCK_STREAM, 0, socket.AI_NUMERICHOST)
    except OSError:
        raise UrlRefused(f"{host!r} is neither an IPv4 address nor a host name.") from None
    return str(found[0][4][0])


def _addresses(host: str, port: int, *, resolve: bool) -> list[str]:
    """The addresses `host` has now: none where it is a name that isn't found, or isn't to be looked up."""
    with contextlib.suppress(ValueError):
        return [str(ip_address(host))]
    if not resolve:
        return []
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return []
    return [str(entry[4][0]) for entry in found]


def _join(parts: SplitResult, host: str, port: int | None) -> str:
    """The URL put together again, what isn't ASCII in its path and query percent-encoded."""
    netloc = f"[{host}]" if ":" in host else host
    if port is not None:
        netloc += f":{port}"
    path = quote(parts.path or "/", safe=_SAFE_IN_URL)
    query = f"?{quote(parts.query, safe=_SAFE_IN_URL)}" if parts.query else ""
    return f"{parts.scheme}://{netloc}{path}{query}"
