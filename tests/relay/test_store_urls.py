"""REDIS_URL names one server, or a replicated one under Sentinel; what is wrong with it is said without its secrets."""

from __future__ import annotations

import pytest
import redis

from app.settings import SettingsError, load, sentinel_url
from app.store.connection import is_away, make_client
from tests.harness import free_port

SECRET = "made-up-secret-key-for-tests-only-0123456789"


def test_a_sentinels_url_names_all_that_is_needed() -> None:
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
    ],
)
def test_a_wrong_sentinels_url_is_answered_with_a_right_one(wrong: str) -> None:
    with pytest.raises(SettingsError) as error:
        load({"REDIS_URL": wrong, "RELAY_SECRET_KEY": SECRET})
    text = str(error.value)
    assert text.startswith("REDIS_URL: ") and "\n" not in text and "hidden-word" not in text
    example = text.partition("REDIS_URL=")[2]
    assert load({"REDIS_URL": example, "RELAY_SECRET_KEY": SECRET}).redis_url == example


def test_sentinels_that_cannot_be_asked_are_a_store_that_is_away() -> None:
    hosts = f"127.0.0.1:{free_port()},127.0.0.1:{free_port()}"
    url = f"redis+sentinel://:hidden-word@{hosts}/mymaster?sentinel_password=hidden-too"
    client = make_client(load({"REDIS_URL": url, "RELAY_SECRET_KEY": SECRET}))
    for _ in range(50):
        with pytest.raises(redis.RedisError) as error:
            client.ping()
        assert is_away(error.value)
        assert "hidden" not in str(error.value)
    assert len(client.connection_pool._connections) == 1, "a failed attempt leaves no connection behind"


@pytest.mark.parametrize(
    ("code", "away"),
    [("READONLY", True), ("OOM", True), ("UNBLOCKED", True), ("CLUSTERDOWN", True), ("WRONGTYPE", False)],
)
def test_what_a_store_cannot_do_just_now_means_that_it_is_away(code: str, away: bool) -> None:
    """redis-py takes the code off the errors it has a class for, and leaves it in the others."""
    from redis._parsers.base import BaseParser

    assert is_away(BaseParser.parse_error(f"{code} whatever it says")) is away
