"""The relay below a path of a reverse proxy, such as https://hr.example.com/relay: every link includes the path."""

from __future__ import annotations

import http.client
import http.server
import re
import threading
from collections.abc import Iterator
from typing import Any
from urllib.parse import urljoin, urlsplit

import pytest
import requests
from playwright.sync_api import Browser

from tests.console.tools import sign_in, token_in
from tests.harness import API_KEY, Device, Relay

_LINK = re.compile(r'\b(?:href|src|action|data-stream)="([^"#][^"]*)"')
_NOT_PASSED_ON = ("content-length", "connection", "transfer-encoding")


class Proxy:
    """Serves another server below a path, which it removes from forwarded requests or keeps."""

    def __init__(self, path: str, *, takes_off: bool) -> None:
        self.target: tuple[str, int] = ("", 0)
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def pass_on(self) -> None:
                if not self.path.startswith(f"{path}/"):
                    self.send_error(404, "not below the path")
                    return
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                headers = {
                    name: value for name, value in self.headers.items() if name.lower() != "connection"
                }
                connection = http.client.HTTPConnection(*outer.target, timeout=60)
                asked = self.path.removeprefix(path) if takes_off else self.path
                connection.request(self.command, asked, body, headers)
                answer = connection.getresponse()
                self.send_response(answer.status)
                for name, value in answer.getheaders():
                    if name.lower() not in _NOT_PASSED_ON:
                        self.send_header(name, value)
                self.end_headers()
                try:
                    while part := answer.read1(65_536):
                        self.wfile.write(part)
                        self.wfile.flush()
                except OSError:
                    self.close_connection = True
                connection.close()

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = pass_on

            def log_message(self, *_: Any) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}{path}"


@pytest.fixture(scope="module", params=["/relay", "/a/b%20c", "/v1"])
def office(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Relay]:
    """A relay whose `url` is that of the proxy, which takes the path off where it begins like one of ours."""
    proxy = Proxy(request.param, takes_off=request.param != "/a/b%20c")
    with Relay(tmp_path_factory.mktemp("below"), RELAY_PUBLIC_URL=proxy.url, WEB_CONCURRENCY="1") as made:
        parts = urlsplit(made.url)
        proxy.target = (parts.hostname or "", parts.port or 0)
        made.url = proxy.url
        yield made
    proxy.server.shutdown()


@pytest.fixture(scope="module")
def device(office: Relay) -> Device:
    made = office.device()
    made.send_done(made.punch("7"))
    made.send_done({"RealTime": {"AuthToken": made.token, "OperationID": "1", "Nonsense": {}}})
    return made


def test_every_link_of_every_page_includes_the_path(office: Relay, device: Device) -> None:
    session = requests.Session()
    session.headers["Accept"] = "text/html"
    form = session.get(f"{office.url}/", timeout=20)
    assert form.url.startswith(f"{office.url}/console/sign-in")
    session.post(
        f"{office.url}/console/sign-in",
        data={"key": API_KEY, "csrf_token": token_in(form.text)},
        timeout=20,
    ).raise_for_status()
    session.post(
        f"{office.url}/v1/subscriptions",
        json={"target_url": "https://hooks.example.com/", "events": ["*"]},
        headers={"X-API-Key": API_KEY, "Accept": "application/json"},
        timeout=20,
    ).raise_for_status()
    waiting, seen = [f"{office.url}/"], set()
    while waiting:
        page = waiting.pop()
        answer = session.get(page, timeout=20)
        assert answer.ok and answer.url.startswith(f"{office.url}/"), (page, answer.url, answer.status_code)
        if not answer.headers["Content-Type"].startswith("text/html"):
            continue
        for link in _LINK.findall(answer.text):
            target = urljoin(answer.url, link.replace("&amp;", "&"))
            assert target.startswith(f"{office.url}/"), (page, link)
            place = target.partition("?")[0]
            if place not in seen and "/stream" not in place and "/sign-out" not in place:
                seen.add(place)
                waiting.append(target)
    pages = {urlsplit(one).path.removeprefix(urlsplit(office.url).path).split("/")[1] for one in seen}
    assert {"console", "docs", "v1", "bodies"} <= pages, pages
    for part in ("devices", "subscriptions", "actions", "attendance", "health", "events", "static"):
        assert any(f"/console/{part}" in one for one in seen), part


def test_the_api_and_callbacks_work_below_the_path(office: Relay, device: Device) -> None:
    headers = {"X-API-Key": API_KEY}
    shown = requests.get(f"{office.url}/v1/devices/{device.id}", headers=headers, timeout=20).json()
    assert shown["callback_url"].startswith(f"{office.url}/callback")
    servers = requests.get(f"{office.url}/openapi.json", timeout=20).json()["servers"]
    assert servers == [{"url": office.url}]
    got = requests.post(shown["callback_url"], json=device.punch("8"), timeout=20)
    assert got.json() == {"status": "done"}


def test_forms_scripts_and_the_stream_work_below_the_path(
    office: Relay, device: Device, browser: Browser
) -> None:
    page = browser.new_page()
    sign_in(page, office)
    page.goto(f"{office.url}/")
    page.locator("#stream-state.live").wait_for()
    device.send_done(device.punch("fresh-user"))
    page.get_by_text("fresh-user").first.wait_for()
    page.goto(f"{office.url}/console/devices/new")
    page.locator("#f-device_id").fill("BELOW1")
    page.locator("#f-auth_token").fill("0123456789abcdef0123456789abcdef")
    page.locator("#f-gateway_url").fill("https://robot.example.com/external/api3.0/biometric")
    page.locator("form[data-api] button.primary").click()
    page.wait_for_url(f"{office.url}/console/devices/BELOW1", wait_until="commit")
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url(f"{office.url}/console/sign-in")
    page.close()
