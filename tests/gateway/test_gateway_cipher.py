"""AES-256/ECB/PKCS5 in Base64, as in the documentation's Java code, and its observed deviations."""

from __future__ import annotations

import base64
import contextlib
import json
import random
import shutil
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.gateway.cipher import CipherError, SecurityKey, ciphertext

KEY = "0123456789abcdefghijklmnopqrstuv"
PLAIN = json.dumps({"RealTime": {"OperationID": "9nu1wak5616p", "LabelName": "Küche ✓"}}).encode()


def openssl(key: str, plain: bytes, *options: str) -> bytes:
    """Encrypt with an independent implementation, by default as with Java's AES/ECB/PKCS5PADDING."""
    command = ["openssl", "enc", "-aes-256-ecb", "-K", key.encode().hex(), *options]
    return subprocess.run(command, input=plain, capture_output=True, check=True).stdout


needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")


@needs_openssl
@pytest.mark.parametrize("length", [0, 1, 15, 16, 17, 31, 32, 1000, 100_000])
def test_the_ciphertext_is_that_of_openssl(length: int) -> None:
    plain = b"{" + b"x" * length
    assert SecurityKey(KEY).encrypt(plain) == base64.b64encode(openssl(KEY, plain))


@needs_openssl
def test_openssl_can_decrypt_the_ciphertext() -> None:
    sealed = base64.b64decode(SecurityKey(KEY).encrypt(PLAIN))
    assert openssl(KEY, sealed, "-d") == PLAIN


@needs_openssl
def test_a_ciphertext_from_openssl_can_be_decrypted() -> None:
    assert SecurityKey(KEY).decrypt(base64.b64encode(openssl(KEY, PLAIN))) == PLAIN


@needs_openssl
def test_the_length_of_a_key_is_that_of_its_utf8_bytes() -> None:
    key = "schlüssel-mit-32-bytes-in-utf-8" + "!"
    key = key.encode()[:32].decode()
    assert len(key) < len(key.encode()) == 32
    assert SecurityKey(key).decrypt(base64.b64encode(openssl(key, PLAIN))) == PLAIN


def test_the_nist_test_vectors_match() -> None:
    """NIST SP 800-38A, F.1.5: the first block of ECB-AES256."""
    secret = bytes.fromhex("603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4")
    with pytest.raises(UnicodeDecodeError):
        secret.decode()  # so the vector can't be a SecurityKey; FIPS 197's key can:
    key = bytes(range(32)).decode()
    plain = bytes.fromhex("00112233445566778899aabbccddeeff")
    sealed = base64.b64decode(SecurityKey(key).encrypt(plain))
    assert sealed[:16].hex() == "8ea2b7ca516745bfeafc49904b496089"


@pytest.mark.parametrize("key", ["", "short", "x" * 31, "x" * 33, "ü" * 32, "\ud800" + "x" * 29])
def test_a_key_with_a_wrong_length_is_refused_without_repeating_it(key: str) -> None:
    with pytest.raises(ValueError, match="Security Key") as caught:
        SecurityKey(key)
    assert not key or key not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_the_key_is_not_in_the_repr() -> None:
    key = SecurityKey(KEY)
    assert KEY not in repr(key)
    assert KEY not in str(key)
    assert not hasattr(key, "__dict__")


@given(st.binary(max_size=200).map(lambda data: b"{" + base64.b64encode(data) + b"}"))
def test_encryption_and_decryption_are_inverse(plain: bytes) -> None:
    key = SecurityKey(KEY)
    assert key.decrypt(key.encrypt(plain)) == plain


def wrapped(body: bytes) -> dict[str, bytes]:
    lines = b"\r\n".join(body[at : at + 76] for at in range(0, len(body), 76))
    text = body.decode()
    return {
        "bare": body,
        "blanks around": b" \r\n\t" + body + b"\r\n  ",
        "NULs after": body + b"\x00\x00",
        "control characters after": body + b"\x08\x10\x7f",
        "BOM": b"\xef\xbb\xbf" + body,
        "lines": lines,
        "final line break": lines + b"\n",
        "quoted": b'"' + body + b'"',
        "quoted with blanks": b'  "' + body + b'"\n',
        "quoted with escaped slashes": b'"' + body.replace(b"/", b"\\/") + b'"',
        "quoted with escaped line breaks": b'"' + lines.replace(b"\r\n", b"\\r\\n") + b'"',
        "quoted lines": b'"' + lines + b'"',
        "quoted with raw and escaped": b'"' + lines.replace(b"/", b"\\/") + b'"',
        "quoted with = as Gson writes it": (
            '"' + text.replace("=", "\\u003d").replace("+", "\\u002b") + '"'
        ).encode(),
        "without =": body.rstrip(b"="),
    }


BODY = SecurityKey(KEY).encrypt(PLAIN + b" " * 216)


@pytest.mark.parametrize("form", wrapped(BODY))
def test_every_wrapping_is_removed(form: str) -> None:
    body = wrapped(BODY)[form]
    assert ciphertext(body) == base64.b64decode(BODY)
    assert SecurityKey(KEY).decrypt(body) == PLAIN


def test_the_test_body_contains_the_characters_that_wrappings_change() -> None:
    assert {ord("/"), ord("+"), ord("=")} <= set(BODY)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" \n",
        b"{}",
        PLAIN,
        b"[]",
        b"null",
        b"hello",
        b'"',
        b'""',
        b'"hello"',
        b'"abc',
        b'"\\u00ff"',
        b'"\\ud800"',
        b'"\\x"',
        b"\x00" * 32,
        base64.b64encode(b"x" * 15),
        base64.b64encode(b"x" * 17),
        base64.b64encode(b"x" * 16) + b"!",
        b"!" + base64.b64encode(b"x" * 16),
        base64.b64encode(b"x" * 16).replace(b"e", b"-"),
        base64.b64encode(b"x" * 16) + base64.b64encode(b"x" * 16),
        "ü".encode() * 16,
        b"request_data=%7B%7D",
    ],
)
def test_a_body_that_cannot_be_a_ciphertext_returns_none(body: bytes) -> None:
    assert ciphertext(body) is None
    with pytest.raises(CipherError):
        SecurityKey(KEY).decrypt(body)


