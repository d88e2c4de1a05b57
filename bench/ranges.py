"""What INT8 costs tensor by tensor: calibrated ranges side by side, what they clip, and how much noise they leave."""

from __future__ import annotations

import re
import struct
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bench.backends._onnx_tensors import values
from models.quantize import thinned

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    Ranges = Mapping[str, float]
    """The largest magnitude that INT8 holds, by tensor."""

_HEADER = re.compile(r"TRT-\w+-(?P<algorithm>\w+)Calibration(?P<version>\d*)")
STEPS = 127
"""INT8 steps from zero to the end of a symmetric range."""
_ROUNDING = 1 + 1e-5
"""Runs of one graph with other fusions differ in their last digits: that is no clipping."""


class RangesError(ValueError):
    """A calibration cache that cannot be read; the text names the file and what is wrong."""


@dataclass(frozen=True, slots=True)
class Loss:
    """What one range does to one tensor's values over some images."""

    limit: float
    """The largest magnitude that INT8 holds."""
    clipped: float
    """Share of the values beyond it."""
    signal_to_noise_db: float
    """Power of the values over that of what quantizing changes, in decibels: 6 less is half as many steps."""


@dataclass(frozen=True, slots=True)
class Compared:
    """One tensor under two ways to find its range."""

    tensor: str
    base: Loss
    other: Loss

    @property
    def ratio(self) -> float:
        """The other range over the base's."""
        return self.other.limit / self.base.limit

    @property
    def lost_db(self) -> float:
        """Signal to noise lost by the other range, in decibels; negative where it gains."""
        return self.base.signal_to_noise_db - self.other.signal_to_noise_db


def read_cache(path: Path) -> tuple[str, dict[str, float]]:
    """Return the algorithm of a TensorRT calibration cache (`MinMax`, `Entropy2`) and each tensor's range.

    The file is text: a line `TRT-8600-MinMaxCalibration`, then `tensor: scale`, the scale as the big-endian hexadecimal
    digits of a float32; a range is 127 scales. `RangesError` where it is none.
    """
    try:
        first, *lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError, ValueError) as error:
        msg = f"{path}: cannot be read as a calibration cache ({error or type(error).__name__})"
        raise RangesError(msg) from error
    header = _HEADER.fullmatch(first)
    if header is None:
        msg = f"{path}: not a calibration cache of TensorRT's: it begins with {first[:60]!r}"
        raise RangesError(msg)
    found = {}
    for number, line in enumerate(filter(None, lines), 2):
        name, _, digits = line.rpartition(":")
        try:
            (scale,) = struct.unpack("!f", bytes.fromhex(digits.strip()))
        except (ValueError, struct.error) as error:
            msg = f"{path}: line {number} is no tensor with its scale: {line[:80]!r}"
            raise RangesError(msg) from error
        found[name] = float(scale) * STEPS
    return header["algorithm"] + header["version"], found


def losses(
    graph: Path, images: NDArray[np.float32], sets: Mapping[str, Ranges], tensors: Sequence[str], threads: int
) -> dict[str, dict[str, Loss]]:
    """Return what each set of ranges does to each of the tensors it holds, by set and tensor.

    The FP32 graph is run on normalised images, float32 [N, 1, H, W].
    """
    wanted = [name for name in tensors if any(name in ranges for ranges in sets.values())]
    sums: dict[tuple[str, str], NDArray[np.float64]] = defaultdict(lambda: np.zeros(4))
    for found in values(graph, wanted, images, threads):
        for tensor, array in found.items():
            sample = thinned(array)
            for name, ranges in sets.items():
                if tensor in ranges:
                    sums[name, tensor] += _sums(sample, ranges[tensor])
    result: dict[str, dict[str, Loss]] = {name: {} for name in sets}
    for (name, tensor), (count, clipped, noise, signal) in sums.items():
        decibels = 10 * np.log10(signal / noise) if noise and signal else float("inf")
        result[name][tensor] = Loss(sets[name][tensor], float(clipped / count), float(decibels))
    return result


def compared(base: Mapping[str, Loss], other: Mapping[str, Loss]) -> list[Compared]:
    """Return the tensors that both sets hold, those that lose most by the other one first."""
    pairs = [Compared(tensor, base[tensor], other[tensor]) for tensor in base if tensor in other]
    return sorted(pairs, key=lambda pair: -pair.lost_db if np.isfinite(pair.lost_db) else np.inf)


def _sums(sample: NDArray[np.float32], limit: float) -> NDArray[np.float64]:
    """Return how many values there are and are clipped, and the sums of squares of the change and of the values."""
    if limit <= 0:
        changed = sample
        clipped = np.count_nonzero(sample)
    else:
        scale = np.float32(limit / STEPS)
        changed = sample - np.clip(np.rint(sample / scale), -STEPS, STEPS) * scale
        clipped = np.count_nonzero(np.abs(sample) > limit * _ROUNDING)
    squares = [float(np.square(part, dtype=np.float64).sum()) for part in (changed, sample)]
    return np.asarray([sample.size, clipped, *squares], dtype=np.float64)
