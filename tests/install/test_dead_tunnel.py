"""`cams-relay up --tunnel` restarts a tunnel whose program is running, but whose URL no longer leads to the relay."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
import redis

from app.health.public_url import check_public_url
from app.run.dead_url import DeadUrl
from app.settings.running_up import tunnel_url
from app.settings.table import load
from app.store import Store
from app.store.server.keys import PUBLIC_URL_DUE
from app.store.upkeep.public_url_reports import PublicUrlReport
from tests.command_line import Up
from tests.harness import API_KEY, Receiver, Relay, wait_for
from tests.install.test_tunnel import PRINTED, URLS, install

URL = "https://made-up-words.trycloudflare.com"


class Watched:
    """A clock, the report at that time, and what is concluded from it."""

    def __init__(self) -> None:
        self.at = 1_000_000.0
        self.report: PublicUrlReport | None = None
        self.watch = DeadUrl(self.read, lambda: self.at, lambda: self.at)

    def read(self) -> PublicUrlReport | None:
        if self.report is None:
            raise redis.ConnectionError
        return self.report

    def dead(self, minutes: float, *, answered: bool = True, url: str = URL, heard: bool = False) -> bool:
        """Let time pass, and then look; the URL has been failing for that long."""
        self.at += minutes * 60
        self.report = PublicUrlReport(self.at, url, "A problem.", self.at - minutes * 60, heard, answered)
        return self.watch.is_dead(URL)

    def works(self) -> None:
        self.at += 20
        self.report = PublicUrlReport(self.at, URL)
        assert not self.watch.is_dead(URL)


@pytest.mark.parametrize(("answered", "too_short", "long_enough"), [(True, 4.9, 5), (False, 29.9, 30)])
def test_a_url_is_dead_after_a_while_and_later_if_nothing_answers(
    answered: bool, too_short: float, long_enough: float
) -> None:
    watched = Watched()
    assert not watched.dead(too_short, answered=answered)
    assert watched.dead(long_enough, answered=answered)


def test_a_url_is_not_dead_without_a_report_about_it_or_while_callbacks_arrive() -> None:
    watched = Watched()
    assert not watched.watch.is_dead(URL)
    assert not watched.dead(60, url="https://other.trycloudflare.com")
    assert not watched.dead(60, heard=True)
    assert watched.dead(60)


def test_each_restart_waits_longer_until_the_url_has_worked() -> None:
    watched = Watched()

    def minutes_until_dead() -> int:
        for minute in range(1, 200):
            watched.at += 60
            watched.report = PublicUrlReport(watched.at, URL, "A problem.", 0.0, answered=True)
            if watched.watch.is_dead(URL):
                return minute
        raise AssertionError("never")

    assert [minutes_until_dead() for _ in range(6)] == [1, 10, 20, 40, 80, 120]
    watched.at += 7_200
    watched.works()
    assert [minutes_until_dead() for _ in range(2)] == [1, 10]


def test_the_report_tells_whether_something_else_answers(tmp_path: Path) -> None:
    other = Receiver()  # answers GET with 501
    with Relay(tmp_path, RELAY_PUBLIC_URL=other.url.removesuffix("/hook")) as relay:
        store = Store(load(relay.environment))
        assert not check_public_url(store)
        report = store.public_url_reports.read()
        assert report is not None and report.answered
        other.close()
        assert not check_public_url(store)
        report = store.public_url_reports.read()
        assert report is not None and not report.answered


def test_up_restarts_a_running_tunnel_with_a_dead_url_and_uses_the_new_one(tmp_path: Path) -> None:
    path = install(
        tmp_path, "cloudflared", PRINTED["cloudflared"], then=f"echo $$ > {tmp_path}/pid\nexec sleep 600"
    )
    up = Up(tmp_path, "--no-simulator", "--tunnel", "cloudflared", RELAY_API_KEY=API_KEY, PATH=path)
    other = URLS["cloudflared"].replace("made-up", "other")
    try:
        wait_for(lambda: "Press Ctrl-C to stop" in up.text(), 120)
        pid = int((tmp_path / "pid").read_text())
        (tmp_path / "printed").write_text(PRINTED["cloudflared"].replace("made-up", "other"))
        store = Store(load(up.environment))

        def moved() -> bool:
            now = time.time()
            dead = PublicUrlReport(now, URLS["cloudflared"], "A problem.", now - 3_600, answered=True)
            store.public_url_reports.write(dead)  # again, because the worker also checks
            return tunnel_url(tmp_path / "data") == other

        wait_for(moved, 120)
        assert f"cloudflared is running, but {URLS['cloudflared']} doesn't work" in up.text()
        wait_for(lambda: f"the tunnel has a new URL: {other}" in up.text(), 60)
        assert not Path(f"/proc/{pid}").exists()
    finally:
        up.stop()


def test_a_tunnel_that_ended_and_cant_be_started_again_is_a_problem_at_once(tmp_path: Path) -> None:
    url = URLS["cloudflared"]
    wait = f"echo $$ > {tmp_path}/pid\nexec sleep 600"
    path = install(tmp_path, "cloudflared", PRINTED["cloudflared"], then=wait)
    up = Up(tmp_path, "--no-simulator", "--tunnel", "cloudflared", RELAY_API_KEY=API_KEY, PATH=path)

    def told() -> str:
        return " ".join(up.get("/health", API_KEY)["warnings"])

    try:
        wait_for(lambda: "Press Ctrl-C to stop" in up.text(), 120)
        store = Store(load(up.environment))
        wait_for(store.public_url_reports.read, 60)  # the worker has checked the made-up URL
        store.connection.redis.set(PUBLIC_URL_DUE, "", ex=290)  # and doesn't check it again soon
        store.public_url_reports.write(PublicUrlReport(time.time(), url))
        assert url not in told()
        install(tmp_path, "cloudflared", "an error\n", then="exit 1")
        os.kill(int((tmp_path / "pid").read_text()), 9)
        wait_for(lambda: "the tunnel ended" in told(), 30)
        wait_for(lambda: "can't be started again" in up.text(), 30)
        assert tunnel_url(tmp_path / "data") == url, "doctor checks it"
        install(tmp_path, "cloudflared", PRINTED["cloudflared"], then=wait)
        wait_for(lambda: f"{url} works again" in up.text(), 60)
        wait_for(lambda: url not in told(), 30)
    finally:
        up.stop()
