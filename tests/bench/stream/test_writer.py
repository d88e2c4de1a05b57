"""Masks are written whole or not at all, into a folder that holds one engine's masks alone."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.outputs import unwritable
from bench.stream.writer import RECORD, FolderError, MaskFolder, MaskWriter


def test_folder_that_cannot_be_written_is_told_before_the_work(tmp_path: Path) -> None:
    assert unwritable(tmp_path / "figures.json") is None
    assert list(tmp_path.iterdir()) == []
    # Even root, whom permissions do not stop, can make no file there.
    assert unwritable(Path("/proc/figures.json")) == "the folder /proc cannot be written"


def test_run_without_a_mask_does_not_keep_another_network_out_of_its_folder(tmp_path: Path) -> None:
    MaskFolder(tmp_path, {"network": "of NaN"}, ()).begin()
    mended = MaskFolder(tmp_path, {"network": "mended"}, ())
    mended.begin()
    Image.new("L", (16, 16)).save(mended.mask_of("a.tif"))
    MaskFolder(tmp_path, {"network": "mended"}, ())
    with pytest.raises(FolderError, match="were made by another network"):
        MaskFolder(tmp_path, {"network": "of NaN"}, ())


@pytest.mark.parametrize("damage", ["{", "[]", '{"network": "same", "files": []}'])
def test_damaged_record_is_of_no_network(tmp_path: Path, damage: str) -> None:
    folder = MaskFolder(tmp_path, {"network": "same"}, ())
    Image.new("L", (16, 16)).save(folder.mask_of("a.tif"))
    (tmp_path / RECORD).write_text(damage)
    with pytest.raises(FolderError, match="were made by another network"):
        MaskFolder(tmp_path, {"network": "same"}, ())


def test_every_way_to_replace_a_file_is_noticed(tmp_path: Path) -> None:
    """An archive gives all files one time, and raw pixels one size: what is left is when they came there."""
    images = [tmp_path / name for name in ("kept.tif", "written.tif", "moved.tif", "renamed.png", "gone.tif")]
    out, other = tmp_path / "out", tmp_path / "other.tif"
    out.mkdir()
    for path in (*images, other):
        path.write_bytes(b"pixels")
        os.utime(path, (1e9, 1e9))
    first = MaskFolder(out, {"network": "same"}, images)
    assert first.left == images
    first.begin()
    for path in images:
        Image.new("L", (16, 16)).save(first.mask_of(path.name))
    assert MaskFolder(out, {"network": "same"}, images).left == []
    images[1].write_bytes(b"others")
    os.utime(images[1], (1e9, 1e9))
    other.replace(images[2])
    images[3] = images[3].rename(tmp_path / "renamed.tif")
    images[4].unlink()
    again = MaskFolder(out, {"network": "same"}, images)
    assert again.left == again.outdated == images[1:4]
    again.begin()
    assert sorted(path.name for path in out.glob("*.png")) == ["gone.png", "kept.png"]
    once_more = MaskFolder(out, {"network": "same"}, images)
    assert (once_more.left, once_more.outdated) == (images[1:4], [])


def test_write_that_fails_ends_the_stream_and_leaves_no_half_mask(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = MaskFolder(tmp_path, {"case": "a"}, ())
    folder.begin()

    def full(image: Image.Image, path: Path, **options: object) -> None:
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    writer = MaskWriter(folder, (16, 16), 2, 1)

    def write_many() -> None:
        with writer:
            for index in range(50):
                writer(index, f"{index}.png", np.zeros((16, 16), np.uint8))

    with pytest.raises(FolderError, match=r"0\.png: it cannot be written \(No space left on device\)"):
        write_many()
    assert [path.name for path in folder.mask_of("x").parent.iterdir()] == ["stream.json"]


def test_image_with_the_longest_name_there_is_gets_a_mask(tmp_path: Path) -> None:
    writer = MaskWriter(MaskFolder(tmp_path, {"case": "a"}, ()), (16, 16), 2, 2)
    with writer:
        writer(0, f"{'y' * 251}.tif", np.ones((16, 16), np.uint8))
    assert np.asarray(Image.open(tmp_path / f"{'y' * 251}.png")).all()


def test_more_than_two_classes_keep_their_numbers(tmp_path: Path) -> None:
    folder = MaskFolder(tmp_path, {"case": "a"}, ())
    mask = np.arange(256, dtype=np.uint8).reshape(16, 16) % 5
    writer = MaskWriter(folder, (16, 16), 5, 1)
    with writer:
        writer(0, "a.tif", mask)
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "a.png")), mask)
