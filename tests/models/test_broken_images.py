"""Each kind of broken image folder gets one sentence that names the culprit."""

from __future__ import annotations

import os
from threading import Thread
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from models.files import read_image
from models.images import ImageError, from_folder

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def _image(path: Path, size: tuple[int, int] = (32, 48), pages: int = 1) -> Path:
    path.parent.mkdir(exist_ok=True)
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, size, dtype=np.uint8))
    if pages > 1:
        picture.save(path, save_all=True, append_images=[picture] * (pages - 1))
    else:
        picture.save(path)
    return path


def _cut(path: Path, keep: float) -> None:
    _image(path)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * keep)])


def _float_tiff(path: Path) -> None:
    Image.fromarray(np.zeros((16, 16), dtype=np.float32)).save(path)


def _lab_tiff(path: Path) -> None:
    Image.frombytes("LAB", (16, 16), bytes(16 * 16 * 3)).save(path)


CASES: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing folder": (lambda d: d.rename(d.with_name("elsewhere")), r"i: there is no such folder"),
    "no folder": (lambda d: (d.rename(d.with_name("elsewhere")), d.write_text("x")), r"i: this is no folder"),
    "empty folder": (lambda d: (d / "notes.txt").write_text("x"), r"i: the folder holds no PNG, JPEG or TIFF"),
    "empty file": (lambda d: (d / "a.png").write_bytes(b""), r"a\.png: this file cannot be read"),
    "text as PNG": (lambda d: (d / "a.png").write_text("no image"), r"a\.png: this file cannot be read"),
    "truncated PNG": (lambda d: _cut(d / "a.png", 0.5), r"a\.png: this file cannot be read"),
    "truncated JPEG": (lambda d: _cut(d / "a.jpg", 0.5), r"a\.jpg: this file cannot be read"),
    "truncated TIFF": (lambda d: _cut(d / "a.tif", 0.5), r"a\.tif: this file cannot be read"),
    "dangling link": (lambda d: (d / "a.png").symlink_to(d / "gone"), r"a\.png: this file cannot be read"),
    "float TIFF": (lambda d: _float_tiff(d / "a.tif"), r"a\.tif: floating-point grey"),
    "CIELAB TIFF": (lambda d: _lab_tiff(d / "a.tif"), r"a\.tif: colours stored as LAB cannot be made grey here"),
    "same stem": (lambda d: (_image(d / "a.png"), _image(d / "a.tif")), r"i: a\.png and a\.tif differ in their suffix"),
    "unequal sizes": (
        lambda d: (_image(d / "a.png"), _image(d / "b.png", (48, 32))),
        r"image 'b' is 48x32 pixels but 'a' is 32x48: make all images one size",
    ),
    "no multiple of 16": (lambda d: _image(d / "a.png", (32, 50)), r"image 'a': .* multiples of 16: got 32x50"),
    "stack of another size": (
        lambda d: (_image(d / "a.png"), _image(d / "b.tif", (16, 16), pages=2)),
        r"image 'b' is 16x16 pixels but 'a' is 32x48",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_broken_folder_is_refused_with_one_sentence_that_names_it(tmp_path: Path, name: str) -> None:
    make, text = CASES[name]
    folder = tmp_path / "i"
    folder.mkdir()
    make(folder)
    with pytest.raises(ImageError, match=text) as caught:
        from_folder(folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_pipe_that_nobody_writes_to_is_no_image_and_is_not_waited_for(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / name)
    told: list[str] = []

    def read() -> None:
        for reader, path in ((from_folder, tmp_path), (read_image, tmp_path / name)):
            with pytest.raises(ImageError) as caught:
                reader(path)
            told.append(str(caught.value))

    reading = Thread(target=read, daemon=True)
    reading.start()
    reading.join(timeout=20)
    reason = "cannot be read as PNG, JPEG or TIFF (it is a pipe, a socket or a device); remove it or save it again"
    assert told == [f"{tmp_path / name}: this file {reason}"] * 2


def test_size_other_than_the_one_asked_for_is_refused(tmp_path: Path) -> None:
    _image(tmp_path / "i" / "a.png")
    assert from_folder(tmp_path / "i", size=(32, 48)).images.shape == (1, 32, 48)
    with pytest.raises(ImageError, match="image 'a' is 32x48 pixels, not the 64x64 asked for"):
        from_folder(tmp_path / "i", size=(64, 64))


def _pair(folder: Path, images: dict[str, int], masks: dict[str, int], mask_size: tuple[int, int] = (32, 48)) -> None:
    for name, pages in images.items():
        _image(folder / "i" / f"{name}.tif", pages=pages)
    for name, pages in masks.items():
        _image(folder / "m" / f"{name}.tif", mask_size, pages)


def test_unpaired_names_are_listed_in_both_directions_but_only_a_handful(tmp_path: Path) -> None:
    _pair(tmp_path, dict.fromkeys("abcdefgh", 1), dict.fromkeys("axy", 1))
    with pytest.raises(ImageError) as caught:
        from_folder(tmp_path / "i", tmp_path / "m")
    assert "m for 'b', 'c', 'd', 'e', 'f' and 2 more and no image in" in str(caught.value)
    assert str(caught.value).endswith("i for 'x', 'y'")


def test_unequal_page_counts_are_refused(tmp_path: Path) -> None:
    _pair(tmp_path, {"a": 3}, {"a": 2})
    with pytest.raises(ImageError, match=r"mask 'a' has 2 page\(s\) but its image has 3"):
        from_folder(tmp_path / "i", tmp_path / "m")


def test_mask_of_another_size_than_its_image_is_refused(tmp_path: Path) -> None:
    _pair(tmp_path, {"a": 1}, {"a": 1}, (48, 32))
    with pytest.raises(ImageError, match="mask 'a' is 48x32 pixels but its image 32x48: make them equal"):
        from_folder(tmp_path / "i", tmp_path / "m")


@pytest.mark.parametrize("cut", range(0, 100, 7))
@pytest.mark.parametrize("suffix", ["png", "jpg", "tif"])
def test_file_cut_anywhere_is_refused_or_read_but_never_crashes(tmp_path: Path, suffix: str, cut: int) -> None:
    _cut(tmp_path / f"a.{suffix}", cut / 100)
    with pytest.raises(ImageError, match=rf"a\.{suffix}: this file cannot be read"):
        from_folder(tmp_path)


def test_damaged_bytes_give_an_image_or_an_image_error_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    _image(path, (16, 16), pages=2)
    whole = path.read_bytes()
    random = np.random.default_rng(1)
    outcomes = set()
    for _ in range(200):
        damaged = bytearray(whole)
        for place in random.integers(0, len(whole), 6):
            damaged[place] = random.integers(0, 256)
        path.write_bytes(bytes(damaged))
        try:
            from_folder(tmp_path)
            outcomes.add("image")
        except ImageError:
            outcomes.add("error")
    assert outcomes == {"image", "error"}
