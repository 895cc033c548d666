"""Base64 is decoded like Python's strict decoder, but faster."""

from __future__ import annotations

import binascii

from hypothesis import example, given
from hypothesis import strategies as st

from app.gateway.values import base64_bytes


def as_python_reads_it(data: str) -> bytes | None:
    try:
        packed = "".join(data.split()).encode("ascii")
        return binascii.a2b_base64(packed + b"=" * (-len(packed) % 4), strict_mode=True) or None
    except ValueError:
        return None


@given(
    st.text(alphabet="ABz09+/=-_ \r\nß", max_size=16)
    | st.binary().map(lambda data: binascii.b2a_base64(data).decode())
)
@example("a++1=")
@example("Aa===")
@example("QUI")
@example("=")
def test_the_result_is_that_of_pythons_decoder(data: str) -> None:
    assert base64_bytes(data) == as_python_reads_it(data)
