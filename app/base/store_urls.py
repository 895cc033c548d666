"""The forms of REDIS_URL with several servers: Sentinel and Cluster.

A wrong URL raises ValueError. The message quotes nothing from the URL, which may contain a password.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, unquote

_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\[\]:/@,\s]+)(?::(\d{1,5}))?")
_SENTINEL_PORT = 26_379


@dataclass(frozen=True, slots=True)
class SentinelUrl:
    """The parts of `redis+sentinel://[user:password@]host:port[,host:port…]/SERVICE[/DB]`.

    User and password are those of the store. Those of the sentinels are `?sentinel_username=…&sentinel_password=…`.
    """

    sentinels: tuple[tuple[str, int], ...]
    service: str
    database: int
    tls: bool
    account: dict[str, str] = field(repr=False)
    sentinel_account: dict[str, str] = field(repr=False)


@dataclass(frozen=True, slots=True)
class ClusterUrl:
    """The parts of `redis+cluster://[user:password@]host:port[,host:port…]`."""

    nodes: tuple[tuple[str, int], ...]
    tls: bool
    account: dict[str, str] = field(repr=False)


def is_cluster_url(url: str | None) -> bool:
    """Return whether the store is a Redis or Valkey Cluster."""
    return url is not None and url.startswith(("redis+cluster://", "rediss+cluster://"))


def cluster_url(url: str) -> ClusterUrl:
    """Return the parts of a Cluster's URL. Raises ValueError, which doesn't quote the URL."""
    scheme, _, rest = url.partition("://")
    place, _, path = rest.partition("/")
    if path not in ("", "0") or "?" in place:
        raise ValueError(
            "has a path or query after the cluster's servers, which is not allowed (a cluster "
            "has only database 0)"
        )
    nodes, account = _hosts_and_account(place, 6_379, "servers")
    return ClusterUrl(nodes, scheme == "rediss+cluster", account)


def is_sentinel_url(url: str | None) -> bool:
    """Return whether the store is under Sentinel."""
    return url is not None and url.startswith(("redis+sentinel://", "rediss+sentinel://"))


def sentinel_url(url: str) -> SentinelUrl:
    """Return the parts of a Sentinel's URL. Raises ValueError, which doesn't quote the URL."""
    scheme, _, rest = url.partition("://")
    rest, _, query = rest.partition("?")
    place, _, path = rest.partition("/")
    sentinels, account = _hosts_and_account(place, _SENTINEL_PORT, "sentinels")
    way = re.fullmatch(r"([^/]+)(?:/(\d{1,5})?)?", path)
    if way is None:
        raise ValueError("must end with a service name, optionally followed by / and a database number")
    asked = dict(parse_qsl(query))
    if asked.keys() - {"sentinel_username", "sentinel_password"}:
        raise ValueError("has query parameters other than sentinel_username and sentinel_password")
    return SentinelUrl(
        sentinels=sentinels,
        service=unquote(way[1]),
        database=int(way[2] or 0),
        tls=scheme == "rediss+sentinel",
        account=account,
        sentinel_account={name.removeprefix("sentinel_"): value for name, value in asked.items()},
    )


def _hosts_and_account(
    place: str, port: int, what: str
) -> tuple[tuple[tuple[str, int], ...], dict[str, str]]:
    """Return the hosts in `[user:password@]host[:port],…` with their ports, and the account."""
    account, _, hosts = place.rpartition("@")
    user, _, password = account.partition(":")
    found = [_HOST.fullmatch(host) for host in hosts.split(",")]
    if not all(found):
        raise ValueError(f"doesn't list {what} as host:port, separated by commas")
    named = tuple((match[1].strip("[]"), int(match[2] or port)) for match in found if match is not None)
    if not all(0 < port < 65_536 for _, port in named):
        raise ValueError("has an invalid port")
    given = {"username": unquote(user), "password": unquote(password)}
    return named, {name: value for name, value in given.items() if value}
