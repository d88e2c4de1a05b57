"""Grey PNG files decoded without Python's global lock, so that reading threads share all cores."""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING, Any

from imagecodecs import PngError, png_decode

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

_HEADER = struct.Struct(">IIBB")
"""Width, height, bits and colour of a picture."""
_CHUNK = struct.Struct(">I4s")
"""Length and name; the content follows, and a checksum of name and content."""
_CHECKSUM = struct.Struct(">I")
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_GREY = 0
_MOST_PIXELS = 2**26
"""Larger pictures may be bombs, which Pillow has a rule for."""
_HARMLESS = (b"IHDR", b"pHYs", b"gAMA", b"cHRM", b"sRGB", b"sBIT", b"bKGD", b"tIME", b"tEXt", b"zTXt", b"iTXt")
"""Chunks that change no pixel; animations, transparency and profiles, of which libpng complains, are not among them."""


def read_grey_png(path: Path) -> NDArray[Any] | None:
    """Return the pixels of a grey PNG with 8 or 16 bits, uint8 or uint16 [H, W], from any thread.

    Returns None for every other file, a damaged one too: Pillow, which decodes all kinds and has the last word on what
    is damaged, holds the lock for part of each image, and however many threads there are, they get no further together.
    """
    if path.suffix.lower() != ".png" or not path.is_file():
        return None
    try:
        data = path.read_bytes()
        if not _is_plain_grey(data):
            return None
        return png_decode(data)
    except (OSError, struct.error, PngError):
        return None


def _is_plain_grey(data: bytes) -> bool:
    """Whether a file is one grey picture without transparency, and whole but for its pixels.

    libpng skips what is damaged beside the pixels, and does not miss what is cut off behind them; Pillow refuses such
    files. Raises `struct.error` for a file that ends too early.
    """
    at = len(_SIGNATURE) if data.startswith(_SIGNATURE) else len(data)
    while True:
        size, name = _CHUNK.unpack_from(data, at)
        start, end = at + _CHUNK.size, at + _CHUNK.size + size
        if name == b"IHDR" and not _is_plain(*_HEADER.unpack_from(data, start)):
            return False
        if name == b"IEND":
            return True
        # The checksums of the pixels libpng tests itself.
        if name != b"IDAT" and not (name in _HARMLESS and _is_whole(data, at + 4, end)):
            return False
        at = end + _CHECKSUM.size


def _is_plain(width: int, height: int, bits: int, colour: int) -> bool:
    return colour == _GREY and bits in {8, 16} and width * height <= _MOST_PIXELS


def _is_whole(data: bytes, first: int, end: int) -> bool:
    return bool(_CHECKSUM.unpack_from(data, end) == (zlib.crc32(data[first:end]),))