@given(st.binary(max_size=64))
def test_no_body_raises_another_error(body: bytes) -> None:
    sealed = ciphertext(body)
    assert sealed is None or (sealed and len(sealed) % 16 == 0)
    for candidate in (body, b'"' + body + b'"', base64.b64encode(body)):
        with contextlib.suppress(CipherError):
            SecurityKey(KEY).decrypt(candidate)


@needs_openssl
@pytest.mark.parametrize(
    "padded",
    [
        PLAIN + b" \x00\r\n",
        PLAIN + b"\x10\x10",
        PLAIN + b"   \x02\x02",
    ],
)
def test_trailing_characters_before_the_padding_are_removed(padded: bytes) -> None:
    assert SecurityKey(KEY).decrypt(base64.b64encode(openssl(KEY, padded))) == PLAIN


@needs_openssl
@pytest.mark.parametrize("junk", [b"\x00", b" ", b"\x00 \n", b"\x05\x05\x05\x00", b"\x10" * 16 + b" "])
def test_a_plaintext_with_invalid_padding_is_read(junk: bytes) -> None:
    plain = PLAIN + junk
    plain += b"\x00" * (-len(plain) % 16)
    assert SecurityKey(KEY).decrypt(base64.b64encode(openssl(KEY, plain, "-nopad"))) == PLAIN


@needs_openssl
def test_an_object_with_names_in_another_encoding_is_read() -> None:
    """A refused callback would block the device's queue. Without encryption, such a callback is also accepted."""
    plain = '{"RealTime": {"LabelName": "Entrée", "SerialNumber": "X"}}'.encode("latin-1")
    key = SecurityKey(KEY)
    assert key.decrypt(key.encrypt(plain)) == plain
    with pytest.raises(CipherError):
        key.decrypt(key.encrypt(b"\xe9 no object"))


@pytest.mark.parametrize("plain", [b"no object, and }", b'{"a":1, no end  '])
def test_a_plaintext_without_padding_must_be_a_complete_object(plain: bytes) -> None:
    with pytest.raises(CipherError):
        SecurityKey(KEY).decrypt(base64.b64encode(openssl(KEY, plain, "-nopad")))


def test_a_wrong_key_is_refused_without_revealing_the_text() -> None:
    generator = random.Random(7)
    sealed = ciphertext(SecurityKey(KEY).encrypt(PLAIN))
    assert sealed is not None
    for _ in range(2000):
        wrong = SecurityKey("".join(generator.choices("abcdefghijklmnopqrstuvwxyz0123456789", k=32)))
        assert not wrong.opens(sealed)
        with pytest.raises(CipherError) as caught:
            wrong.open(sealed)
        assert str(caught.value) == "The body can't be decrypted with this Security Key."
        assert caught.value.__suppress_context__ or caught.value.__context__ is None


@pytest.mark.parametrize("sealed", [b"", b"x", b"x" * 15, b"x" * 17])
def test_a_ciphertext_with_a_wrong_length_cannot_be_decrypted(sealed: bytes) -> None:
    key = SecurityKey(KEY)
    assert len(sealed) == 17 or not key.opens(sealed)
    with pytest.raises(CipherError):
        key.open(sealed)
    assert key.decrypt(key.encrypt(PLAIN)) == PLAIN  # and the key still works


@pytest.mark.parametrize(
    "plain",
    [
        b"{}",
        b"{ }",
        b'{"a":1}',
        b'{"RealTime":{"OperationID":"x"}}',
        b'{\r\n  "RealTime": {}}',
        b'\n\t {\n\t"RealTime": {}}',
        b'\xef\xbb\xbf{"RealTime":{}}',
        b" " * 20 + b'{"RealTime":{}}',
        b"{" + b" " * 20 + b'"RealTime":{}}',
        '{"Küchentür✓✓✓✓✓":1}'.encode(),
        '{"aaaaaaaaaaaaaü":1}'.encode(),
        '{"😀😀😀😀😀😀":1}'.encode(),
        PLAIN,
    ],
)
def test_the_right_key_decrypts_every_start_of_an_object(plain: bytes) -> None:
    key = SecurityKey(KEY)
    sealed = ciphertext(key.encrypt(plain))
    assert sealed is not None
    assert key.opens(sealed)
    assert key.open(sealed) == plain


@pytest.mark.parametrize(
    "plain",
    [
        b"[1, 2, 3, 4, 5, 6]",
        b'"a text, no object"',
        b"{'RealTime': {}}   ",
        b"{x" * 9,
        b'{"\x01\x02\x03' + b"x" * 16,
    ],
)
def test_a_plaintext_that_is_not_an_object_is_refused(plain: bytes) -> None:
    key = SecurityKey(KEY)
    sealed = ciphertext(key.encrypt(plain))
    assert sealed is not None
    assert not key.opens(sealed)


@given(st.text(max_size=40), st.sampled_from(["", " ", "\n", "\ufeff", "\r\n\t"]))
def test_any_object_is_decrypted(name: str, before: str) -> None:
    key = SecurityKey(KEY)
    plain = (before + json.dumps({name: 1}, ensure_ascii=False)).encode("utf-8", "replace")
    sealed = ciphertext(key.encrypt(plain))
    assert sealed is not None
    assert key.opens(sealed)
