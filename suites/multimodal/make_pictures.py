"""The pictures in ``pictures/``, drawn by a formula: ``python suites/multimodal/make_pictures.py`` draws them again. They show nobody."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

WIDTH, HEIGHT = 448, 336
COUNT = 8


def picture(number: int) -> bytes:
    """A PNG of two coloured waves; the same pixels everywhere, if not the same bytes with another zlib."""
    lines = bytearray()
    for y in range(HEIGHT):
        lines.append(0)  # no filter
        for x in range(WIDTH):
            lines += bytes(((x * (number + 1)) >> 1 & 0xE0, (y * (number + 2)) >> 1 & 0xE0, ((x + y) * (8 - number)) >> 2 & 0xC0))
    header = struct.pack(">IIBBBBB", WIDTH, HEIGHT, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", zlib.compress(bytes(lines), 9)) + _chunk(b"IEND", b"")


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


if __name__ == "__main__":
    directory = Path(__file__).with_name("pictures")
    directory.mkdir(exist_ok=True)
    for number in range(COUNT):
        (directory / f"waves-{number}.png").write_bytes(picture(number))
