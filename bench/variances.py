"""Variances of many small samples: pooled, and moderated (Smyth 2004, limma) by how far the others scatter."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import digamma, polygamma

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray


def squares(values: Sequence[float]) -> float:
    """Return the sum of squared deviations from the mean."""
    mean = sum(values) / len(values)
    return sum((value - mean) ** 2 for value in values)


def pooled(samples: Iterable[Sequence[float]]) -> tuple[float, int]:
    """Return the variance about each sample's own mean: squares over degrees of freedom, and these; (0, 0) for none."""
    found = [values for values in samples if len(values) > 1]
    freedom = sum(len(values) - 1 for values in found)
    return (sum(map(squares, found)) / freedom if freedom else 0.0), freedom


def median_variance(runs: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the variance of the median of so many normal values of variance 1.

    `runs` is int64 of any shape, and the result float64 of the same.

    pi / (2 n + 1): within 1 % for odd n above 1, and on the safe side for even ones (Kenney and Keeping 1962).
    """
    return np.minimum(math.pi / (2 * runs + 1), 1.0)


def satterthwaite(*parts: tuple[NDArray[np.float64], NDArray[np.float64]]) -> NDArray[np.float64]:
    """Return the degrees of freedom of a sum of variances, each with its own (Satterthwaite 1946).

    A part is the variances and their degrees of freedom, float64 [cases] each, as the result is. Infinite degrees mean
    a variance that is known.
    """
    total = sum(variance for variance, _ in parts)
    return np.asarray(total**2 / sum(variance**2 / freedom for variance, freedom in parts))


def moderated(
    variances: NDArray[np.float64], freedom: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return each sample's variance drawn towards what all share, never below its own, and its degrees of freedom.

    All four are float64 [samples]; variances keep their unit, here that of logarithms of seconds, squared.
    """
    shared, prior = prior_of(variances, freedom)
    weight = 1.0 if math.isinf(prior) else prior / (prior + freedom)
    # A case that is itself noisier than the others is not made quieter by them.
    drawn = np.maximum(weight * shared + (1 - weight) * variances, variances)
    # No more than all cases have together, as limma has it: few cases know little of what they share.
    return drawn, np.minimum(prior + freedom, float(freedom.sum()))


def prior_of(variances: NDArray[np.float64], freedom: NDArray[np.float64]) -> tuple[float, float]:
    """Return the variance that the cases share and the degrees of freedom it is worth (Smyth 2004, section 6.2).

    Both arguments are float64 [cases]. The degrees are 0 for a case alone, and infinite where the variances scatter no
    more than chance has them.
    """
    if len(variances) == 1:
        return float(variances[0]), 0.0
    logs = np.log(variances) - digamma(freedom / 2) + np.log(freedom / 2)
    excess = float(np.var(logs, ddof=1)) - float(polygamma(1, freedom / 2).mean())
    if excess <= 0:
        return math.exp(float(logs.mean())), math.inf
    prior = 2 * inverse_trigamma(excess)
    return math.exp(float(logs.mean()) + float(digamma(prior / 2)) - math.log(prior / 2)), prior


def inverse_trigamma(value: float) -> float:
    """Return y with trigamma(y) = value, by Newton's method on 1 / trigamma."""
    y = 0.5 + 1 / value
    for _ in range(50):
        here = float(polygamma(1, y))
        step = here * (1 - here / value) / float(polygamma(2, y))
        y += step
        if -step / y < 1e-8:  # noqa: PLR2004 - Smyth's own bound
            break
    return y
