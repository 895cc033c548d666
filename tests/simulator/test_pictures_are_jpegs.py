"""The pictures are valid JPEGs, checked by a decoder for the JPEG features that they use."""

import pytest

from simulator.jpeg import make_jpeg


def segments(picture: bytes) -> tuple[dict[int, bytes], bytes]:
    """Return the last segment of each marker, and the data of the scan."""
    assert picture[:2] == b"\xff\xd8"
    found, at = {}, 2
    while True:
        assert picture[at] == 0xFF
        marker, length = picture[at + 1], int.from_bytes(picture[at + 2 : at + 4], "big")
        found[marker] = picture[at + 4 : at + 2 + length]
        at += 2 + length
        if marker == 0xDA:
            assert picture[-2:] == b"\xff\xd9"
            return found, picture[at:-2].replace(b"\xff\0", b"\xff")


def shades(picture: bytes) -> list[int]:
    """Return the grey value of each 8x8 block."""
    found, data = segments(picture)
    frame = found[0xC0]
    height, width = int.from_bytes(frame[1:3], "big"), int.from_bytes(frame[3:5], "big")
    bits = "".join(f"{byte:08b}" for byte in data)
    at, shade, read = 0, 128, []
    for _ in range(height // 8 * (width // 8)):
        category, at = int(bits[at : at + 4], 2), at + 4
        if category:
            value, at = int(bits[at : at + category], 2), at + category
            shade += value if value >> (category - 1) else value - (1 << category) + 1
        assert bits[at] == "0", "expected the end of the block"
        at += 1
        read.append(shade)
    assert len(bits) - at < 8 and set(bits[at:]) <= {"1"}
    return read


@pytest.mark.parametrize("seed", ["", "1", "user 2", "äöü"])
def test_every_block_can_be_decoded(seed: str) -> None:
    read = shades(make_jpeg(seed))
    assert len(read) == 16 * 20
    assert all(0 <= shade <= 255 for shade in read) and len(set(read)) > 5


@pytest.mark.parametrize("size", [1000, 30 * 1024, 65600, 200_000])
def test_size_can_be_chosen_and_the_picture_stays_the_same(size: int) -> None:
    picture = make_jpeg("1", size)
    assert abs(len(picture) - size) <= 4
    assert shades(picture) == shades(make_jpeg("1"))


def test_different_seeds_give_different_pictures_and_the_same_seed_the_same() -> None:
    pictures = {make_jpeg(str(seed)) for seed in range(50)}
    assert len(pictures) == 50
    assert make_jpeg("7") in pictures


def test_the_tables_are_those_that_the_decoder_assumes() -> None:
    found, _ = segments(make_jpeg())
    # Nine DC codes of four bits, and (the last table) one AC code of one bit, "end of block".
    assert found[0xC4] == bytes([0x10, 1, *[0] * 15, 0x00])
    assert bytes([0x00, 0, 0, 0, 9, *[0] * 12, *range(9)]) in make_jpeg()
    assert set(found[0xDB][1:]) == {8}
