"""How far the speed of a matrix of cases changed between two sets of process runs, and how sure that is.

Processes differ more than the rounds of one process do, so a run counts once: all arithmetic is on logarithms of one
figure per run and case, and the median over runs speaks for a case. Their spread between runs, from the few runs a
baseline has, is pooled over the cases by moderated variances (Smyth 2004, limma): a case's own spread is drawn towards
what all cases share, as far as the spreads agree. Many cases share one budget for false alarms by Holm's step-down
rule. Tails heavier than the normal's are allowed for by `tail_freedom`.
"""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import stdtr, stdtrit

from bench.variances import moderated, squares

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from bench.builds import Builds
    from bench.visits import Visit

    Matrix = Mapping[str, Sequence[Visit]]
    """One process run: each case's visits."""

ALPHA = 0.01
"""False alarms of slowness allowed per judged matrix, whatever its number of cases (asked for, not estimated)."""
TAIL = 3
"""Assumed: the noise of one process run has tails no heavier than Student's t with 3 degrees of freedom.

3 is the least whole number with a finite variance; with fewer, no spread could be estimated at all.
"""
CANARY_REACH = 2.0
"""Standard deviations (95 % of a normal's) that the readings beside one case may differ from those beside the others.

What all readings of the new runs drift by is the machine's drift: beyond what the canary scattered by between the old
runs it is added to the standard error in full, as if cases and canary had slowed alike, since nothing says how far
they did. The readings beside one case scatter by themselves, as they did in the baseline's runs; only what goes beyond
that scatter is added for the case.

Each way for itself: a slower machine may explain a slower case, a faster one may have hidden it. A GPU's canary runs
7 % faster beside an engine that is really slower, which leaves the GPU cooler: that excuses nothing.
"""
_POWER = 0.9
_LEAST_SPREAD = 0.001
"""Below this the figures' own six digits and the clock's steps would be taken for noise of the machine."""


@dataclass(frozen=True, slots=True)
class Interval:
    """New over old images per second: the estimate and a 99 % interval."""

    ratio: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Change:
    """What is known of one case's change; logarithms of seconds, positive where it got slower."""

    slowdown: float
    old_s: float
    """Seconds per inference that `slowdown` counts from: the median of the old runs compared with."""
    old_runs: int
    """How many those are: all, or those of the build that the new ones are of."""
    error: float
    """Standard error of `slowdown` towards less: noise, and what a slower machine may have added."""
    error_above: float
    """Standard error of `slowdown` towards more: noise, and what a faster machine may have hidden."""
    freedom: float
    """Degrees of freedom of the spread that the errors are made of."""
    tail: int
    """Degrees of freedom of the heaviest tails that `slowdown` can have."""
    spread: float
    """Standard deviation between process runs."""
    builds: Builds | None
    """The engines of old and new runs; None where they are not told, or not to be told apart from runs."""
    by_builds: bool
    """Whether builds add more to the errors than runs do, so that further runs hardly make them less."""
    p_slower: float
    """Probability of so much slowness by chance, adjusted for the whole matrix."""
    p_faster: float
    cases: int
    runs: int
    """Process runs on the new side."""
    canary_drift: float
    """Drift of the canary's seconds beside this case, as a logarithm; 0 where it was not timed."""

    @property
    def apart(self) -> float:
        """Standard deviation between builds, 0 where old and new runs are not of other ones, or builds are not told."""
        return self.builds.apart if self.builds and self.builds.variance else 0.0

    def reach(self, share: float) -> float:
        """Return how many standard errors beyond `slowdown` that share of what is possible lies."""
        heavy = float(stdtrit(self.tail, share)) * math.sqrt((self.tail - 2) / self.tail)
        return max(heavy, float(stdtrit(self.freedom, share)))

    @property
    def interval(self) -> Interval:
        """The ratio of images per second with its 99 % interval, for this case by itself."""
        reach = self.reach(0.995)
        parts = (0.0, -reach * self.error_above, reach * self.error)
        return Interval(*(math.exp(-self.slowdown + part) for part in parts))

    @property
    def smallest_seen(self) -> float:
        """The least loss of FPS, as a share, that this comparison would have found nine times in ten."""
        return 1 - math.exp(-(self.reach(1 - ALPHA / self.cases) + self.reach(_POWER)) * self.error)

    @property
    def worst_loss(self) -> float:
        """The loss of FPS, as a share, that is excluded with 95 % confidence, for this case by itself."""
        return 1 - math.exp(-self.slowdown - self.reach(0.95) * self.error_above)


