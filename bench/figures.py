"""What process runs show of a case, a figure each, and of the machine they ran on, by the canary beside it."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from bench.variances import median_variance, squares

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from bench.visits import Visit

    Matrix = Mapping[str, Sequence[Visit]]
    """One process run: each case's visits."""

CANARY_REACH = 2.0
"""Standard deviations (95 % of a normal's) that the readings beside one case may differ from those beside the others.

What all readings of the new runs drift by is the machine's drift: beyond what the canary scattered by between the old
runs it is added to the standard error in full, as if cases and canary had slowed alike, since nothing says how far
they did. The readings beside one case scatter by themselves, as they did in the baseline's runs; only what goes beyond
that scatter is added for the case.

Each way for itself: a slower machine may explain a slower case, a faster one may have hidden it. A GPU's canary runs
7 % faster beside an engine that is really slower, which leaves the GPU cooler: that excuses nothing.
"""
LEAST_SPREAD = 0.001
"""Below this the figures' own six digits and the clock's steps would be taken for noise of the machine."""


@dataclass(frozen=True, slots=True)
class Figures:
    """One case's figures, a value per run."""

    log_s: tuple[float, ...]
    canary: tuple[float, ...]
    within: tuple[float, ...]
    """Variance of a run's figure as its own rounds show it."""


def with_canary(*sides: Sequence[Matrix]) -> list[list[Matrix]]:
    """Return old and new runs as they are, or all without their canary where it was not timed beside some of them.

    What the one side does not tell cannot be compared: files of before there was a canary hold none.
    """
    visits = [visit for runs in sides for run in runs for found in run.values() for visit in found]
    if all(visit.canary_s for visit in visits):
        return [list(runs) for runs in sides]
    return [
        [{case: [replace(visit, canary_s=None) for visit in found] for case, found in run.items()} for run in runs]
        for runs in sides
    ]


def figures(runs: Sequence[Matrix], case: str) -> Figures:
    """Return the figures of a case that is in one of the runs at least, a value per run that holds it."""
    return Figures(*zip(*(_figure(run[case]) for run in runs if case in run), strict=True))


def _figure(visits: Sequence[Visit]) -> tuple[float, float, float]:
    """Return a run's figure for one case, the canary's, and the variance of the first by the rounds alone.

    The fastest visit speaks for the run: what else a machine does can only slow a case down, and a case that really
    is slower is so at every visit.
    """
    return min(_figure_of(visit) for visit in visits)


@cache
def _figure_of(visit: Visit) -> tuple[float, float, float]:
    middle = math.log(visit.median_s)
    canary = sum(math.log(value) for value in visit.canary_s) / 2 if visit.canary_s else 0.0
    # The median deviation, made that of a normal: a few rounds that were interrupted do not move the figure either.
    within = 1.4826 * statistics.median(abs(math.log(value) - middle) for value in visit.samples_s)
    return middle, canary, within**2


def machine_drift(old: Sequence[Matrix], new: Sequence[Matrix], cases: Sequence[str]) -> NDArray[np.float64]:
    """Return what the machine drifted by in each case's new runs: the median of what all readings of a run did.

    float64 [cases], in logarithms of the canary's seconds: 0.01 is a machine that is slower by about 1 %.

    What was undecided ran again, so that cases have seen different runs, and only its own may excuse one. What medians
    of so many runs differ by anyway, by one standard deviation of the old runs, is no drift.
    """
    usual = {case: statistics.median(_figure(run[case])[1] for run in old if case in run) for case in cases}
    before, after = (
        [
            {case: _figure(run[case])[1] - middle for case, middle in usual.items() if case in run}
            for run in runs
            if not usual.keys().isdisjoint(run)
        ]
        for runs in (old, new)
    )
    scatter = statistics.stdev(statistics.median(found.values()) for found in before) if len(before) > 1 else 0.0
    drifts = [(found, statistics.median(found.values())) for found in after]
    seen = [[drift for found, drift in drifts if case in found] for case in cases]
    counts = np.array([[len(before), len(found)] for found in seen])
    chance = scatter * np.sqrt(median_variance(counts).sum(axis=1))
    middle = np.array([statistics.median(found) for found in seen])
    return np.asarray(np.sign(middle) * np.maximum(np.abs(middle) - chance, 0))


def canary_spread(before: Sequence[Figures]) -> float:
    """Return the canary's standard deviation between the old runs: one machine's, so pooled over the cases."""
    variances = [squares(part.canary) / (len(part.canary) - 1) for part in before if len(part.canary) > 1]
    return max(math.sqrt(statistics.fmean(variances)) if variances else 0.0, LEAST_SPREAD)
