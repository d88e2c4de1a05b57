"""Random fields, blurs and coordinates made of exactly specified arithmetic, so that their bytes never change.

Only bit-generator output, elementwise float64 `+ - * /` and square root, comparisons and integers are used: IEEE 754
fixes their results. Sines, exponentials, float sums, dot products and NumPy's own distributions differ between versions
and CPUs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Field = NDArray[np.float64]

_TO_UNIT = 2.0**-53
_SIXTEEN_BITS = np.uint64(0xFFFF)
_NOISE_SPREAD = 1.7320508075688772 / 65535.0
"""Scales the centred sum of four 16-bit uniforms (variance 4 * 65535^2 / 12) to unit variance."""


class Bits:
    """A stream of random numbers taken from the raw output of PCG64, whose stream NumPy guarantees."""

    def __init__(self, seed: int) -> None:
        self._source = np.random.PCG64(seed)

    def uniform(self, *shape: int) -> Field:
        """Return float64 in [0, 1), 53 random bits each."""
        count = 1
        for extent in shape:
            count *= extent
        raw = np.asarray(self._source.random_raw(count), dtype=np.uint64)
        numbers = (raw >> np.uint64(11)).astype(np.float64) * _TO_UNIT
        return np.asarray(numbers, dtype=np.float64).reshape(shape)

    def between(self, low: float, high: float) -> float:
        """Return one number in [low, high)."""
        return low + (high - low) * float(self.uniform(1)[0])

    def bell(self, height: int, width: int) -> Field:
        """Return noise of zero mean and unit variance, the sum of four uniforms (Irwin-Hall), float64 [H, W]."""
        raw = np.asarray(self._source.random_raw(height * width), dtype=np.uint64)
        total = np.zeros(height * width, dtype=np.uint64)
        for shift in (0, 16, 32, 48):
            total += (raw >> np.uint64(shift)) & _SIXTEEN_BITS
        return ((total.astype(np.float64) - 131070.0) * _NOISE_SPREAD).reshape(height, width)

    def field(self, size: tuple[int, int], cell: float) -> Field:
        """Return smooth value noise in [-1, 1), float64 [H, W], with one random value every `cell` pixels."""
        rows, across = _lattice(size[0], cell, self)
        columns, down = _lattice(size[1], cell, self)
        knots = self.uniform(int(rows[-1]) + 2, int(columns[-1]) + 2) * 2.0 - 1.0
        lines = knots[rows] + (knots[rows + 1] - knots[rows]) * across[:, None]
        return lines[:, columns] + (lines[:, columns + 1] - lines[:, columns]) * down


def _lattice(length: int, cell: float, bits: Bits) -> tuple[NDArray[np.int64], Field]:
    """Return each pixel's lattice index and its smoothstep weight in [0, 1)."""
    position = np.arange(length, dtype=np.float64) / cell + bits.between(0.0, 1.0)
    index = np.floor(position)
    part = position - index
    return index.astype(np.int64), part * part * (3.0 - 2.0 * part)


def ramp(value: Field, low: float, high: float) -> Field:
    """Return the smoothstep of `value` from 0 at `low` to 1 at `high`."""
    part = np.minimum(np.maximum((value - low) / (high - low), 0.0), 1.0)
    return part * part * (3.0 - 2.0 * part)


def blur(picture: Field, weights: Sequence[float]) -> Field:
    """Return the picture convolved along both axes with symmetric weights given from the centre out, edges repeated."""
    reach = len(weights) - 1
    for axis in (0, 1):
        length = picture.shape[axis]
        padded = np.pad(picture, [(reach, reach) if axis == other else (0, 0) for other in (0, 1)], mode="edge")
        total = picture * weights[0]
        for step in range(1, reach + 1):
            before = np.take(padded, range(reach - step, reach - step + length), axis=axis)
            after = np.take(padded, range(reach + step, reach + step + length), axis=axis)
            total = total + (before + after) * weights[step]
        picture = total
    return picture


def fold(value: Field) -> Field:
    """Return the triangle wave of period 1 and range [0, 1], the distance to the nearest integer doubled."""
    part = value - np.floor(value)
    return 1.0 - np.abs(2.0 * part - 1.0)


def slope(value: Field, axis: int) -> Field:
    """Return the central differences along an axis, per pixel, one-sided at the two ends."""
    moved = np.moveaxis(value, axis, 0)
    steps = np.empty_like(moved)
    steps[1:-1] = (moved[2:] - moved[:-2]) / 2.0
    steps[0], steps[-1] = moved[1] - moved[0], moved[-1] - moved[-2]
    return np.moveaxis(steps, 0, axis)
