"""Image folders are read whole and in order, or refused with one sentence that names the culprit."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from models.images import MEAN, STD, ImageError, ImageSet, builtin, from_folder, normalise
from models.synthetic import section

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


def _grey(seed: int, size: tuple[int, int] = (32, 48)) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, size, dtype=np.uint8)


def _save(array: NDArray[Any], path: Path, **options: Any) -> None:
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(array).save(path, **options)


def _save_pages(pages: list[NDArray[Any]], path: Path) -> None:
    path.parent.mkdir(exist_ok=True)
    first, *others = [Image.fromarray(page) for page in pages]
    first.save(path, save_all=True, append_images=others)


def test_built_in_images_are_the_generator_s_sections() -> None:
    data = builtin("calibration", (64, 96), count=2)
    assert data.names == ("calibration-1000", "calibration-1001")
    assert data.origin == "built-in calibration"
    assert data.masks is not None
    image, mask = section(1001, (64, 96))
    assert np.array_equal(data.images[1], image)
    assert np.array_equal(data.masks[1], mask)


def test_whole_split_whose_bytes_changed_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def other(_index: int, size: tuple[int, int]) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        return np.zeros(size, dtype=np.uint8), np.zeros(size, dtype=np.bool_)

    monkeypatch.setattr("models.images.section", other)
    with pytest.raises(ImageError, match="'held-out' came out unlike its stored digest"):
        builtin("held-out")


@pytest.mark.parametrize(
    ("split", "size", "count", "text"),
    [
        ("test", (64, 64), 1, "no built-in split 'test': there are train, calibration, held-out"),
        ("held-out", (64, 64), 17, "has 16 images: ask for 1 to 16, not 17"),
        ("held-out", (64, 64), 0, "ask for 1 to 16, not 0"),
        ("held-out", (100, 64), 1, "multiples of 16: got 100x64"),
    ],
)
def test_built_in_images_that_do_not_exist_are_refused(
    split: str, size: tuple[int, int], count: int, text: str
) -> None:
    with pytest.raises(ImageError, match=text):
        builtin(split, size, count)


def test_grey_files_come_back_byte_for_byte_and_sorted_by_name(tmp_path: Path) -> None:
    for name, seed in (("b.png", 1), ("a.tif", 2), ("c.TIFF", 3)):
        _save(_grey(seed), tmp_path / name)
    data = from_folder(tmp_path)
    assert data.names == ("a", "b", "c")
    assert data.masks is None
    assert data.origin == str(tmp_path)
    assert np.array_equal(data.images, np.stack([_grey(2), _grey(1), _grey(3)]))


def test_hidden_and_other_files_and_folders_are_ignored(tmp_path: Path) -> None:
    _save(_grey(1), tmp_path / "a.png")
    (tmp_path / ".hidden.png").write_bytes(b"")
    (tmp_path / "README.md").write_text("about")
    (tmp_path / "more.png").mkdir()
    assert from_folder(tmp_path).names == ("a",)


def test_colour_becomes_luma(tmp_path: Path) -> None:
    colour = np.zeros((16, 16, 3), dtype=np.uint8)
    colour[..., 0], colour[..., 1] = 200, 100
    _save(colour, tmp_path / "a.png")
    _save(np.dstack([colour, np.full((16, 16), 7, dtype=np.uint8)]), tmp_path / "b.png")
    assert np.unique(from_folder(tmp_path).images).tolist() == [round(0.299 * 200 + 0.587 * 100)]


@pytest.mark.parametrize("suffix", ["png", "tif"])
@pytest.mark.parametrize(("highest", "full"), [(4000, 4095), (60000, 65535), (200, 255)])
def test_deep_grey_is_scaled_by_one_sensor_depth_for_the_folder(
    tmp_path: Path, suffix: str, highest: int, full: int
) -> None:
    bright = np.full((16, 16), highest, dtype=np.uint16)
    _save(bright, tmp_path / f"a.{suffix}")
    _save(bright // 4, tmp_path / f"b.{suffix}")
    means = from_folder(tmp_path).images.mean(axis=(1, 2))
    assert means == pytest.approx([highest * 255 / full, highest // 4 * 255 / full], abs=0.51)


def test_jpeg_images_are_read_and_their_masks_cut_at_half(tmp_path: Path) -> None:
    mask = np.zeros((32, 32), dtype=np.uint8)
    mask[8:24, 8:24] = 255
    _save(mask, tmp_path / "images" / "a.jpg", quality=95)
    _save(mask, tmp_path / "masks" / "a.jpeg", quality=60)
    data = from_folder(tmp_path / "images", tmp_path / "masks")
    assert data.masks is not None
    assert np.abs(data.images[0].astype(int) - mask).max() < 40
    assert np.array_equal(data.masks[0], mask > 0)


@pytest.mark.parametrize("kind", ["grey", "bilevel", "colour", "palette", "deep", "float"])
def test_pixels_of_a_mask_that_are_not_zero_are_the_target(tmp_path: Path, kind: str) -> None:
    target = _grey(5) > 200
    _save(_grey(1), tmp_path / "images" / "a.png")
    grey = target.astype(np.uint8)
    array: NDArray[Any] = {
        "grey": grey,
        "bilevel": target,
        "colour": np.dstack([grey * 0, grey * 0, grey]),
        "palette": grey,
        "deep": target.astype(np.uint16),
        "float": target.astype(np.float32) / 2,
    }[kind]
    picture = Image.fromarray(array)
    if kind == "palette":
        picture = Image.fromarray(1 - grey).convert("P")
        picture.putpalette([0, 0, 9, 0, 0, 0])  # index 1 is black, as writers that sort palettes may have it
    (tmp_path / "masks").mkdir()
    picture.save(tmp_path / "masks" / ("a.tif" if kind == "float" else "a.png"))
    data = from_folder(tmp_path / "images", tmp_path / "masks")
    assert data.masks is not None
    assert np.array_equal(data.masks[0], target)


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_masks_without_a_single_target_pixel_are_refused(tmp_path: Path, suffix: str) -> None:
    _save(_grey(1), tmp_path / "images" / "a.png")
    # Ones, as some tools write the target, are next to nothing of a JPEG's full scale.
    _save(np.full((32, 48), int(suffix == "jpg"), np.uint8), tmp_path / "masks" / f"a.{suffix}")
    with pytest.raises(ImageError, match="masks: no mask marks a single pixel: the target is what is not 0, in JPEG"):
        from_folder(tmp_path / "images", tmp_path / "masks")


def test_each_page_of_a_tiff_is_an_image_paired_with_its_mask_page(tmp_path: Path) -> None:
    pages = [_grey(seed) for seed in range(11)]
    (tmp_path / "images").mkdir()
    _save_pages(pages, tmp_path / "images" / "stack.tif")
    _save_pages([(page > 99).astype(np.uint8) for page in pages], (tmp_path / "masks.d") / "stack.tiff")
    data = from_folder(tmp_path / "images", tmp_path / "masks.d")
    assert data.masks is not None
    assert data.names == tuple(f"stack#{page}" for page in range(11))
    assert np.array_equal(data.images, np.stack(pages))
    assert np.array_equal(data.masks, np.stack(pages) > 99)


def test_digest_tells_content_apart_but_neither_names_nor_order() -> None:
    images, masks = np.stack([_grey(1), _grey(2)]), np.stack([_grey(3), _grey(4)]) > 99
    data = ImageSet(("a", "b"), images, masks, "here")
    assert data.digest == ImageSet(("x", "y"), images[::-1], masks[::-1], "there").digest
    assert len(data.digest) == hashlib.sha256().digest_size * 2
    changed = images.copy()
    changed[0, 0, 0] ^= 1
    others = [
        ImageSet(data.names, changed, masks, "here"),
        ImageSet(data.names, images, masks[::-1], "here"),
        ImageSet(data.names, images, None, "here"),
        ImageSet(data.names, images.reshape(2, 48, 32), masks.reshape(2, 48, 32), "here"),
        ImageSet(data.names[:1], images[:1], masks[:1], "here"),
    ]
    assert len({data.digest, *(other.digest for other in others)}) == 6


def test_normalised_images_are_centred_and_scaled_with_a_channel() -> None:
    values = normalise(np.array([[[0, 51, 255]]], dtype=np.uint8))
    assert values.dtype == np.float32
    assert values.shape == (1, 1, 1, 3)
    assert values.ravel().tolist() == pytest.approx([-MEAN / STD, (0.2 - MEAN) / STD, (1 - MEAN) / STD])
