"""Image files read from a folder: PNG, JPEG and TIFF, as grey images or as masks."""

from __future__ import annotations

import warnings
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from models.grey_png import read_grey_png

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    Pages = dict[tuple[str, int], NDArray[Any]]
    """Arrays [H, W] or [H, W, channels] by file stem and page, in the order of both."""

FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".tif": "TIFF", ".tiff": "TIFF"}
"""What a file is by its ending; others are no images."""
_HALF = 128
_DEEP_MODES = ("I", "I;16", "I;16B", "I;16L", "I;16N")
_SENSOR_BITS = (8, 10, 12, 14, 16)


class ImageError(ValueError):
    """Images that cannot be used; the text names the file or folder and what to do."""


def read_folder(folder: Path) -> tuple[dict[tuple[str, int], NDArray[np.uint8]], int | None]:
    """Return the grey images of a folder, uint8 [H, W], by file stem and page, and the depth in bits of its deep grey.

    Colour becomes luma (ITU-R 601, as Pillow converts). Grey of 16 bits is divided so that the full scale of the sensor
    becomes 255, taking as its depth the least of 8, 10, 12, 14 and 16 bits that holds every value in the folder:
    microscopes often store 12 bits in 16, and one scale for all keeps the images comparable. The depth is None where no
    image is deep.
    """
    pages: Pages = {}
    for path in image_files(folder):
        for page, picture in enumerate(_open(path)):
            pages[path.stem, page] = _grey(path, picture)
    deep = {key: values for key, values in pages.items() if values.dtype != np.uint8}
    if not deep:
        return pages, None
    highest = max(int(values.max()) for values in deep.values())
    depth = next(bits for bits in _SENSOR_BITS if highest < 2**bits)
    return pages | {key: _to_8_bits(values, depth) for key, values in deep.items()}, depth


def read_masks(folder: Path) -> dict[tuple[str, int], NDArray[np.bool_]]:
    """Return the masks of a folder, bool [H, W], by file stem and page: not zero, or in JPEG at least half of 255."""
    pages: dict[tuple[str, int], NDArray[np.bool_]] = {}
    for path in image_files(folder):
        blurred = FORMATS[path.suffix.lower()] == "JPEG"
        for page, picture in enumerate(_open(path)):
            # Palette files keep their meaning in the colours: writers reorder the indices.
            colours = picture.convert("RGB") if picture.mode in ("P", "PA", "RGBA", "CMYK", "YCbCr") else picture
            values = np.asarray(colours.convert("L") if picture.mode == "LA" else colours)
            marked = np.asarray(values >= _HALF if blurred else values != 0)
            pages[path.stem, page] = marked if marked.shape == marked.shape[:2] else np.any(marked, axis=2)
    return pages


def image_files(folder: Path) -> list[Path]:
    """Return the image files of a folder sorted by name; hidden and other files are left out."""
    if not folder.exists():
        msg = f"{folder}: there is no such folder; give one that holds PNG, JPEG or TIFF files"
        raise ImageError(msg)
    if not folder.is_dir():
        msg = f"{folder}: this is no folder; give the folder that holds the images"
        raise ImageError(msg)
    try:
        entries = sorted(folder.iterdir(), key=lambda path: (path.stem, path.suffix))
    except OSError as error:
        msg = f"{folder}: the folder cannot be read ({error.strerror}); check its permissions"
        raise ImageError(msg) from error
    paths = [path for path in entries if path.suffix.lower() in FORMATS and path.name[0] != "." and not path.is_dir()]
    if not paths:
        msg = f"{folder}: the folder holds no PNG, JPEG or TIFF file; give the folder that holds the images"
        raise ImageError(msg)
    for path, following in pairwise(paths):
        if path.stem == following.stem:
            msg = f"{folder}: {path.name} and {following.name} differ in their suffix only; remove or rename one"
            raise ImageError(msg)
    return paths


def read_image(path: Path, bits: int | None = None) -> NDArray[np.uint8]:
    """Return the only page of a file as grey, uint8 [H, W], from any thread; `ImageError` when it cannot be read.

    Alone, an image with more than 8 bits does not tell its full scale, which `read_folder` takes from all of them:
    `bits` gives it.
    """
    values = read_grey_png(path)
    if values is None:
        values = _grey(path, _only_page(path))
    if values.dtype == np.uint8:
        return values
    if bits is None or int(values.max()) >= 2**bits:
        given = f"exceed the {bits} bits given" if bits else "have more than 8 bits and no known full scale"
        msg = f"{path}: its grey levels {given}; give the sensor's depth (--bits), or save it with 8 bits"
        raise ImageError(msg)
    return _to_8_bits(values, bits)


def _to_8_bits(values: NDArray[Any], bits: int) -> NDArray[np.uint8]:
    """Return grey levels of a depth, [H, W], as uint8: full scale becomes 255."""
    full = 2**bits - 1
    return np.asarray((values.astype(np.int64) * 255 + full // 2) // full, np.uint8)


def _only_page(path: Path) -> Image.Image:
    """Return the decoded page of a file that has one; `ImageError` when it has more."""
    pages = _decoded(path)
    if len(pages) != 1:
        msg = f"{path}: this file holds {len(pages)} pages, and one by one files are read as single images: split it"
        raise ImageError(msg)
    return pages[0]


def _open(path: Path) -> list[Image.Image]:
    """Return the decoded pages of a file without Pillow's warnings."""
    with warnings.catch_warnings():
        # Pillow warns of odd metadata, which microscopes write a lot of; damaged pixels raise.
        warnings.simplefilter("ignore")
        return _decoded(path)


def _decoded(path: Path) -> list[Image.Image]:
    try:
        pages = []
        if path.exists() and not path.is_file():  # whose reader may wait for ever
            msg = "it is a pipe, a socket or a device"
            raise OSError(msg)
        with Image.open(path, formats=("PNG", "JPEG", "TIFF")) as picture:
            for page in range(getattr(picture, "n_frames", 1)):
                picture.seek(page)
                pages.append(picture.copy())
    except Exception as error:  # damaged files make the decoders raise nearly anything
        reason = " ".join(str(error).split()) or type(error).__name__
        msg = f"{path}: this file cannot be read as PNG, JPEG or TIFF ({reason}); remove it or save it again"
        raise ImageError(msg) from error
    return pages


def _grey(path: Path, picture: Image.Image) -> NDArray[Any]:
    """Return a page as grey, uint8 [H, W], or uint16 [H, W] when it is stored with more than 8 bits."""
    if picture.mode not in _DEEP_MODES:
        if picture.mode == "F":
            msg = f"{path}: floating-point grey has no known scale; save it with 8 or 16 bits"
            raise ImageError(msg)
        # What is grey already is not copied: threads that stream files wait for each other while one of them copies.
        try:
            return np.asarray(picture if picture.mode == "L" else picture.convert("L"))
        except ValueError as error:
            msg = f"{path}: colours stored as {picture.mode} cannot be made grey here; save it as grey or RGB"
            raise ImageError(msg) from error
    values = np.asarray(picture)
    if int(values.min()) < 0 or int(values.max()) >= 2**16:
        msg = f"{path}: its grey levels do not fit into 16 bits; save it with 8 or 16 bits"
        raise ImageError(msg)
    return values.astype(np.uint16)
