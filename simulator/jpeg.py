"""Small real JPEG pictures without an imaging library: a blocky portrait, different for every seed.

A baseline grey-scale JPEG in which each 8x8 block has one shade, so that the coder is a screen long:
only the DC coefficient of a block is ever written. Padded with COM segments to the size asked for.
"""

import hashlib

_COLUMNS, _ROWS = 16, 20
_MAX_COMMENT = 65533
_SOI, _EOI = b"\xff\xd8", b"\xff\xd9"


def make_jpeg(seed: str = "", size_bytes: int = 0) -> bytes:
    """A JPEG that opens in a viewer; the same seed gives the same one. Never shorter than about 500 bytes."""
    scan = _encode(_portrait(seed))
    comment = _segment(0xFE, f"cams-relay virtual device {seed}".encode())
    head = _SOI + _segment(0xE0, b"JFIF\0\x01\x01\0\0\x01\0\x01\0\0") + comment
    tail = _tables() + scan + _EOI
    return head + _padding(size_bytes - len(head) - len(tail)) + tail


def _portrait(seed: str) -> list[int]:
    """The shade of each block, row by row: a head and shoulders on a pattern made from the seed."""
    digest = hashlib.sha256(seed.encode()).digest()
    shades = []
    for row in range(_ROWS):
        for column in range(_COLUMNS):
            x, y = column - 7.5, row - 7.5
            if x * x + (y * 0.8) ** 2 < 20:
                shade = 190 + digest[0] % 50 - int(abs(x) * 6)
            elif row > 13 and abs(x) < 7 and (row > 14 or abs(x) < 4):
                shade = 60 + digest[1] % 60
            else:
                # Mirrored, as such pictures are: it makes two of them easy to tell apart.
                shade = 110 + digest[(row // 2 * 8 + min(column, 15 - column)) % 32] % 40
            shades.append(shade)
    return shades


def _encode(shades: list[int]) -> bytes:
    """The frame and scan: differences of the DC values, each followed by "end of block"."""
    height, width = _ROWS * 8, _COLUMNS * 8
    frame = bytes([8, height >> 8, height & 255, width >> 8, width & 255, 1, 1, 0x11, 0])
    bits, previous = "", 0
    for shade in shades:
        value = shade - 128
        difference, previous = value - previous, value
        category = abs(difference).bit_length()
        bits += f"{category:04b}"
        if category:
            magnitude = difference if difference > 0 else difference + (1 << category) - 1
            bits += f"{magnitude:0{category}b}"
        bits += "0"
    bits += "1" * (-len(bits) % 8)
    data = int(bits, 2).to_bytes(len(bits) // 8, "big").replace(b"\xff", b"\xff\0")
    return _segment(0xC0, frame) + _segment(0xDA, bytes([1, 1, 0x00, 0, 63, 0])) + data


def _tables() -> bytes:
    """A flat quantisation table of 8 (a DC step is then one grey level) and two short Huffman tables."""
    dc = bytes([0x00, 0, 0, 0, 9, *[0] * 12, *range(9)])
    ac = bytes([0x10, 1, *[0] * 15, 0x00])
    return _segment(0xDB, bytes([0, *[8] * 64])) + _segment(0xC4, dc) + _segment(0xC4, ac)


def _padding(length: int) -> bytes:
    out = b""
    while length - len(out) > 4:
        out += _segment(0xFE, b"\0" * min(_MAX_COMMENT, length - len(out) - 4))
    return out


def _segment(marker: int, payload: bytes) -> bytes:
    return bytes([0xFF, marker]) + (len(payload) + 2).to_bytes(2, "big") + payload
