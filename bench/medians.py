"""The median of a few noisy values, with an interval that supposes nothing of the noise."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

from scipy.special import bdtr

if TYPE_CHECKING:
    from collections.abc import Sequence

_TAIL = 0.025


def median_interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Return the median and its interval by order statistics, 95 % where six values or more allow it (Conover 1999)."""
    ordered = sorted(values)
    # scipy.stats has this quantile of the binomial distribution, and takes half a second to import.
    quantile = next(count for count in range(len(ordered) + 1) if bdtr(count, len(ordered), 0.5) >= _TAIL)
    least = max(1, quantile)
    return statistics.median(ordered), ordered[least - 1], ordered[-least]
