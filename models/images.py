"""Sets of grey images and their target masks: the built-in sections, or a folder of files."""

from __future__ import annotations

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from models.files import ImageError, read_folder, read_masks
from models.synthetic import DIGESTS, SIZE, SPLITS, section, sections_digest
from models.unet import SizeError, check_size

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["MEAN", "STD", "ImageError", "ImageSet", "builtin", "from_folder", "normalise"]

MEAN = 0.5
"""Grey level, as a part of full scale, that networks see as 0."""

STD = 0.2
"""Grey-level difference, as a part of full scale, that networks see as 1."""

_NAMES_SHOWN = 5
_THREADS = 16


@dataclass(frozen=True, slots=True)
class ImageSet:
    """Equally large grey images, uint8 [N, H, W], and where given their target masks, bool [N, H, W]."""

    names: tuple[str, ...]
    images: NDArray[np.uint8]
    masks: NDArray[np.bool_] | None
    origin: str
    bits: int | None = None
    """Depth taken for those of its files that hold more than 8 bits, where there are any."""

    @property
    def digest(self) -> str:
        """SHA-256 (hex) over shapes, image bytes and mask bytes; neither names nor order count."""
        parts = []
        for index, image in enumerate(self.images):
            part = hashlib.sha256(repr(image.shape).encode())
            part.update(np.ascontiguousarray(image).tobytes())
            if self.masks is not None:
                part.update(b"mask" + np.ascontiguousarray(self.masks[index]).tobytes())
            parts.append(part.digest())
        return hashlib.sha256(b"".join(sorted(parts))).hexdigest()


def builtin(split: str, size: tuple[int, int] = SIZE, count: int | None = None) -> ImageSet:
    """Return the first `count` sections of a split (all by default); a whole split is checked against its digest."""
    if split not in SPLITS:
        msg = f"no built-in split {split!r}: there are {', '.join(SPLITS)}"
        raise ImageError(msg)
    _check_multiple(size, "built-in images")
    available = len(SPLITS[split])
    if count is not None and not 1 <= count <= available:
        msg = f"the built-in split {split!r} has {available} images: ask for 1 to {available}, not {count}"
        raise ImageError(msg)
    indices = SPLITS[split][:count]
    # NumPy lets go of the interpreter lock, so threads share the drawing.
    with ThreadPoolExecutor(min(_THREADS, os.cpu_count() or 1)) as pool:
        sections = list(pool.map(lambda index: section(index, size), indices))
    if size == SIZE and len(indices) == available and sections_digest(sections) != DIGESTS[split]:
        msg = f"the built-in split {split!r} came out unlike its stored digest: please report this machine"
        raise ImageError(msg)
    images, masks = (np.stack(part) for part in zip(*sections, strict=True))
    return ImageSet(tuple(f"{split}-{index:04d}" for index in indices), images, masks, f"built-in {split}")


def from_folder(images: Path, masks: Path | None = None, size: tuple[int, int] | None = None) -> ImageSet:
    """Return the PNG, JPEG and TIFF images of a folder, sorted by name, with the masks that another holds by file stem.

    Colour becomes grey, deep grey becomes 8-bit (see `models.files.read_folder`), non-zero mask pixels are the target
    (in JPEG, which blurs edges, those of at least half of full scale). Each page of a multi-page TIFF is an image named
    `stem#page`. Raises `ImageError`, one sentence that names the culprit, on anything that does not fit.
    """
    pages, bits = read_folder(images)
    _check_sizes(pages, images, size)
    targets = None
    if masks is not None:
        found = read_masks(masks)
        _check_pairs(pages, found, images, masks)
        targets = np.stack([found[key] for key in pages])
        if not targets.any():
            msg = f"{masks}: no mask marks a single pixel: the target is what is not 0, in JPEG at least half of 255"
            raise ImageError(msg)
    counts: dict[str, int] = {}
    for stem, _ in pages:
        counts[stem] = counts.get(stem, 0) + 1
    names = tuple(stem if counts[stem] == 1 else f"{stem}#{page}" for stem, page in pages)
    return ImageSet(names, np.stack(list(pages.values())), targets, str(images), bits)


def normalise(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return grey images, uint8 [N, H, W], as network input (x / 255 - MEAN) / STD, float32 [N, 1, H, W]."""
    scaled = images[:, None].astype(np.float32) / np.float32(255)
    return np.asarray((scaled - np.float32(MEAN)) / np.float32(STD), dtype=np.float32)


def _check_multiple(size: tuple[int, int], name: str) -> None:
    """Raise `ImageError` when the network cannot take the size."""
    try:
        check_size(*size)
    except SizeError as error:
        msg = f"{name}: {error}"
        raise ImageError(msg) from error


def _check_sizes(pages: dict[tuple[str, int], NDArray[np.uint8]], folder: Path, size: tuple[int, int] | None) -> None:
    """Raise `ImageError` unless all images have one size, the wanted one, that the network can take."""
    first = next(iter(pages))
    for key, page in pages.items():
        name = f"{folder}: image {key[0]!r}" + (f" page {key[1]}" if key[1] else "")
        if size is not None and page.shape != size:
            msg = f"{name} is {_text(page.shape)} pixels, not the {_text(size)} asked for: crop or resize it"
            raise ImageError(msg)
        if page.shape != pages[first].shape:
            other = f"{first[0]!r} is {_text(pages[first].shape)}"
            msg = f"{name} is {_text(page.shape)} pixels but {other}: make all images one size"
            raise ImageError(msg)
        _check_multiple((page.shape[0], page.shape[1]), name)


def _check_pairs(
    pages: dict[tuple[str, int], NDArray[np.uint8]],
    masks: dict[tuple[str, int], NDArray[np.bool_]],
    image_folder: Path,
    mask_folder: Path,
) -> None:
    """Raise `ImageError` unless every image has a mask of its size, and every mask an image."""
    stems, mask_stems = {stem for stem, _ in pages}, {stem for stem, _ in masks}
    if stems != mask_stems:
        lacks = [
            f"{what} {_few(names)}"
            for what, names in (
                (f"no mask in {mask_folder} for", stems - mask_stems),
                (f"no image in {image_folder} for", mask_stems - stems),
            )
            if names
        ]
        msg = f"images and masks pair by file name without suffix, but there is {' and '.join(lacks)}"
        raise ImageError(msg)
    for stem in sorted(stems):
        count, mask_count = (sum(key[0] == stem for key in group) for group in (pages, masks))
        if count != mask_count:
            msg = f"{mask_folder}: mask {stem!r} has {mask_count} page(s) but its image has {count}: make them equal"
            raise ImageError(msg)
    for key, page in pages.items():
        if masks[key].shape != page.shape:
            sizes = f"{_text(masks[key].shape)} pixels but its image {_text(page.shape)}"
            msg = f"{mask_folder}: mask {key[0]!r} is {sizes}: make them equal"
            raise ImageError(msg)


def _few(names: set[str]) -> str:
    """Return a handful of names for a message."""
    shown = ", ".join(repr(name) for name in sorted(names)[:_NAMES_SHOWN])
    return shown if len(names) <= _NAMES_SHOWN else f"{shown} and {len(names) - _NAMES_SHOWN} more"


def _text(shape: tuple[int, ...]) -> str:
    """Return height and width as people write them."""
    return "x".join(str(extent) for extent in shape)
