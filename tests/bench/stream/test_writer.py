"""Masks are written whole or not at all, into a folder that holds one engine's masks alone."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from bench.outputs import unwritable
from bench.stream.writer import FolderError, MaskFolder, MaskWriter

if TYPE_CHECKING:
    from pathlib import Path


def test_folder_that_cannot_be_written_is_told_before_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert unwritable(tmp_path / "figures.json") is None
    monkeypatch.setattr(os, "access", lambda path, mode: (path, mode) != (tmp_path, os.W_OK))
    assert unwritable(tmp_path / "figures.json") == f"the folder {tmp_path} cannot be written"


def test_run_without_a_mask_does_not_keep_another_network_out_of_its_folder(tmp_path: Path) -> None:
    MaskFolder(tmp_path, {"network": "of NaN"})
    mended = MaskFolder(tmp_path, {"network": "mended"})
    Image.new("L", (16, 16)).save(mended.mask_of("a.tif"))
    MaskFolder(tmp_path, {"network": "mended"})
    with pytest.raises(FolderError, match="were made by another network"):
        MaskFolder(tmp_path, {"network": "of NaN"})


def test_write_that_fails_ends_the_stream_and_leaves_no_half_mask(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = MaskFolder(tmp_path, {"case": "a"})

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
    writer = MaskWriter(MaskFolder(tmp_path, {"case": "a"}), (16, 16), 2, 2)
    with writer:
        writer(0, f"{'y' * 251}.tif", np.ones((16, 16), np.uint8))
    assert np.asarray(Image.open(tmp_path / f"{'y' * 251}.png")).all()


def test_more_than_two_classes_keep_their_numbers(tmp_path: Path) -> None:
    folder = MaskFolder(tmp_path, {"case": "a"})
    mask = np.arange(256, dtype=np.uint8).reshape(16, 16) % 5
    writer = MaskWriter(folder, (16, 16), 5, 1)
    with writer:
        writer(0, "a.tif", mask)
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "a.png")), mask)
