"""The median of a few noisy values, with an interval that supposes nothing of the noise."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

from scipy.stats import binom

if TYPE_CHECKING:
    from collections.abc import Sequence


def median_interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Return the median and its interval by order statistics, 95 % where six values or more allow it (Conover 1999)."""
    ordered = sorted(values)
    least = max(1, int(binom.ppf(0.025, len(ordered), 0.5)))
    return statistics.median(ordered), ordered[least - 1], ordered[-least]