def compare(
    old: Sequence[Matrix], new: Sequence[Matrix], cases: Sequence[str], builds: Mapping[str, Builds] | None = None
) -> dict[str, Change]:
    """Return the change of each case from the old runs to the new; a case must be in one run of either at least.

    `builds` tells of cases which engines their runs used: what other builds differ by widens their intervals.
    """
    if not cases:
        return {}
    before, after = ([_figures(runs, case) for case in cases] for runs in (old, new))
    pairs = list(zip(before, after, strict=True))
    engines = [_engines(pair, (builds or {}).get(case)) for case, pair in zip(cases, pairs, strict=True)]
    variance, freedom = _spread(pairs, engines)
    nearest = [_nearest(*each) for each in zip(before, engines, variance.tolist(), strict=True)]
    engines = [each for _, each in nearest]
    compared = [(old, new) for (old, _), new in zip(nearest, after, strict=True)]
    drift = np.array([statistics.median(new.canary) - statistics.median(old.canary) for old, new in compared])
    slowdown = np.array([statistics.median(new.log_s) - statistics.median(old.log_s) for old, new in compared])
    counts = np.array([[len(part.log_s) for part in pair] for pair in compared])
    # Rounds that scattered as much in the baseline's runs have shown there what that does to a run's figure; of a
    # single new run only its rounds tell how far it may be off, of several their own spread does.
    beyond = [
        statistics.fmean(new.within) - statistics.fmean(old.within) * (1 - 1 / len(new.log_s)) for old, new in pairs
    ]
    noisy = np.maximum(variance, beyond)
    machine = _machine_drift(old, new, cases)
    own = np.sign(drift - machine) * np.maximum(np.abs(drift - machine) - CANARY_REACH * _canary_spread(before), 0)
    noise = variance * median_variance(counts[:, 0]) + noisy * median_variance(counts[:, 1])
    rebuilt = np.array([each.variance if each else 0.0 for each in engines])
    freedom = _satterthwaite(
        (noise, freedom), (rebuilt, np.array([each.freedom if each else math.inf for each in engines]))
    )
    widened = noise + rebuilt
    errors = [np.sqrt(widened + sum(np.maximum(sign * part, 0) ** 2 for part in (machine, own))) for sign in (1, -1)]
    tail = tail_freedom(counts.min(axis=1))
    slower, faster = (
        holm(_by_chance(sign * slowdown / error, freedom, tail)) for sign, error in zip((1, -1), errors, strict=True)
    )
    return {
        case: Change(
            slowdown=float(slowdown[index]),
            old_s=math.exp(statistics.median(compared[index][0].log_s)),
            old_runs=int(counts[index, 0]),
            error=float(errors[0][index]),
            error_above=float(errors[1][index]),
            freedom=float(freedom[index]),
            tail=int(tail[index]),
            spread=math.sqrt(variance[index]),
            builds=each,
            by_builds=bool(rebuilt[index] > noise[index]),
            p_slower=float(slower[index]),
            p_faster=float(faster[index]),
            cases=len(cases),
            runs=int(counts[index, 1]),
            canary_drift=float(drift[index]),
        )
        for index, (case, each) in enumerate(zip(cases, engines, strict=True))
    }


