"""The relay can't be used to reach its own network: URLs are checked when set, and at every socket. Contract §1, §4."""

from __future__ import annotations

import ast
import asyncio
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.base.addresses import AddressGuard
from tests.delivery.tools import act, wait_rows
from tests.harness import ROOT, Device, Receiver, Relay, wait_for
from tests.relay.tools import problem
from workers.http.client import Client, Request, Response


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Relay]:
    """A relay that may only reach public addresses."""
    folder = tmp_path_factory.mktemp("strict")
    made = Relay(folder, RELAY_ALLOW_PRIVATE_TARGETS="", RELAY_RETRY_SCHEDULE="1").start()
    yield made
    made.stop()


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:8080/hook",
        "http://localhost:8080/hook",
        "http://[::1]/hook",
        "http://[::ffff:127.0.0.1]/hook",
        "http://10.1.2.3/",
        "http://192.168.0.1/",
        "http://169.254.169.254/latest/meta-data",
        "http://2130706433/",
        "http://0x7f.1/",
        "http://0.0.0.0/",
        "http://LOCALHOST./",
    ],
)
def test_a_private_target_is_refused_when_it_is_set(strict: Relay, url: str) -> None:
    body = {"target_url": url, "events": ["*"]}
    found = problem(strict.call("POST", "/v1/subscriptions", json=body), 422, "target_url")
    assert "RELAY_ALLOW_PRIVATE_TARGETS" in found["errors"][0]["message"]


@pytest.mark.parametrize("field", ["hookUrl", "target_url"])
def test_a_private_target_is_refused_under_other_names(strict: Relay, field: str) -> None:
    """Zapier, Make and n8n use other names for `target_url`."""
    body = {field: "http://169.254.169.254/latest/meta-data", "event": "attendance.punch"}
    found = strict.call("POST", "/v1/subscriptions", json=body)
    assert found.status_code == 422 and "RELAY_ALLOW_PRIVATE_TARGETS" in found.text, found.text
    assert strict.get("/v1/subscriptions")["data"] == []


def test_a_change_to_a_private_target_is_refused(strict: Relay) -> None:
    made = strict.call(
        "POST", "/v1/subscriptions", json={"target_url": "https://hooks.example/x", "events": ["*"]}
    )
    assert made.status_code == 201, made.text
    path = f"/v1/subscriptions/{made.json()['id']}"
    problem(strict.call("PATCH", path, json={"target_url": "http://127.0.0.1/"}), 422, "target_url")


# Real processes, with a resolver whose answer changes

REBOUND = "rebound.example"
# Replaces the system's resolver in the relay's processes, like a DNS server that the attacker controls.
RESOLVER = f"""
import json, os, socket
real = socket.getaddrinfo
def getaddrinfo(host, port, *more, **named):
    if host == {REBOUND!r}:
        host = json.load(open(os.environ["RESOLVER_ANSWER"]))
    return real(host, port, *more, **named)
socket.getaddrinfo = getaddrinfo
"""


class Rebinding:
    """A relay without private targets. The address of the attacker's host name is read from a file."""

    def __init__(self, folder: Path) -> None:
        self._answer = folder / "answer.json"
        self.lead_to("93.184.216.34")
        (folder / "sitecustomize.py").write_text(RESOLVER)
        proxy = Receiver()
        self.proxy = proxy
        self.relay = Relay(
            folder,
            RELAY_ALLOW_PRIVATE_TARGETS="",
            RELAY_RETRY_SCHEDULE="1",
            PYTHONPATH=os.pathsep.join((str(folder), str(ROOT))),
            RESOLVER_ANSWER=str(self._answer),
            **dict.fromkeys(("http_proxy", "HTTP_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"), proxy.url),
            no_proxy="127.0.0.1",
        )

    def lead_to(self, address: str) -> None:
        fresh = self._answer.with_suffix(".new")
        fresh.write_text(json.dumps(address))
        fresh.rename(self._answer)


@pytest.fixture(scope="module")
def rebinding(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rebinding]:
    made = Rebinding(tmp_path_factory.mktemp("rebinding"))
    try:
        made.relay.start()
        yield made
    finally:
        made.relay.stop()
        made.proxy.close()


