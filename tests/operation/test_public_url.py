"""A worker checks whether the relay answers at its public URL; `/health` and `/metrics` show the result."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.health.public_url import check_public_url, public_url_up, public_url_warnings
from app.settings.table import load
from app.store import Store
from app.store.server.keys import PUBLIC_URL, PUBLIC_URL_DUE
from tests.harness import Relay, free_port, wait_for


@pytest.fixture
def nowhere(tmp_path: Path) -> Iterator[Relay]:
    """A relay with a public URL at which nothing answers."""
    with Relay(tmp_path, RELAY_PUBLIC_URL=f"http://127.0.0.1:{free_port()}") as started:
        yield started


def metric(relay: Relay) -> float | None:
    found = re.search(r"^cams_relay_public_url_up (\S+)$", relay.call("GET", "/metrics").text, re.MULTILINE)
    return None if found is None else float(found[1])


def test_a_public_url_that_leads_nowhere_is_a_problem_and_a_warning_if_callbacks_arrive(
    nowhere: Relay,
) -> None:
    def named(what: str) -> list[str]:
        return [one for one in nowhere.get("/health")[what] if "RELAY_PUBLIC_URL=" in one]

    wait_for(lambda: named("problems"), 60)
    (problem,) = named("problems")
    assert "doesn't answer" in problem and problem.startswith("Since 20")
    assert metric(nowhere) == 0.0
    device = nowhere.device()
    device.send_done(device.punch())
    Store(load(nowhere.environment)).connection.redis.delete(PUBLIC_URL_DUE)
    wait_for(lambda: not named("problems"), 60)
    (warning,) = named("warnings")
    assert "Callbacks still arrive" in warning
    assert metric(nowhere) == 1.0


def test_the_check_is_repeated_until_the_relay_answers(tmp_path: Path) -> None:
    relay = Relay(tmp_path)
    relay.environment["RELAY_PUBLIC_URL"] = relay.url
    with relay:
        relay_store = Store(load(relay.environment))
        wait_for(lambda: relay_store.public_url_reports.read() is not None, 60)
        wait_for(lambda: check_public_url(relay_store), 60)
        assert metric(relay) == 1.0
        assert not [one for one in relay.get("/health")["warnings"] if "RELAY_PUBLIC_URL=" in one]
        assert relay_store.connection.redis.ttl(PUBLIC_URL_DUE) > 0


def test_the_time_since_which_it_fails_is_kept_and_an_old_or_damaged_report_says_nothing(
    nowhere: Relay,
) -> None:
    relay_store = Store(load(nowhere.environment))
    wait_for(lambda: relay_store.public_url_reports.read() is not None, 60)
    before = relay_store.public_url_reports.read()
    assert before is not None and before.failing_since is not None
    now = time.time() + 120
    assert not check_public_url(relay_store, now)
    after = relay_store.public_url_reports.read()
    assert after is not None and (after.at, after.failing_since) == (now, before.failing_since)
    assert public_url_up(relay_store, now) is False and public_url_warnings(relay_store, now)
    assert (
        public_url_up(relay_store, now + 3_600) is None
        and public_url_warnings(relay_store, now + 3_600) == []
    )
    relay_store.connection.redis.set(PUBLIC_URL, b'{"at": "x", "url": 1}')
    assert public_url_up(relay_store, now) is None
    assert nowhere.call("GET", "/health").status_code == 200


def test_without_a_public_url_nothing_is_checked(relay: Relay, relay_store: Store) -> None:
    assert relay_store.settings.public_url is None
    assert check_public_url(relay_store) and metric(relay) is None
    assert relay_store.connection.redis.get(PUBLIC_URL) is None
