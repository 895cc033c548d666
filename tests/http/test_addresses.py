"""The addresses that the address guard permits, and its messages for others."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from app.base.addresses import AddressGuard, UrlRefused

PUBLIC = [
    "93.184.216.34",
    "1.1.1.1",
    "8.8.8.8",
    "172.15.255.255",
    "172.32.0.1",
    "100.63.0.1",
    "100.128.0.1",
    "169.253.1.1",
    "192.0.1.1",
    "198.17.0.1",
    "198.20.0.1",
    "223.255.255.255",
    "2606:4700::1111",
    "2a00:1450::1",
    "2001:4860:4860::8888",
]
NOT_PUBLIC = [
    "127.0.0.1",
    "127.255.255.254",
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.1.1",
    "169.254.169.254",
    "100.64.0.1",
    "100.127.255.255",
    "192.0.0.1",
    "192.0.2.1",
    "198.51.100.7",
    "203.0.113.9",
    "198.18.0.1",
    "198.19.255.255",
    "224.0.0.1",
    "239.1.1.1",
    "240.0.0.1",
    "255.255.255.255",
    "192.88.99.1",
    "::",
    "::1",
    "fe80::1",
    "fe80::1%eth0",
    "fec0::1",
    "fc00::1",
    "fd00:ec2::254",
    "ff02::1",
    "2001:db8::1",
    "2001:2::1",
    "2001:10::1",
    "3fff::1",
    "100::1",
    "4000::1",
    "5f00::1",
    "64:ff9b:1::1",
]
LOOPBACK_WITHIN = [
    "::ffff:127.0.0.1",
    "::ffff:7f00:1",
    "64:ff9b::7f00:1",
    "2002:7f00:1::",
    "2002:7f00:1:2::3",
    "2001:0:808:808:0:0:80ff:fffe",
    "::ffff:127.0.0.1%lo",
]


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_permitted(address: str) -> None:
    assert AddressGuard("").permits(address)


@pytest.mark.parametrize("address", [*NOT_PUBLIC, *LOOPBACK_WITHIN, "::7f00:1", "::127.0.0.1"])
def test_other_addresses_are_not_permitted(address: str) -> None:
    assert not AddressGuard("").permits(address)
    assert not AddressGuard("127.0.0.2/32,192.168.77.0/24").permits(address)
    assert AddressGuard("all").permits(address)


@pytest.mark.parametrize(
    "nothing", ["", "localhost", "1.2.3", "0177.0.0.1", "2130706433", "1.2.3.4/32", "[::1]"]
)
def test_a_text_that_is_not_an_address_is_never_permitted(nothing: str) -> None:
    assert not AddressGuard("").permits(nothing)
    assert not AddressGuard("all").permits(nothing)


@pytest.mark.parametrize("address", ["::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::1"])
def test_a_public_address_embedded_in_another_is_permitted(address: str) -> None:
    assert AddressGuard("").permits(address)


@pytest.mark.parametrize("address", ["127.0.0.1", *LOOPBACK_WITHIN[:5]])
def test_an_allowed_network_is_permitted_in_every_spelling(address: str) -> None:
    guard = AddressGuard(" 127.0.0.0/8 , ::1 ,")
    assert guard.permits(address) and guard.permits("::1")
    assert not guard.permits("10.0.0.1") and not guard.permits("fc00::1")


def test_a_teredo_address_needs_both_its_server_and_its_client_permitted() -> None:
    loopback_client, public_client = "2001:0:808:808:0:0:80ff:fffe", "2001:0:808:808:0:0:f7f7:f7f7"
    assert AddressGuard("").permits(public_client)
    assert not AddressGuard("").permits(loopback_client)
    assert AddressGuard("127.0.0.0/8").permits(loopback_client)
    assert not AddressGuard("").permits(public_client.replace("808:808", "7f00:1"))


@pytest.mark.parametrize(
    ("setting", "named", "example"),
    [
        ("10.0.0.0/8,nonsense", "'nonsense'", "192.168.1.5/32"),
        ("10.1.2.3/8", "'10.1.2.3/8'", "RELAY_ALLOW_PRIVATE_TARGETS=10.0.0.0/8"),
        ("10.0.0.0/33", "'10.0.0.0/33'", "10.1.0.0/16"),
        ("localhost", "'localhost'", "all"),
        ("10.0.0.0/8;172.16.0.0/12", "'10.0.0.0/8;172.16.0.0/12'", "10.1.0.0/16,192.168.1.5/32"),
    ],
)
def test_an_invalid_setting_is_named_with_a_valid_example(setting: str, named: str, example: str) -> None:
    with pytest.raises(ValueError) as caught:
        AddressGuard(setting)
    sentence = str(caught.value)
    assert named in sentence and example in sentence and sentence.startswith("RELAY_ALLOW_PRIVATE_TARGETS")


# URLs


@pytest.mark.parametrize(
    ("given", "normal"),
    [
        ("https://example.com", "https://example.com/"),
        ("HTTPS://Example.COM:443/A?b=C#frag", "https://example.com/A?b=C"),
        ("http://example.com:80/", "http://example.com/"),
        ("http://example.com:8080/x%20y?q=%2F", "http://example.com:8080/x%20y?q=%2F"),
        ("http://example.com./", "http://example.com/"),
        ("https://bücher.example/ü?q=é", "https://xn--bcher-kva.example/%C3%BC?q=%C3%A9"),
        ("https://example.com?a=1", "https://example.com/?a=1"),
        ("https://hook.eu1.make.com/abc~!$&'()*+,;=:@[]", "https://hook.eu1.make.com/abc~!$&'()*+,;=:@[]"),
        ("http://my_host.example/", "http://my_host.example/"),
        ("http://[2606:4700:0:0::1111]:8080/", "http://[2606:4700::1111]:8080/"),
        ("http://0x08.8.8.8/", "http://8.8.8.8/"),
        ("http://134744072/", "http://8.8.8.8/"),
        ("http://8.8.8.8./", "http://8.8.8.8/"),
        ("http://example.com:/", "http://example.com/"),
    ],
)
def test_a_url_is_normalised_in_one_pass(given: str, normal: str) -> None:
    guard = AddressGuard("")
    assert guard.check_url(given, resolve=False) == normal
    assert guard.check_url(normal, resolve=False) == normal


@pytest.mark.parametrize(
    ("url", "about"),
    [
        ("", "http://"),
        ("example.com/hook", "http://"),
        ("ftp://example.com/", "http://"),
        ("file:///etc/passwd", "http://"),
        ("javascript:alert(1)", "http://"),
        ("http:///path", "host"),
        ("http://:80/", "host"),
        ("https://user:password@example.com/", "header"),
        ("https://user@example.com/", "header"),
        ("https://@example.com/", "header"),
        ("https://example.com:0/", "1 to 65535"),
        ("https://example.com:65536/", "1 to 65535"),
        ("https://example.com:x/", "1 to 65535"),
        ("https://example.com:-1/", "1 to 65535"),
        ("https://example.com/a b", "space"),
        ("https://example.com/\r\nhost: x", "control"),
        (" https://example.com/", "space"),
        ("https://exam\tple.com/", "control"),
        ("https://example.com\x00/", "control"),
        ("https://example.com/\u2028x", "space"),
        ("https://example.com\\@127.0.0.1/", "backslash"),
        ("https://" + "a" * 2048 + ".com", "2048"),
        ("https://example.com/" + "é" * 1000, "2048"),
        ("https://[::1", "not a URL"),
        ("https://[::1%25eth0]/", "zone"),
        ("https://[v1.x]/", ""),
        ("https://exam%70le.com/", "host name"),
        ("https://-example.com/", "host name"),
        ("https://a..example.com/", "xn--"),
        ("https://" + "a" * 64 + ".com/", "xn--"),
        ("https://" + "abcdefgh." * 30 + "com/", "host name"),
        ("https://faß.de/", "xn--"),
        ("https://a\u200db.example/", "xn--"),
        ("https://exa$mple.com/", "host name"),
        ("https://1.2.3.4.5/", "neither"),
        ("https://256.1.1.1/", "neither"),
        ("https://1.2.3.0x/", ""),
        ("https://example.com/\ud800", "not a URL"),
    ],
)
def test_an_invalid_or_misleading_url_is_refused_with_a_sentence(url: str, about: str) -> None:
    with pytest.raises(UrlRefused) as caught:
        AddressGuard("").check_url(url, resolve=False)
    assert about in str(caught.value) and str(caught.value).endswith(".")
    assert "password@" not in str(caught.value)


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f.1",
        "0x7f000001",
        "0177.0.0.1",
        "017700000001",
        "127.0.0.1.",
        "\u2460\u2461\u2466.\u24ea.\u24ea.\u2460",
        "\uff11\uff12\uff17\u3002\uff10\u3002\uff10\u3002\uff11",
        "0",
        "10.1",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[0:0:0:0:0:ffff:7f00:1]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
        "169.254.169.254",
        "[fd00:ec2::254]",
        "[::]",
    ],
)
def test_a_private_address_is_refused_in_every_spelling_without_a_lookup(host: str) -> None:
    with pytest.raises(UrlRefused, match="RELAY_ALLOW_PRIVATE_TARGETS="):
        AddressGuard("").check_url(f"http://{host}/", resolve=False)
    assert AddressGuard("all").check_url(f"http://{host}/", resolve=False)


def test_a_refusal_names_the_setting_that_would_allow_it() -> None:
    def refusal(guard: AddressGuard, url: str) -> str:
        with pytest.raises(UrlRefused) as caught:
            guard.check_url(url)
        return str(caught.value)

    sentence = refusal(AddressGuard(""), "http://192.168.1.5:5678/hook")
    assert "192.168.1.5 is a private address" in sentence
    assert "RELAY_ALLOW_PRIVATE_TARGETS=192.168.1.5/32." in sentence
    widened = refusal(AddressGuard("10.0.0.0/8"), "http://[::ffff:127.0.0.1]/")
    assert "RELAY_ALLOW_PRIVATE_TARGETS=10.0.0.0/8,127.0.0.1/32." in widened
    assert AddressGuard("10.0.0.0/8,127.0.0.1/32").check_url("http://[::ffff:127.0.0.1]/")
    by_name = refusal(AddressGuard(""), "http://localhost/")
    assert "localhost resolves to" in by_name and "loopback" in by_name


def test_a_name_is_refused_if_any_of_its_addresses_is(monkeypatch: pytest.MonkeyPatch) -> None:
    found = ["93.184.216.34"]

    def getaddrinfo(host: str, port: int, *_: object, **__: object) -> list[Any]:
        assert (host, port) == ("example.com", 443)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (ip, port)) for ip in found]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    guard = AddressGuard("")
    assert guard.check_url("https://example.com/")
    found.append("10.0.0.1")
    with pytest.raises(UrlRefused, match=r"10\.0\.0\.1/32"):
        guard.check_url("https://example.com/")
    assert guard.check_url("https://example.com/", resolve=False)


def test_a_name_that_is_not_found_is_permitted(monkeypatch: pytest.MonkeyPatch) -> None:
    def getaddrinfo(*_: object, **__: object) -> list[Any]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    assert AddressGuard("").check_url("https://soon.example/") == "https://soon.example/"
