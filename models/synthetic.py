"""Membrane sections drawn by a deterministic generator: image N is the same bytes for ever, on every machine."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from models.fields import Bits, blur, fold, ramp
from models.tissue import grow

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from models.fields import Field
    from models.tissue import Tissue

SIZE = (512, 512)
"""Height and width in pixels at which the digests below hold."""

SPLITS = {"train": range(80), "calibration": range(1000, 1016), "held-out": range(2000, 2016)}
"""Section indices of each split; only ever append, so that stored results stay comparable."""

DIGESTS = {
    "train": "aaf86aa7bdc43833b05ab3007721ab07623f2031bf22b645c8f124dd202dc8b4",
    "calibration": "1ce469b04df1123d0b9709a0f7cd1f2dba3de08a019f5192f3fc2d2e678fbac1",
    "held-out": "3609d6cf5c7705a820263ef8a00b61a16a0473e5d290aa49f32b7b0e5135a704",
}
"""`sections_digest` of each whole split at `SIZE`."""


class _Vesicle(NamedTuple):
    """A kind of round body: how many are tried per square pixel, radii, half width of its skin (0: solid), darkness."""

    density: float
    low: float
    high: float
    ring: float
    depth: float
    crowded: bool


_VESICLES = (
    _Vesicle(0.0035, 2.5, 5.0, 1.8, 0.22, crowded=True),
    _Vesicle(0.00010, 6.0, 12.0, 2.6, 0.28, crowded=False),
    _Vesicle(0.00010, 3.0, 9.0, 0.0, 0.30, crowded=False),
)
_CROWD = 0.05
_MITOCHONDRIA_SHARE = 0.33
_MITOCHONDRIA_CELL_RADIUS = 17.0


def section(index: int, size: tuple[int, int] = SIZE) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Return section `index` as a grey image, uint8 [H, W], and its membrane mask, bool [H, W]."""
    bits = Bits(index)
    tissue = grow(bits, size)
    bulge = ramp(bits.field(size, 70.0), 0.45, 0.95)
    half_width = 2.9 + 0.7 * bits.field(size, 36.0) + 0.5 * bits.field(size, 9.0) + 5.0 * bulge
    half_width = np.maximum(half_width, 1.6)
    grey = _cytoplasm(bits, size, tissue)
    _mitochondria(bits, grey, tissue)
    _vesicles(bits, grey, tissue)
    grey = _membranes(bits, grey, tissue, half_width, bulge)
    return _expose(bits, grey), tissue.edge < half_width


def sections_digest(sections: Iterable[tuple[NDArray[np.uint8], NDArray[np.bool_]]]) -> str:
    """Return the SHA-256 (hex) over the bytes of every image and mask, in order."""
    total = hashlib.sha256()
    for image, mask in sections:
        total.update(np.ascontiguousarray(image, dtype=np.uint8).tobytes())
        total.update(np.ascontiguousarray(mask, dtype=np.uint8).tobytes())
    return total.hexdigest()


def _cytoplasm(bits: Bits, size: tuple[int, int], tissue: Tissue) -> Field:
    """Return the grey of the cells' inside, about 0.66, with false membranes: thin curved sheets that are no target."""
    tone = bits.uniform(len(tissue.seeds)) * 0.12 - 0.06
    grain = 0.5 + 0.5 * ramp(bits.field(size, 60.0), -0.5, 0.5)
    texture = 0.07 * bits.field(size, 7.0) + 0.1 * bits.field(size, 3.5)
    sheet = 1.0 - ramp(np.abs(bits.field(size, 34.0)), 0.02, 0.085)
    sheet *= ramp(bits.field(size, 60.0), 0.25, 0.45) * ramp(tissue.edge, 5.0, 9.0)
    return 0.66 + tone[tissue.owner] + grain * texture - 0.26 * sheet


