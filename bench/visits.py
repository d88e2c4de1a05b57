"""A visit: rounds of one case timed without a break, between two readings of the canary, and what is kept of them."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

BLOCKS = 8


@dataclass(frozen=True, slots=True)
class Visit:
    """Seconds per inference of each round, or of each block of rounds, in time order; the canary before and after."""

    samples_s: tuple[float, ...]
    canary_s: tuple[float, float] | None

    @property
    def median_s(self) -> float:
        """Median seconds per inference."""
        return statistics.median(self.samples_s)

    @property
    def fastest_s(self) -> float:
        """Fewest seconds per inference."""
        return min(self.samples_s)

    def in_blocks(self) -> Visit:
        """Return the visit with the medians of blocks of rounds in place of the rounds, to six digits."""
        return Visit(
            tuple(_short(value) for value in block_medians(self.samples_s)),
            (_short(self.canary_s[0]), _short(self.canary_s[1])) if self.canary_s else None,
        )

    def packed(self) -> list[list[float]]:
        """Return the visit as JSON holds it: seconds of blocks, seconds of the canary or nothing."""
        return [list(self.samples_s), list(self.canary_s or ())]

    @classmethod
    def unpacked(cls, packed: Sequence[Sequence[float]]) -> Visit:
        """Return the visit that JSON holds; `ValueError` when it holds none."""
        samples, canary = packed
        before, after = canary or (0.0, 0.0)
        return cls(tuple(samples), (before, after) if canary else None)


def block_medians(samples_s: Sequence[float], blocks: int = BLOCKS) -> tuple[float, ...]:
    """Return the medians of at most `blocks` equal parts of the rounds in time order, in seconds."""
    count = min(blocks, len(samples_s))
    edges = [round(index * len(samples_s) / count) for index in range(count + 1)]
    return tuple(statistics.median(samples_s[low:high]) for low, high in pairwise(edges))


def _short(seconds: float) -> float:
    return float(f"{seconds:.6g}")