@pytest.mark.parametrize("address", ["127.0.0.1", "::ffff:127.0.0.1"])
def test_a_name_that_becomes_private_after_the_check_gets_no_delivery_or_command(
    rebinding: Rebinding, receiver: Receiver, address: str
) -> None:
    """The proxy in the environment isn't used either, because it would bypass the check."""
    relay, port = rebinding.relay, receiver.url.rpartition(":")[2].partition("/")[0]
    rebinding.lead_to("93.184.216.34")
    url = f"http://{REBOUND}:{port}/"
    device = relay.device(gateway_url=url)
    made = relay.call("POST", "/v1/subscriptions", json={"target_url": url, "events": ["attendance.punch"]})
    assert made.status_code == 201, made.text
    rebinding.lead_to(address)
    device.send_done(device.punch())
    act(relay, made.json(), "test")
    for row in wait_rows(relay, made.json(), 2, 30, status="dead"):
        assert row["error"] == "refused_address"
    answer = relay.call(
        "POST", "/v1/actions/load-device-information", json={"device_id": device.id}, timeout=60
    )
    found = problem(answer, 422, "gateway_url")
    assert "RELAY_ALLOW_PRIVATE_TARGETS" in found["detail"] and found["command_status"] == "failed"
    assert receiver.received == [] and rebinding.proxy.received == []
    relay.call("DELETE", f"/v1/subscriptions/{made.json()['id']}")


def test_a_private_gateway_is_refused_when_it_is_set_and_when_it_is_changed(strict: Relay) -> None:
    for url in ("http://127.0.0.1/", "http://[64:ff9b::a9fe:a9fe]/", "http://localhost:6379/"):
        body = {"device_id": "SSRF", "auth_token": "0" * 32, "gateway_url": url}
        problem(strict.call("POST", "/v1/devices", json=body), 422, "gateway_url")
        device: Device = strict.device()
        path = f"/v1/devices/{device.id}"
        problem(strict.call("PATCH", path, json={"gateway_url": url}), 422, "gateway_url")


# The check itself, which libcurl calls for every socket

INSIDE = [
    "0.0.0.0", "10.0.0.1", "100.64.0.1", "127.0.0.1", "127.8.8.8", "169.254.169.254", "169.254.170.2", "172.16.0.1",
    "172.31.255.255", "192.0.0.192", "192.168.0.1", "198.18.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255", "::",
    "::1", "fc00::1", "fd00:ec2::254", "fe80::1", "fec0::1", "ff02::1", "::ffff:127.0.0.1", "::ffff:169.254.169.254",
    "::127.0.0.1", "64:ff9b::127.0.0.1", "64:ff9b::169.254.169.254", "64:ff9b:1::127.0.0.1", "2002:7f00:1::1",
    "2002:a9fe:a9fe::", "2002:c0a8:1::", "2001:0:7f00:1::", "2001:0:808:808:0:0:80ff:fffe", "2001:db8::1", "5f00::1",
]  # fmt: skip


def fetched(*urls: str) -> list[Response]:
    async def scenario() -> list[Response]:
        client = Client(AddressGuard(""), user_agent="cams-relay/test", connect_timeout=5)
        try:
            return [await client.fetch(Request(url, b"{}", ["content-type: text/plain"], 5)) for url in urls]
        finally:
            await client.close()

    return asyncio.run(scenario())


