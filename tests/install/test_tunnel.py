"""`cams-relay up --tunnel` uses and shows the URL that the tunnel prints."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import click
import pytest
import requests

from app.run.tunnel import PROGRAMS, Change, Tunnel
from app.settings.running_up import tunnel_url
from tests.command_line import Up, run
from tests.harness import API_KEY, wait_for

# The relevant part of the programs' output.
PRINTED = {
    "cloudflared": """\
2026-11-29T18:00:00Z INF Requesting new quick Tunnel on trycloudflare.com... see https://api.trycloudflare.com/tunnel
2026-11-29T18:00:02Z INF +-------------------------------------------------------------+
2026-11-29T18:00:02Z INF |  https://made-up-words.trycloudflare.com                     |
2026-11-29T18:00:02Z INF +-------------------------------------------------------------+
""",
    "ngrok": """\
t=2026-11-29T18:00:00+0000 lvl=info msg="starting web service" obj=web addr=127.0.0.1:4040
t=2026-11-29T18:00:01+0000 lvl=info msg="started tunnel" obj=tunnels name=command_line addr=http://localhost:8000 \
url=https://made-up-words.ngrok-free.app
""",
}
URLS = {
    "cloudflared": "https://made-up-words.trycloudflare.com",
    "ngrok": "https://made-up-words.ngrok-free.app",
}


def install(folder: Path, name: str, printed: str, then: str = "exec sleep 600") -> str:
    """Create a program that prints a text on standard error and records its arguments. Returns a PATH with it."""
    (folder / "printed").write_text(printed)
    program = folder / name
    program.write_text(f'#!/bin/sh\necho "$@" > {folder}/called\ncat {folder}/printed >&2\n{then}\n')
    program.chmod(0o755)
    return f"{folder}{os.pathsep}{os.environ['PATH']}"


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_url_is_read_from_the_programs_output(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("PATH", install(tmp_path, name, PRINTED[name]))
    tunnel = Tunnel(name, "http://127.0.0.1:8123")
    try:
        assert tunnel.url == URLS[name]
        assert "http://127.0.0.1:8123" in (tmp_path / "called").read_text()
    finally:
        tunnel.stop()
    assert tunnel._process is not None and tunnel._process.poll() is not None


def test_a_tunnel_that_does_not_start_is_an_error_with_its_output(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", install(tmp_path, "ngrok", "ERROR: authentication failed\n", then="exit 1"))
    with pytest.raises(click.ClickException, match="authentication failed"):
        Tunnel("ngrok", "http://127.0.0.1:8123")
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    with pytest.raises(click.ClickException, match="is not installed"):
        Tunnel("cloudflared", "http://127.0.0.1:8123")


def test_its_output_is_shown_without_tokens_and_control_characters(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    printed = (
        "ERROR: \x1b[31mfailed\x1b]0;made-up\x07\nYour authtoken: 2secretA\n"
        '{"token":"2secretB"}\n--authtoken 2secretC end\nAUTH_TOKEN=2secretD end\n'
    )
    monkeypatch.setenv("PATH", install(tmp_path, "ngrok", printed, then="exit 1"))
    with pytest.raises(click.ClickException, match="didn't report a public URL") as raised:
        Tunnel("ngrok", "http://127.0.0.1:8123")
    message = raised.value.message
    assert "failed" in message and "2secret" not in message
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", message)


def test_a_tunnel_does_not_get_the_relays_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        "RELAY_SECRET_KEY",
        "RELAY_API_KEY",
        "REDIS_URL",
        "DATABASE_URL",
        "SIMULATOR_AUTH_TOKEN",
        "AWS_SECRET_ACCESS_KEY",
    ):
        monkeypatch.setenv(name, f"made-up-{name}")
    monkeypatch.setenv("NGROK_AUTHTOKEN", "made-up-ngrok")
    path = install(
        tmp_path,
        "ngrok",
        PRINTED["ngrok"],
        then=f"env > {tmp_path}/env; echo > {tmp_path}/done; exec sleep 600",
    )
    monkeypatch.setenv("PATH", path)
    tunnel = Tunnel("ngrok", "http://127.0.0.1:8123")
    try:
        wait_for((tmp_path / "done").exists, 60)
    finally:
        tunnel.stop()
    given = (tmp_path / "env").read_text()
    assert "made-up-ngrok" in given
    assert not re.search(r"^(RELAY|REDIS|DATABASE|SIMULATOR|AWS)_", given, re.MULTILINE)


def test_waiting_for_the_url_ends_when_the_relay_is_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", install(tmp_path, "ngrok", "connecting\n"))
    asked: list[None] = []

    def stopping() -> bool:
        asked.append(None)
        return len(asked) > 3

    tunnel = Tunnel("ngrok", "http://127.0.0.1:8123", stopping)
    tunnel.stop()
    assert tunnel.url == "" and len(asked) == 4


def test_processes_started_by_a_wrapper_are_ended_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = install(
        tmp_path, "ngrok", "", then=f"sleep 600 & echo $! > {tmp_path}/pid\ncat {tmp_path}/url\nwait"
    )
    (tmp_path / "url").write_text(PRINTED["ngrok"])
    monkeypatch.setenv("PATH", path)
    tunnel = Tunnel("ngrok", "http://127.0.0.1:8123")
    pid = int((tmp_path / "pid").read_text())
    tunnel.stop()
    wait_for(lambda: not _runs(pid), 60)


def _runs(pid: int) -> bool:
    """Return whether a process is running. A zombie isn't."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def check_until(tunnel: Tunnel, wanted: Change) -> None:
    wait_for(lambda: tunnel.check() is wanted, 60)


