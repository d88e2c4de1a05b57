"""Where the cells of a section are: a Voronoi diagram of unequal circles in a warped plane."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from models.fields import slope

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from models.fields import Bits, Field

_CELL_RADII = ((62.0, 0.00004), (44.0, 0.0001), (30.0, 0.0003), (20.0, 0.0006), (14.0, 0.002))
"""Radii in pixels, largest first, and how many circles of each are tried per square pixel."""
_PACKING = 0.84
_TILE = 32


@dataclass(frozen=True, slots=True)
class Tissue:
    """The cells: seeds [cells, 3] as y, x, radius in the warped plane; per pixel its place there, cell and distance."""

    seeds: Field
    y: Field
    x: Field
    owner: NDArray[np.int64]
    edge: Field  # distance to the middle of the nearest membrane, in pixels


def grow(bits: Bits, size: tuple[int, int]) -> Tissue:
    """Return cells as a Voronoi diagram of unequal circles in a plane that is turned, stretched and warped by noise."""
    lean, stretch = bits.between(-1.0, 1.0), bits.between(1.0, 1.5)
    cosine, sine = (1.0 - lean * lean) / (1.0 + lean * lean), 2.0 * lean / (1.0 + lean * lean)
    rows = np.arange(size[0], dtype=np.float64)[:, None]
    columns = np.arange(size[1], dtype=np.float64)[None, :]
    y = rows + 16.0 * bits.field(size, 90.0) + 5.0 * bits.field(size, 30.0) + 1.5 * bits.field(size, 12.0)
    x = columns + 16.0 * bits.field(size, 90.0) + 5.0 * bits.field(size, 30.0) + 1.5 * bits.field(size, 12.0)
    y, x = cosine * y - sine * x, (sine * y + cosine * x) * stretch
    seeds = _throw(bits, y, x)
    owner = np.zeros(size, dtype=np.int64)
    edge = np.zeros(size)
    slopes = np.stack([slope(y, 0), slope(y, 1), slope(x, 0), slope(x, 1)])
    for top in range(0, size[0], _TILE):
        for left in range(0, size[1], _TILE):
            tile = (slice(top, top + _TILE), slice(left, left + _TILE))
            owner[tile], edge[tile] = _nearest(seeds, y[tile], x[tile], slopes[:, tile[0], tile[1]])
    return Tissue(seeds, y, x, owner, edge)


def _throw(bits: Bits, y: Field, x: Field) -> Field:
    """Return circles that hardly overlap, thrown at random, the large first: float64 [cells, 3] as y, x, radius."""
    margin = _CELL_RADII[0][0]
    low_y, low_x = float(y.min()) - margin, float(x.min()) - margin
    height, width = float(y.max()) + margin - low_y, float(x.max()) + margin - low_x
    kept = np.zeros((0, 3))
    for radius, density in _CELL_RADII:
        darts = bits.uniform(int(height * width * density) + 4, 3)
        darts = darts * np.array([height, width, radius * 0.35]) + np.array([low_y, low_x, radius * 0.8])
        free = np.ones(len(darts), dtype=np.bool_)
        for circle in kept:
            free &= _apart(darts, circle)
        darts = darts[free]
        while len(darts):
            kept = np.concatenate([kept, darts[:1]])
            darts = darts[1:][_apart(darts[1:], darts[0])]
    return kept


def _apart(darts: Field, circle: Field) -> NDArray[np.bool_]:
    """Return which darts lie outside a circle, bool [darts]."""
    down, across = darts[:, 0] - circle[0], darts[:, 1] - circle[1]
    reach = (darts[:, 2] + circle[2]) * _PACKING
    return np.asarray(down * down + across * across >= reach * reach)


def _nearest(seeds: Field, y: Field, x: Field, slopes: Field) -> tuple[NDArray[np.int64], Field]:
    """Return each pixel's cell and its distance in pixels to the border with the next one, both [h, w]."""
    down, across = seeds[:, 0] - y[0, 0], seeds[:, 1] - x[0, 0]
    to_corner = np.sqrt(down * down + across * across) - seeds[:, 2]
    down, across = y - y[0, 0], x - x[0, 0]
    reach = np.sqrt(down * down + across * across).max()
    near = np.flatnonzero(to_corner <= np.sort(to_corner)[1] + 2.0 * reach)
    down, across = y - seeds[near, 0, None, None], x - seeds[near, 1, None, None]
    length = np.maximum(np.sqrt(down * down + across * across), 1e-3)
    gap = length - seeds[near, 2, None, None]
    first = gap.argmin(axis=0)[None]
    nearest = np.take_along_axis(gap, first, axis=0)
    np.put_along_axis(gap, first, np.inf, axis=0)
    second = gap.argmin(axis=0)[None]
    rise = (np.take_along_axis(gap, second, axis=0) - nearest)[0]
    turn_y, turn_x = (
        (np.take_along_axis(part / length, second, axis=0) - np.take_along_axis(part / length, first, axis=0))[0]
        for part in (down, across)
    )
    # The chain rule turns the slope of the difference in the warped plane into one per image pixel.
    by_row = turn_y * slopes[0] + turn_x * slopes[2]
    by_column = turn_y * slopes[1] + turn_x * slopes[3]
    return near[first[0]], rise / np.maximum(np.sqrt(by_row * by_row + by_column * by_column), 0.5)