def median_variance(runs: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the variance of the median of so many normal values of variance 1.

    pi / (2 n + 1): within 1 % for odd n above 1, and on the safe side for even ones (Kenney and Keeping 1962).
    """
    return np.minimum(math.pi / (2 * runs + 1), 1.0)


def tail_freedom(runs: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the degrees of freedom of the tails of a median over so many runs, each with those of `TAIL`.

    One run in ten thousand is far off; for the median of three to be, two must be at once: where the chance of one
    falls as x ** -TAIL, that of a median falls as x ** (-TAIL k), k the runs it takes.
    """
    return TAIL * ((runs + 1) // 2)


def _by_chance(
    ratio: NDArray[np.float64], freedom: NDArray[np.float64], tail: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return the probability of slowness of so many standard errors, by whichever tails are heavier."""
    # A Student's t of so few degrees of freedom has a variance of its own, which the error contains.
    return np.asarray(np.maximum(stdtr(freedom, -ratio), stdtr(tail, -ratio * np.sqrt(tail / (tail - 2)))))


def holm(p_values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return p-values adjusted so that those below a level are false in at most that share of matrices (Holm 1979)."""
    order = np.argsort(p_values)
    steps = p_values[order] * np.arange(len(p_values), 0, -1)
    adjusted = np.empty_like(p_values)
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1)
    return adjusted


@dataclass(frozen=True, slots=True)
class _Figures:
    """One case's figures, a value per run."""

    log_s: tuple[float, ...]
    canary: tuple[float, ...]
    within: tuple[float, ...]
    """Variance of a run's figure as its own rounds show it."""


def _figures(runs: Sequence[Matrix], case: str) -> _Figures:
    return _Figures(*zip(*(_figure(run[case]) for run in runs if case in run), strict=True))


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


def _machine_drift(old: Sequence[Matrix], new: Sequence[Matrix], cases: Sequence[str]) -> NDArray[np.float64]:
    """Return what the machine drifted by in each case's new runs: the median of what all readings of a run did.

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


def _canary_spread(before: Sequence[_Figures]) -> float:
    """Return the canary's standard deviation between the old runs: one machine's, so pooled over the cases."""
    variances = [squares(part.canary) / (len(part.canary) - 1) for part in before if len(part.canary) > 1]
    return max(math.sqrt(statistics.fmean(variances)) if variances else 0.0, _LEAST_SPREAD)


def _engines(pair: tuple[_Figures, _Figures], builds: Builds | None) -> Builds | None:
    """Return the builds of a case's runs, or None where runs and builds cannot be told apart: what differs is of both.

    So it is where each run has a build of its own, but for two runs alone, whose rounds tell what runs do.
    """
    if builds is None:
        return None
    runs = len(pair[0].log_s) + len(pair[1].log_s)
    told_apart = runs > len(set(builds.old)) + len(set(builds.new)) or runs == 2  # noqa: PLR2004 - one of each
    return builds if told_apart else None


def _nearest(old: _Figures, builds: Builds | None, variance: float) -> tuple[_Figures, Builds | None]:
    """Return the old runs to compare with, and their builds: those of the new runs' own build where there are any.

    All are surer where that build is the lesser part of them, and a few runs differ by more than builds do.
    """
    kept = builds.own if builds else []
    if not builds or not kept:
        return old, builds
    few, all_ = median_variance(np.array([len(kept), len(old.log_s)])).tolist()
    if variance * (few - all_) > builds.variance > 0:
        return old, builds
    parts = (old.log_s, old.canary, old.within)
    own = _Figures(*(tuple(part[index] for index in kept) for part in parts))
    return own, replace(builds, old=builds.new[:1] * len(kept))


def _satterthwaite(*parts: tuple[NDArray[np.float64], NDArray[np.float64]]) -> NDArray[np.float64]:
    """Return the degrees of freedom of a sum of variances, each with its own (Satterthwaite 1946)."""
    total = sum(variance for variance, _ in parts)
    return np.asarray(total**2 / sum(variance**2 / freedom for variance, freedom in parts))


def _within(figures: _Figures, digests: Sequence[str]) -> list[list[float]]:
    """Return a case's figures by the build that ran."""
    return [[value for value, of in zip(figures.log_s, digests, strict=True) if of == each] for each in set(digests)]


def _spread(
    pairs: Sequence[tuple[_Figures, _Figures]], engines: Sequence[Builds | None]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return each case's moderated variance between runs of one build, and the degrees of freedom that it has."""
    least = _LEAST_SPREAD**2
    alike = [
        [*_within(old, each.old), *_within(new, each.new)] if each else [list(old.log_s), list(new.log_s)]
        for (old, new), each in zip(pairs, engines, strict=True)
    ]
    freedom = np.array([float(sum(len(values) - 1 for values in found)) for found in alike])
    if not freedom.all():
        # One process each: only the rounds can speak, and they flatter. `compare` of single runs says so.
        within = [max(*old.within, *new.within, least) for old, new in pairs]
        return np.array(within), np.full(len(pairs), 7.0)
    sums = [sum(map(squares, found)) for found in alike]
    return moderated(np.maximum(np.array(sums) / freedom, least), freedom)
