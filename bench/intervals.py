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
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import stdtr

from bench.change import Change
from bench.figures import CANARY_REACH, LEAST_SPREAD, Figures, canary_spread, figures, machine_drift, with_canary
from bench.variances import median_variance, moderated, satterthwaite, squares

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from bench.builds import Builds
    from bench.figures import Matrix

TAIL = 3
"""Assumed: the noise of one process run has tails no heavier than Student's t with 3 degrees of freedom.

3 is the least whole number with a finite variance; with fewer, no spread could be estimated at all.
"""


def compare(
    old: Sequence[Matrix], new: Sequence[Matrix], cases: Sequence[str], builds: Mapping[str, Builds] | None = None
) -> dict[str, Change]:
    """Return the change of each case from the old runs to the new; a case must be in one run of either at least.

    `builds` tells of cases which engines their runs used: what other builds differ by widens their intervals.
    """
    if not cases:
        return {}
    old, new = with_canary(old, new)
    before, after = ([figures(runs, case) for case in cases] for runs in (old, new))
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
    machine = machine_drift(old, new, cases)
    own = np.sign(drift - machine) * np.maximum(np.abs(drift - machine) - CANARY_REACH * canary_spread(before), 0)
    noise = variance * median_variance(counts[:, 0]) + noisy * median_variance(counts[:, 1])
    rebuilt = np.array([each.variance if each else 0.0 for each in engines])
    freedom = satterthwaite(
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


def tail_freedom(runs: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the degrees of freedom of the tails of a median over so many runs, each with those of `TAIL`.

    `runs` is int64 [cases], and so is the result.

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
    """Return p-values adjusted so that those below a level are false in at most that share of matrices (Holm 1979).

    Probabilities, float64 [cases], in the same order before and after.
    """
    order = np.argsort(p_values)
    steps = p_values[order] * np.arange(len(p_values), 0, -1)
    adjusted = np.empty_like(p_values)
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1)
    return adjusted


def _engines(pair: tuple[Figures, Figures], builds: Builds | None) -> Builds | None:
    """Return the builds of a case's runs, or None where runs and builds cannot be told apart: what differs is of both.

    So it is where each run has a build of its own, but for two runs alone, whose rounds tell what runs do.
    """
    if builds is None:
        return None
    runs = len(pair[0].log_s) + len(pair[1].log_s)
    told_apart = runs > len(set(builds.old)) + len(set(builds.new)) or runs == 2  # noqa: PLR2004 - one of each
    return builds if told_apart else None


def _nearest(old: Figures, builds: Builds | None, variance: float) -> tuple[Figures, Builds | None]:
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
    own = Figures(*(tuple(part[index] for index in kept) for part in parts))
    return own, replace(builds, old=builds.new[:1] * len(kept))


def _within(found: Figures, digests: Sequence[str]) -> list[list[float]]:
    """Return a case's figures by the build that ran."""
    return [[value for value, of in zip(found.log_s, digests, strict=True) if of == each] for each in set(digests)]


def _spread(
    pairs: Sequence[tuple[Figures, Figures]], engines: Sequence[Builds | None]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return each case's moderated variance between runs of one build, and the degrees of freedom that it has."""
    least = LEAST_SPREAD**2
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
