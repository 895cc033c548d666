"""Coverage-guided fuzzing: `python -m tests.security.fuzz TARGET FOLDER… [libFuzzer's options]`, on Linux.

An exception that the target's docstring doesn't name ends the run with exit status 77, and the input is saved to a
file.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime

import atheris
import orjson

with atheris.instrument_imports(include=["app.gateway", "app.events", "app.callbacks.body"]):
    from app.callbacks.body import Refused, envelope_in
    from app.gateway import callbacks, clock
    from app.gateway.cipher import CipherError, SecurityKey, ciphertext

_KEY = SecurityKey("made-up-security-key-of-32-bytes")


def decryption(data: bytes) -> None:
    """Decrypt the data itself, and a body with this data encrypted with the right key."""
    for body in (data, _KEY.encrypt(data)):
        sealed = ciphertext(body)
        if sealed is None:
            continue
        try:
            plain = _KEY.open(sealed)
        except CipherError:
            continue
        assert isinstance(plain, bytes)


def timestamps(data: bytes) -> None:
    """A time that can be read can also be written, and is read as the same time again."""
    text = data.decode("utf-8", "surrogateescape")
    try:
        moment = clock.parse(text, default_tz=UTC)
    except ValueError as error:
        assert len(str(error)) < 400
        return
    assert isinstance(moment, datetime) and moment.tzinfo is not None
    assert clock.parse(clock.format_gateway(moment)) == moment
    assert clock.iso(moment) and clock.iso_utc(moment)


def reader(data: bytes) -> None:
    """Any JSON can be read, and is shown without its secrets."""
    try:
        envelope, _ = envelope_in(data)
    except Refused:
        return
    assert isinstance(envelope.auth_token, str | None) and isinstance(envelope.serial, str | None)
    document, callback = envelope.document, callbacks.read_enveloped(envelope, UTC)
    assert callback.facts or callback.problems or callback.operation is not None
    assert len(callbacks.content_digest(document)) == 16
    orjson.dumps([callbacks.redact(document), callbacks.redact_unknown(document)])


TARGETS = {target.__name__: target for target in (decryption, timestamps, reader)}


def main() -> None:
    target = TARGETS[sys.argv.pop(1)]
    atheris.Setup(sys.argv, target)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
