"""A Postgres server that doesn't answer holds up neither requests nor callbacks for long."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson
import pytest
import requests

from app.archive import Archive, ArchiveAway, Archived
from app.base.vault import Vault
from app.events.samples import sample
from app.settings.table import load
from app.store import Store
from tests.archive.conftest import KEY, STORE
from tests.archive.test_archive import entries, event, write
from tests.harness import API_KEY, Relay, wait_for
from tests.servers import frozen


@pytest.mark.parametrize("is_connected", [True, False])
def test_a_read_ends_if_the_server_does_not_answer(postgres_database: str, *, is_connected: bool) -> None:
    url = postgres_database.replace("://", "+psycopg://")
    archive = Archive(url, Vault(KEY))
    archive.claim(STORE)
    assert write(archive, [event(1)])
    archive = archive if is_connected else Archive(url, Vault(KEY))
    archive.limit_reads(1)
    raised: list[str] = []

    def read() -> None:
        for _ in range(3):
            try:
                entries(archive)
            except ArchiveAway as error:
                raised.append(str(error))

    thread = threading.Thread(target=read, daemon=True)
    with frozen(postgres_database):
        thread.start()
        thread.join(60)
        assert not thread.is_alive()
    assert "ConnectionTimeout" in raised[0]
    assert "hasn't answered" in raised[1]  # at once
    assert len(raised) == 3
    wait_for(lambda: _read_again(archive) == ["1-0"], 60)


def test_a_batch_is_not_written_forever(postgres_database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.archive.database._BRIEF_WRITE_SECONDS", 1)
    archive = Archive(postgres_database.replace("://", "+psycopg://"), Vault(KEY))
    archive.claim(STORE)
    after = archive.position(STORE, 0)
    raised: list[str] = []

    def write_one() -> None:
        try:
            archive.write(STORE, 0, after, "1-0", [event(1)], [])
        except ArchiveAway as error:
            raised.append(str(error))

    thread = threading.Thread(target=write_one, daemon=True)
    with frozen(postgres_database):
        thread.start()
        thread.join(60)
        assert not thread.is_alive()
    assert "ConnectionTimeout" in raised[0]
    wait_for(lambda: _read_again(archive) == [], 60)
    assert write(archive, [event(1)])


def _read_again(archive: Archive) -> list[str] | None:
    try:
        return entries(archive)
    except ArchiveAway:
        return None


def test_callbacks_and_recent_events_do_not_wait_for_a_frozen_server(
    tmp_path: Path, postgres_database: str
) -> None:
    relay = Relay(tmp_path, WEB_CONCURRENCY="1", DATABASE_URL=postgres_database, RELAY_SECRET_KEY=KEY)
    try:
        relay.start("store", "web", "worker")
        device = relay.device(timezone="UTC")
        device.send_done(device.punch("7"))
        old = {"until": f"{datetime.now(UTC) - timedelta(days=40):%Y-%m-%dT%H:%M:%SZ}"}
        wait_for(lambda: relay.call("GET", "/v1/events", params=old).status_code == 200, 60)
        with frozen(postgres_database):
            answers: list[requests.Response] = []

            def ask() -> None:
                answers.append(relay.call("GET", "/v1/events", params=old))

            threads = [threading.Thread(target=ask, daemon=True) for _ in range(8)]
            for thread in threads:
                thread.start()
            # The server is stopped until all of this has been answered.
            device.send_done(device.punch("8"))
            recent = {"since": f"{datetime.now(UTC) - timedelta(hours=1):%Y-%m-%dT%H:%M:%SZ}"}
            assert [one["user_id"] for one in relay.get("/v1/events", params=recent)["data"]] == ["8", "7"]
            for thread in threads:
                thread.join(60)
            assert [answer.status_code for answer in answers] == [503] * 8
        wait_for(lambda: relay.call("GET", "/v1/events", params=old).status_code == 200, 60)
    finally:
        relay.stop()


def test_a_file_that_breaks_off_is_not_taken_for_complete(tmp_path: Path, postgres_database: str) -> None:
    relay = Relay(tmp_path, WEB_CONCURRENCY="1", DATABASE_URL=postgres_database, RELAY_SECRET_KEY=KEY)
    try:
        relay.start("store", "web", "worker")
        opened = Store(load(relay.environment)).past.opened()
        assert opened is not None
        archive, store_id = opened
        wait_for(lambda: archive.positions(store_id), 60)
        made = {name: value for name, value in sample("device.silent").items() if name != "id"}
        body = orjson.dumps({**made, "device_label": "x" * 1_000})
        old = [Archived(0, ms, 0, "device.silent", "D1", None, body) for ms in range(1, 20_001)]

        def write_old() -> bool:
            at = archive.position(store_id, 0)
            return archive.write(store_id, 0, at, at.entry, old, [])

        wait_for(write_old, 60)  # unless the worker is writing
        path, headers = f"{relay.url}/v1/events.csv", {"X-API-Key": API_KEY}
        with requests.get(path, headers=headers, stream=True, timeout=60) as answer:
            assert answer.status_code == 200
            chunks = answer.iter_content(10_000)
            next(chunks)
            with (
                frozen(postgres_database),
                pytest.raises((requests.exceptions.ChunkedEncodingError, requests.ConnectionError)),
            ):
                for _ in chunks:
                    pass
    finally:
        relay.stop()
