"""Grey PNG files are decoded to Pillow's pixels without Python's global lock; all others are left to Pillow."""

from __future__ import annotations

import io
import struct
import zlib
from functools import partial
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from models.files import ImageError, read_image
from models.grey_png import read_grey_png

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

SHAPE = (48, 80)


def section(shape: tuple[int, int] = SHAPE) -> NDArray[np.uint8]:
    """Return grey that differs little from pixel to pixel, as PNG's filters expect."""
    steps = np.random.default_rng(0).normal(0, 3, shape)
    return (np.cumsum(steps, axis=1) + 128).clip(0, 255).astype(np.uint8)


def png(picture: Image.Image, **options: Any) -> bytes:
    out = io.BytesIO()
    picture.save(out, "PNG", **options)
    return out.getvalue()


def pillow(path: Path) -> NDArray[Any]:
    with Image.open(path) as picture:
        return np.asarray(picture)


def info() -> PngInfo:
    """Return what tells a viewer to change what it shows, the gamma and the bits that count, and a text."""
    found = PngInfo()
    found.add(b"gAMA", struct.pack(">I", 30000))
    found.add(b"sBIT", b"\x05")
    found.add(b"tEXt", b"Comment\0" + 300 * b"x")
    return found


def with_text_behind(data: bytes) -> bytes:
    """Return a file with a text behind its pixels."""
    body = b"tEXtComment\0" + 300 * b"x"
    return data[:-12] + struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body)) + data[-12:]


def patched(data: bytes, name: bytes, change: Callable[[bytearray], None]) -> bytes:
    """Return a file with one chunk changed and its checksum made anew."""
    at = data.index(name)
    size = int.from_bytes(data[at - 4 : at], "big")
    content = bytearray(data[at + 4 : at + 4 + size])
    change(content)
    body = name + bytes(content)
    return (
        data[: at - 4]
        + struct.pack(">I", len(content))
        + body
        + struct.pack(">I", zlib.crc32(body))
        + data[at + 8 + size :]
    )


def interlaced(pixels: NDArray[np.uint8]) -> bytes:
    """Return a file that holds every eighth pixel first and the others in six passes (Adam7), without filters."""
    passes = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]
    lines = [line for top, left, down, right in passes for line in pixels[top::down, left::right]]

    def header(content: bytearray) -> None:
        content[12] = 1

    def content(content: bytearray) -> None:
        content[:] = zlib.compress(b"".join(b"\0" + line.tobytes() for line in lines))

    return patched(patched(png(Image.fromarray(pixels)), b"IHDR", header), b"IDAT", content)


GREY: dict[str, Callable[[], bytes]] = {
    "plain": lambda: png(Image.fromarray(section())),
    "stored": lambda: png(Image.fromarray(section()), compress_level=0),
    "small": lambda: png(Image.fromarray(section()), optimize=True),
    "metadata": lambda: with_text_behind(png(Image.fromarray(section()), pnginfo=info())),
    "16 bits": lambda: png(Image.fromarray(section().astype(np.uint16) * 257 - 128)),
    "interlaced": lambda: interlaced(section()),
    "several chunks": lambda: png(Image.fromarray(section((512, 512)))),
}


@pytest.mark.parametrize("kind", GREY)
def test_grey_png_has_the_pixels_that_pillow_sees(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a.PNG"
    path.write_bytes(GREY[kind]())
    found = read_grey_png(path)
    assert found is not None
    assert found.dtype == (np.uint16 if kind == "16 bits" else np.uint8)
    np.testing.assert_array_equal(found, pillow(path))


def _of_mode(mode: str) -> bytes:
    return png(Image.fromarray(section()).convert(mode))


def _animation() -> bytes:
    first, second = (Image.fromarray(pixels) for pixels in (section(), 255 - section()))
    return png(first, save_all=True, append_images=[second])


OTHERS: dict[str, Callable[[], bytes]] = {
    **{mode: partial(_of_mode, mode) for mode in ("1", "P", "LA", "RGB", "RGBA")},
    "transparent": lambda: png(Image.fromarray(section()), transparency=128),
    "animation": _animation,
    "huge": lambda: png(Image.new("L", (2**14, 2**12 + 1))),
    "empty": lambda: b"",
    "text": lambda: b"this is no picture at all, whatever its name says",
    "cut header": lambda: png(Image.fromarray(section()))[:28],
    "cut": lambda: png(Image.fromarray(section()))[:1000],
    "damaged text": lambda: png(Image.fromarray(section()), pnginfo=info()).replace(b"Comment", b"comment", 1),
    "damaged text behind": lambda: GREY["metadata"]()[:-100] + GREY["metadata"]()[-99:],
    "cut behind the pixels": lambda: GREY["metadata"]()[:-100],
    "profile": lambda: png(Image.fromarray(section()), icc_profile=b"no profile"),
}


@pytest.mark.parametrize("kind", OTHERS)
def test_every_other_file_is_left_to_pillow(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(OTHERS[kind]())
    assert read_grey_png(path) is None


def test_other_names_and_missing_files_are_left_to_pillow(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(GREY["plain"]())
    assert read_grey_png(path) is None
    assert read_grey_png(tmp_path / "gone.png") is None


def test_no_damage_passes_that_pillow_would_refuse(tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    whole = GREY["metadata"]()
    path, outcomes = tmp_path / "a.png", {"read": 0, "refused": 0}
    for trial in range(900):
        data = bytearray(whole)
        # Of the last bytes, which mark the end, nobody cares for the checksum.
        first = len(data) - 4 if trial % 3 == 0 else 0
        for at in random.integers(first, len(data), random.integers(1, 4)):
            data[at] ^= 1 << random.integers(0, 8)
        path.write_bytes(data[: random.integers(1, len(data))] if trial % 3 == 1 else data)
        if read_grey_png(path) is not None:
            np.testing.assert_array_equal(read_image(path, 16), pillow(path))
            outcomes["read"] += 1
        else:
            outcomes["refused"] += 1
    assert min(outcomes.values()) > 0


def test_damaged_pixels_with_a_right_checksum_are_refused_by_name(tmp_path: Path) -> None:
    def change(content: bytearray) -> None:
        content[len(content) // 2] ^= 255

    path = tmp_path / "a.png"
    path.write_bytes(patched(GREY["plain"](), b"IDAT", change))
    with pytest.raises(ImageError, match=r"a\.png: this file cannot be read"):
        read_image(path)


def test_depth_that_is_missing_is_asked_for_by_the_name_of_its_option(tmp_path: Path) -> None:
    Image.fromarray(np.full((4, 4), 4095, np.uint16)).save(tmp_path / "a.png")
    with pytest.raises(ImageError, match=r"a\.png: its grey levels have more than 8 bits .* depth \(--bits\)"):
        read_image(tmp_path / "a.png")


def test_other_threads_run_while_a_picture_is_decoded(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(png(Image.fromarray(section((3072, 3072))), compress_level=1))
    running, done = Event(), Event()

    def decode() -> None:
        running.set()
        assert read_grey_png(path) is not None
        done.set()

    thread = Thread(target=decode)
    thread.start()
    running.wait()
    turns = 0
    # A thread that kept the lock would let this one wait once.
    while not done.wait(0.001):
        turns += 1
    thread.join()
    assert turns > 10
