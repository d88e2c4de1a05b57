"""The interval of a median is the one of order statistics, for any number of values."""

from __future__ import annotations

import pytest
from scipy.stats import binom

from bench.medians import median_interval


@pytest.mark.parametrize("count", [1, 2, 5, 6, 9, 30, 101])
def test_ends_are_the_order_statistics_at_the_quantiles_of_the_binomial(count: int) -> None:
    values = [float(value) for value in range(count, 0, -1)]
    least = max(1, int(binom.ppf(0.025, count, 0.5)))
    assert median_interval(values) == ((count + 1) / 2, least, count + 1 - least)