def _mitochondria(bits: Bits, grey: Field, tissue: Tissue) -> None:
    """Draw dark ellipses with a membrane of their own and folds inside into some of the larger cells."""
    ripple = bits.field((grey.shape[0], grey.shape[1]), 9.0)
    for cell in np.flatnonzero(tissue.seeds[:, 2] > _MITOCHONDRIA_CELL_RADIUS):
        chance, lean, long, short, up, right, dark = bits.uniform(7)
        here = np.nonzero(tissue.owner == cell) if chance < _MITOCHONDRIA_SHARE else ()
        if not here or not len(here[0]):
            continue
        radius = tissue.seeds[cell, 2]
        lean = 2.0 * lean - 1.0
        cosine, sine = (1.0 - lean * lean) / (1.0 + lean * lean), 2.0 * lean / (1.0 + lean * lean)
        down = tissue.y[here] - tissue.seeds[cell, 0] - (up - 0.5) * 0.6 * radius
        across = tissue.x[here] - tissue.seeds[cell, 1] - (right - 0.5) * 0.6 * radius
        along, aside = cosine * down - sine * across, sine * down + cosine * across
        half = np.minimum(radius * (0.3 + 0.35 * short), 21.0)
        along, aside = along / (half * (1.1 + 0.7 * long)), aside / half
        away = (np.sqrt(along * along + aside * aside) - 1.0) * half + 2.0 * ripple[here]
        shown = ramp(tissue.edge[here], 3.0, 6.0)
        folds = 0.12 * fold(aside * half / 7.0 + 0.35 * ripple[here])
        inside = (1.0 - ramp(away, -1.0, 1.0)) * (0.16 + 0.1 * dark + folds - 0.06)
        skin = (1.0 - ramp(np.abs(away), 0.6, 2.8)) * 0.24
        grey[here] -= shown * np.maximum(inside, skin)


def _vesicles(bits: Bits, grey: Field, tissue: Tissue) -> None:
    """Draw clusters of small rings, a few larger ones and dark bodies inside the cells."""
    height, width = grey.shape
    crowd = bits.field((height, width), 50.0)
    for kind in _VESICLES:
        for place, across, size, dark in bits.uniform(int(height * width * kind.density), 4):
            row, column = int(place * height), int(across * width)
            radius = kind.low + (kind.high - kind.low) * size
            if tissue.edge[row, column] < radius + 1.0 or (kind.crowded and crowd[row, column] < _CROWD):
                continue
            reach = int(radius + 4.0)
            rows = np.arange(max(row - reach, 0), min(row + reach + 1, height))
            columns = np.arange(max(column - reach, 0), min(column + reach + 1, width))
            down, aside = (rows - row).astype(np.float64)[:, None], (columns - column).astype(np.float64)[None, :]
            away = np.sqrt(down * down + aside * aside) - radius
            clear = ramp(np.abs(away), 0.3, kind.ring) if kind.ring else ramp(away, -0.5 * radius, 2.5)
            darker = kind.depth * (0.6 + 0.6 * dark) * (1.0 - clear)
            grey[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] -= darker


def _membranes(bits: Bits, grey: Field, tissue: Tissue, half_width: Field, bulge: Field) -> Field:
    """Return the picture with the membranes drawn in: dark lines, faint in places, smeared where they bulge."""
    size = (grey.shape[0], grey.shape[1])
    faint = ramp(bits.field(size, 45.0), 0.1, 0.75)
    depth = (0.34 + 0.08 * bits.field(size, 14.0)) * (1.0 - 0.82 * faint) * (1.0 - 0.35 * bulge)
    return grey - depth * (1.0 - ramp(tissue.edge / half_width, 0.35, 1.15))


def _expose(bits: Bits, grey: Field) -> NDArray[np.uint8]:
    """Return the picture as the camera gives it: uneven light and focus, noise, 8 bits, uint8 [H, W]."""
    size = (grey.shape[0], grey.shape[1])
    soft = blur(grey, (0.4, 0.24, 0.06))
    softer = blur(soft, (0.28, 0.22, 0.14))
    focus = ramp(bits.field(size, 150.0), 0.0, 0.8)
    grey = soft + (softer - soft) * focus
    contrast, shift = bits.between(0.85, 1.15), bits.between(-0.06, 0.06)
    light = 1.0 + 0.12 * bits.field(size, 260.0)
    grey = (0.56 + shift + (grey - 0.56) * contrast) * light + 0.06 * bits.field(size, 180.0)
    noise = bits.between(0.085, 0.12) * blur(bits.bell(*size), (0.7, 0.15))
    return np.minimum(np.maximum((grey + noise) * 255.0 + 0.5, 0.0), 255.0).astype(np.uint8)
