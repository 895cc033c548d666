"""Each published description is generated once for all Hosts, and isn't sent again to clients that have it."""

from __future__ import annotations

import json
import tracemalloc

import pytest
import yaml

from app import openapi
from tests.harness import Relay

PATHS = [
    "/openapi.json",
    "/openapi.yaml?version=2.0",
    "/openapi.json?version=3.0&tag=actions",
    "/postman.json",
    "/postman.json?collection=relay",
    "/docs",
    "/docs/docs.js",
]


@pytest.mark.parametrize("path", PATHS)
def test_a_description_has_an_etag_and_is_304_if_it_is_sent_back(relay: Relay, path: str) -> None:
    first = relay.call("GET", path)
    tag = first.headers["ETag"]
    assert first.status_code == 200 and first.content
    again = relay.call("GET", path, headers={"If-None-Match": tag})
    assert again.status_code == 304 and not again.content
    other = relay.call("GET", path, headers={"If-None-Match": '"something-else"'})
    assert other.status_code == 200 and other.content == first.content


def test_the_etag_changes_with_the_host(relay: Relay) -> None:
    tags = {
        relay.call("GET", "/openapi.json", headers={"Host": host}).headers["ETag"]
        for host in ("a.test", "b.test")
    }
    assert len(tags) == 2


@pytest.mark.parametrize("version", openapi.VERSIONS)
@pytest.mark.parametrize("tag", [None, "actions"])
def test_many_hosts_do_not_fill_the_memory_and_each_gets_its_url(version: str, tag: str | None) -> None:
    (
        openapi.served("json", version, tag, "http://warm.test"),
        openapi.served("yaml", version, tag, "http://warm.test"),
    )
    tracemalloc.start()
    for number in range(30):
        url = f"https://host{number}.test/below"
        expected = json.loads(json.dumps(openapi.document(version, tag, url))) if number == 0 else None
        made = openapi.as_json(version, tag, url)
        text = openapi.as_yaml(version, tag, url)
        assert f"host{number}.test".encode() in made and f"host{number}.test" in text
        if expected is not None:
            assert json.loads(made) == expected == yaml.load(text, yaml.CSafeLoader)
    del made, text, expected
    left, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert left < 5_000_000