@pytest.mark.parametrize("address", INSIDE)
def test_no_socket_is_opened_to_a_private_address_by_number_or_name(
    monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET

    def getaddrinfo(_host: str, port: int, *_: object, **__: object) -> list[Any]:
        return [(family, socket.SOCK_STREAM, 6, "", (address, port))]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    number = f"[{address}]" if ":" in address else address
    for response in fetched(f"http://{number}:9/", "http://inside.example:9/", "https://inside.example/"):
        assert (response.status, response.error) == (0, "refused_address")


@pytest.mark.parametrize(
    "host",
    [
        "127.1",
        "127.0.1",
        "2130706433",
        "0x7f000001",
        "0x7f.0.0.1",
        "0177.0.0.1",
        "017700000001",
        "0",
    ],
)
def test_no_spelling_of_a_private_address_passes_the_guard(receiver: Receiver, host: str) -> None:
    port = receiver.url.rpartition(":")[2].partition("/")[0]
    (response,) = fetched(f"http://{host}:{port}/")
    assert response.error == "refused_address" and receiver.received == []


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com@127.0.0.1/",
        "http://127.0.0.1@example.com/",
        "http://example.com:80@127.0.0.1/",
        "http://127.0.0.1#@example.com/",
        "http://127.0.0.1#.example.com/",
        "http://127.0.0.1?@example.com/",
        "http://127.0.0.1\\@example.com/",
        "http://example.com\\.127.0.0.1/",
        "http://127.0.0.1%00.example.com/",
        "http://127.0.0.1%2f.example.com/",
        "http:127.0.0.1/",
        "http:/127.0.0.1/",
        "http:///127.0.0.1/",
        "//127.0.0.1/",
        "http://[::ffff:127.0.0.1%25lo]/",
        "http://[::1]:80@example.com/",
        "http://127。0。0。1/",
        "http://①②⑦.⓪.⓪.①/",
        "gopher://127.0.0.1/",
        "file:///etc/passwd",
        "unix:///run/x.sock",
        "dict://127.0.0.1:6379/",
        "http://example.com\r\nHost: 127.0.0.1/",
    ],
)
def test_a_url_with_an_ambiguous_host_is_refused(strict: Relay, url: str) -> None:
    body = {"target_url": url, "events": ["*"]}
    problem(strict.call("POST", "/v1/subscriptions", json=body), 422, "target_url")


def test_a_redirect_to_a_private_address_is_not_followed(relay: Relay, receiver: Receiver) -> None:
    """The first request is allowed, as to a public address. The second one is never sent."""
    inside = Receiver()
    device = relay.device()
    receiver.answer = lambda _: (307, {"Location": inside.url}, b"")
    subscription = relay.subscribe(receiver, device)
    device.send_done(device.punch())
    wait_for(lambda: len(receiver.received) >= 2)
    assert inside.received == []
    relay.call("DELETE", f"/v1/subscriptions/{subscription['id']}")
    inside.close()


# Outgoing connections


def test_only_the_http_client_and_the_stores_client_open_connections() -> None:
    """Lists the other modules that can open connections, and why a caller's URL can't direct them."""
    able = {
        "pycurl", "requests", "urllib3", "urllib.request", "http.client", "httpx", "aiohttp", "websockets", "ftplib",
        "smtplib", "telnetlib", "xmlrpc.client", "asyncio.open_connection", "asyncio.create_connection",
        "socket.create_connection",
    }  # fmt: skip
    found: dict[str, set[str]] = {}
    for path in sorted([*ROOT.glob("app/**/*.py"), *ROOT.glob("workers/**/*.py")]):
        for node in ast.walk(ast.parse(path.read_text())):
            names: list[str] = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module:
                names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
            elif isinstance(node, ast.Attribute):
                names = [name for name in (ast.unparse(node),) if name.startswith(("socket.", "asyncio."))]
                if node.attr in ("connect", "connect_ex", "sock_connect") and "sock" in ast.unparse(
                    node.value
                ):
                    names.append("socket.create_connection")
            used = {name for name in names for start in able if name == start or name.startswith(f"{start}.")}
            if used:
                found.setdefault(str(path.relative_to(ROOT)), set()).update(used)
    modules = {path: {name.partition(".")[0] for name in names} for path, names in found.items()}
    assert modules.pop("workers/http/client.py") == modules.pop("workers/http/easy_handle.py") == {"pycurl"}
    # `doctor` checks whether this relay responds at RELAY_PUBLIC_URL, which its operator sets.
    assert modules.pop("app/health/public_url.py") == {"pycurl"}
    # `cams-relay up` checks whether its own web process responds.
    assert modules.pop("app/run/up.py") == {"requests"}
    # Separate programs, for assistants and for machines that only write a table. They call the relay at the URL that
    # whoever starts them has set.
    assert modules.pop("app/mcp/api_client.py") == {"requests"}
    assert modules.pop("app/connector/sender.py") == {"requests"}
    assert modules == {}, "the relay connects in another way: use workers.http.client instead"
