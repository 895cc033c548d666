"""REDIS_URL names one server, several with Sentinel, or a Cluster. Errors in it are reported without its secrets."""

from __future__ import annotations

import asyncio

import pytest
import redis

from app.base.store_urls import cluster_url, sentinel_url
from app.settings.table import SettingsError, load
from app.store.server.connection import is_away, make_async_client, make_client
from tests.harness import free_port

SECRET = "made-up-secret-key-for-tests-only-0123456789"


def test_a_sentinel_url_contains_everything_needed() -> None:
    place = sentinel_url(
        "rediss+sentinel://user:p%40ss%2Fword@10.0.0.1:26380,sentinel.example.com,[::1]:26379/my%20master/3"
        "?sentinel_username=watch&sentinel_password=h%26dden"
    )
    assert place.sentinels == (("10.0.0.1", 26380), ("sentinel.example.com", 26379), ("::1", 26379))
    assert (place.service, place.database, place.tls) == ("my master", 3, True)
    assert place.account == {"username": "user", "password": "p@ss/word"}
    assert place.sentinel_account == {"username": "watch", "password": "h&dden"}
    assert "p@ss/word" not in repr(place) and "h&dden" not in repr(place)
    plain = sentinel_url("redis+sentinel://localhost:26379/mymaster")
    assert (plain.account, plain.sentinel_account, plain.database) == ({}, {}, 0)


@pytest.mark.parametrize(
    "wrong",
    [
        "redis+sentinel://:hidden-word@10.0.0.1:26379",
        "redis+sentinel://:hidden-word@10.0.0.1:26379/",
        "redis+sentinel://:hidden-word@10.0.0.1:26379/mymaster/zero",
        "redis+sentinel://:hidden-word@10.0.0.1:port/mymaster",
        "redis+sentinel://:hidden-word@10.0.0.1:70000/mymaster",
        "redis+sentinel://:hidden-word@10.0.0.1:26379,,10.0.0.2:26379/mymaster",
        "redis+sentinel://:hidden-word@/mymaster",
        "redis+sentinel://10.0.0.1:26379/mymaster?password=hidden-word",
        "redis+cluster://:hidden-word@",
        "redis+cluster://:hidden-word@10.0.0.1:6379,10.0.0.2:port",
        "redis+cluster://:hidden-word@10.0.0.1:6379/1",
        "redis+cluster://10.0.0.1:6379?password=hidden-word",
    ],
)
def test_an_invalid_url_of_several_servers_is_refused_with_a_valid_example(wrong: str) -> None:
    with pytest.raises(SettingsError) as error:
        load({"REDIS_URL": wrong, "RELAY_SECRET_KEY": SECRET, "RELAY_RQ_URL": "redis://localhost"})
    text = str(error.value)
    assert text.startswith("REDIS_URL: ") and "\n" not in text and "hidden-word" not in text
    example = text.partition("REDIS_URL=")[2]
    others = {"RELAY_SECRET_KEY": SECRET, "RELAY_RQ_URL": "redis://localhost"}
    assert load({"REDIS_URL": example, **others}).redis_url == example


def test_a_cluster_url_contains_its_servers() -> None:
    place = cluster_url("rediss+cluster://user:p%40ss@10.0.0.1:7000,store.example.com,[::1]:7001")
    assert place.nodes == (("10.0.0.1", 7000), ("store.example.com", 6379), ("::1", 7001))
    assert (place.tls, place.account) == (True, {"username": "user", "password": "p@ss"})
    assert "p@ss" not in repr(place)


@pytest.mark.parametrize("rq", ["", "redis+cluster://10.0.0.1:6379"])
def test_a_cluster_needs_a_separate_server_for_rq(rq: str) -> None:
    with pytest.raises(SettingsError, match=r"^RELAY_RQ_URL: .* RELAY_RQ_URL=redis://"):
        load({"REDIS_URL": "redis+cluster://10.0.0.1:6379", "RELAY_SECRET_KEY": SECRET, "RELAY_RQ_URL": rq})


def test_an_unreachable_cluster_counts_as_an_absent_store() -> None:
    url = f"redis+cluster://:hidden-word@127.0.0.1:{free_port()}"
    rq = f"redis://127.0.0.1:{free_port()}"
    settings = load({"REDIS_URL": url, "RELAY_SECRET_KEY": SECRET, "RELAY_RQ_URL": rq})
    client = make_client(settings)
    for ask in (lambda: client.ping(), lambda: client.pipeline(transaction=False)):
        with pytest.raises(redis.RedisError) as error:
            ask()
        assert is_away(error.value) and "hidden" not in str(error.value)

    async def asked() -> None:
        other = make_async_client(settings)
        with pytest.raises(redis.RedisError) as error:
            await other.get("{s0}:fanout")
        assert is_away(error.value)
        await other.aclose()

    asyncio.run(asked())


def test_unreachable_sentinels_count_as_an_absent_store() -> None:
    hosts = f"127.0.0.1:{free_port()},127.0.0.1:{free_port()}"
    url = f"redis+sentinel://:hidden-word@{hosts}/mymaster?sentinel_password=hidden-too"
    client = make_client(load({"REDIS_URL": url, "RELAY_SECRET_KEY": SECRET}))
    for _ in range(50):
        with pytest.raises(redis.RedisError) as error:
            client.ping()
        assert is_away(error.value)
        assert "hidden" not in str(error.value)
    assert len(client.connection_pool._connections) == 1, "a failed attempt must not leave a connection"


@pytest.mark.parametrize(
    ("code", "away"),
    [("READONLY", True), ("OOM", True), ("UNBLOCKED", True), ("CLUSTERDOWN", True), ("WRONGTYPE", False)],
)
def test_a_temporary_error_of_the_store_counts_as_its_absence(code: str, away: bool) -> None:
    """redis-py removes the code from the text of errors that have their own class, and leaves it in others."""
    from redis._parsers.base import BaseParser

    assert is_away(BaseParser.parse_error(f"{code} whatever it says")) is away