def test_a_tunnel_that_ends_is_started_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("app.run.tunnel._AGAIN_SECONDS", 0.1)
    monkeypatch.setenv("PATH", install(tmp_path, "ngrok", PRINTED["ngrok"]))
    tunnel = Tunnel("ngrok", "http://127.0.0.1:8123")
    try:
        assert tunnel.check() is None
        kill(tunnel)
        check_until(tunnel, Change.ENDED)
        assert tunnel.url == ""
        check_until(tunnel, Change.BACK)
        assert tunnel.url == URLS["ngrok"] and tunnel.check() is None
        (tmp_path / "printed").write_text("ERROR: limited to 1 session\n")
        install_failing(tmp_path)
        kill(tunnel)
        check_until(tunnel, Change.ENDED)
        wait_for(lambda: tunnel.check() is None and "can't be started again" in caplog.text, 60)
        wait_for(lambda: tunnel.check() is None and tunnel._pause > 0.4, 60)
        assert "limited to 1 session" in caplog.text and tunnel.url == ""
        (tmp_path / "ngrok").unlink()  # as during an update
        wait_for(lambda: tunnel.check() is None and tunnel._pause > 0.8, 60)
        install(tmp_path, "ngrok", PRINTED["ngrok"].replace("made-up", "other"))
        check_until(tunnel, Change.MOVED)
        assert tunnel.url == URLS["ngrok"].replace("made-up", "other")
    finally:
        tunnel.stop()
    messages = [record.getMessage() for record in caplog.records]
    assert sum("stopped (exit status" in one for one in messages) == 2
    assert sum("can't be started again" in one for one in messages) == 1, "once a minute"


def install_failing(folder: Path) -> None:
    install(folder, "ngrok", "ERROR: limited to 1 session\n", then="exit 1")


def kill(tunnel: Tunnel) -> None:
    assert tunnel._process is not None
    tunnel._process.kill()
    tunnel._process.wait()


def test_up_shows_and_uses_the_tunnels_url_and_ends_the_tunnel(tmp_path: Path) -> None:
    path = install(
        tmp_path, "cloudflared", PRINTED["cloudflared"], then=f"echo $$ > {tmp_path}/pid\nexec sleep 600"
    )
    up = Up(tmp_path, "--no-simulator", "--tunnel", "cloudflared", RELAY_API_KEY=API_KEY, PATH=path)
    try:
        wait_for(lambda: "Press Ctrl-C to stop" in up.text(), 120)
        assert f"{URLS['cloudflared']}/callback" in up.text() and "this machine only" not in up.text()
        assert up.get("/openapi.json", API_KEY)["servers"][0]["url"] == URLS["cloudflared"]
        code = "from app.cli.shared import checked_settings; print(checked_settings().public_url)"
        ran = subprocess.run(
            [sys.executable, "-c", code], cwd=tmp_path, env=up.environment, capture_output=True, text=True
        )
        assert ran.stdout.strip() == URLS["cloudflared"], f"doctor checks this URL: {ran.stderr}"
        url_file = tmp_path / "data" / "tunnel_url"
        pid = int((tmp_path / "pid").read_text())
    finally:
        up.stop()
    assert not url_file.exists()
    url_file.write_text(URLS["cloudflared"])  # as left by an `up` that was killed
    assert tunnel_url(tmp_path / "data") is None
    assert not Path(f"/proc/{pid}").exists()


def test_up_uses_the_new_url_of_a_tunnel_that_was_started_again(tmp_path: Path) -> None:
    path = install(
        tmp_path, "cloudflared", PRINTED["cloudflared"], then=f"echo $$ > {tmp_path}/pid\nexec sleep 600"
    )
    up = Up(tmp_path, "--no-simulator", "--tunnel", "cloudflared", RELAY_API_KEY=API_KEY, PATH=path)
    other = URLS["cloudflared"].replace("made-up", "other")

    def shown() -> str | None:
        with suppress(requests.RequestException):
            return str(up.get("/openapi.json", API_KEY)["servers"][0]["url"])
        return None

    try:
        wait_for(lambda: "Press Ctrl-C to stop" in up.text(), 120)
        (tmp_path / "printed").write_text(PRINTED["cloudflared"].replace("made-up", "other"))
        os.kill(int((tmp_path / "pid").read_text()), 9)
        wait_for(lambda: shown() == other, 120)
        assert f"the tunnel has a new URL: {other}; update the Callback URL" in up.text()
        wait_for(lambda: tunnel_url(tmp_path / "data") == other, 60)
    finally:
        up.stop()


def test_a_tunnel_together_with_a_public_url_is_refused(tmp_path: Path) -> None:
    ended = run(tmp_path, "up", "--tunnel", "ngrok", RELAY_PUBLIC_URL="https://relay.example.com")
    assert ended.returncode == 1 and "leave out --tunnel" in ended.stderr
    assert list(tmp_path.iterdir()) == []
