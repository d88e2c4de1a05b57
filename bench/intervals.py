"""How far the speed of a matrix of cases changed between two sets of process runs, and how sure that is.

Processes differ more than the rounds of one process do, so a run counts once: all arithmetic is on logarithms of one
figure per run and case. Their spread between runs, from the few runs a baseline has, is pooled over the cases by
moderated variances (Smyth 2004, limma): a case's own spread is drawn towards what all cases share, as far as the
spreads agree. Many cases share one budget for false alarms by Holm's step-down rule.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import digamma, polygamma, stdtr, stdtrit

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from bench.visits import Visit

    Matrix = Mapping[str, Sequence[Visit]]
    """One process run: each case's visits."""

ALPHA = 0.01
"""False alarms of slowness allowed per judged matrix, whatever its number of cases."""
CANARY_DOUBT = 1.0
"""Standard error added per drift of the canary, both as logarithms.

It widens and does not correct: on the crowded machine that was recorded its drift and a case's go the same way
(correlation 0.25) but not by the same factor: taking it off left the spread between runs as it was (0.25 to 0.24).
"""
_TAILS = 0.1
_LEAST_FREEDOM = 6.0
"""The noisier a machine, the heavier the tails of its noise: freedom is capped at `_TAILS` / spread, at least this."""
_POWER = 0.9
_LEAST_SPREAD = 0.001
"""No machine repeats itself better than to a thousandth, however alike three runs happen to be."""


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
    error: float
    """Standard error of `slowdown`."""
    freedom: float
    spread: float
    """Standard deviation between process runs."""
    p_slower: float
    """Probability of so much slowness by chance, adjusted for the whole matrix."""
    p_faster: float
    cases: int
    canary_drift: float
    """Drift of the canary's seconds beside this case, as a logarithm; 0 where it was not timed."""

    @property
    def interval(self) -> Interval:
        """The ratio of images per second with its 99 % interval, for this case by itself."""
        reach = float(stdtrit(self.freedom, 0.995)) * self.error
        return Interval(*(math.exp(-self.slowdown + part) for part in (0, -reach, reach)))

    @property
    def smallest_seen(self) -> float:
        """The least loss of FPS, as a share, that this comparison would have found nine times in ten."""
        reach = stdtrit(self.freedom, 1 - ALPHA / self.cases) + stdtrit(self.freedom, _POWER)
        return 1 - math.exp(-float(reach) * self.error)

    @property
    def worst_loss(self) -> float:
        """The loss of FPS, as a share, that is excluded with 95 % confidence, for this case by itself."""
        return 1 - math.exp(-self.slowdown - float(stdtrit(self.freedom, 0.95)) * self.error)


def compare(old: Sequence[Matrix], new: Sequence[Matrix], cases: Sequence[str]) -> dict[str, Change]:
    """Return the change of each case from the old runs to the new; every run holds every case."""
    if not cases:
        return {}
    before, after = (_figures(runs, cases) for runs in (old, new))
    drift = after.canary.mean(axis=0) - before.canary.mean(axis=0)
    slowdown = after.log_s.mean(axis=0) - before.log_s.mean(axis=0)
    variance, freedom = _spread(before, after)
    noisy = np.maximum(variance, after.within.mean(axis=0))
    error = np.sqrt(variance / len(old) + noisy / len(new) + (CANARY_DOUBT * drift) ** 2)
    slower, faster = (holm(stdtr(freedom, sign * slowdown / error)) for sign in (-1, 1))
    return {
        case: Change(
            slowdown=float(slowdown[index]),
            error=float(error[index]),
            freedom=freedom,
            spread=math.sqrt(variance[index]),
            p_slower=float(slower[index]),
            p_faster=float(faster[index]),
            cases=len(cases),
            canary_drift=float(drift[index]),
        )
        for index, case in enumerate(cases)
    }


def holm(p_values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return p-values adjusted so that those below a level are false in at most that share of matrices (Holm 1979)."""
    order = np.argsort(p_values)
    steps = p_values[order] * np.arange(len(p_values), 0, -1)
    adjusted = np.empty_like(p_values)
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1)
    return adjusted


@dataclass(frozen=True, slots=True)
class _Figures:
    """Arrays [runs, cases]."""

    log_s: NDArray[np.float64]
    canary: NDArray[np.float64]
    within: NDArray[np.float64]
    """Variance of a run's figure as its own rounds show it."""


def _figures(runs: Sequence[Matrix], cases: Sequence[str]) -> _Figures:
    found = np.array([[_figure(run[case]) for case in cases] for run in runs])
    return _Figures(found[..., 0], found[..., 1], found[..., 2])


def _figure(visits: Sequence[Visit]) -> tuple[float, float, float]:
    """Return a run's figure for one case, the canary's, and the variance of the first by the rounds alone.

    The fastest visit speaks for the run: what else a machine does can only slow a case down, and a case that really
    is slower is so at every visit.
    """
    best = min(visits, key=lambda visit: visit.median_s)
    logs = [math.log(value) for value in best.samples_s]
    canary = sum(math.log(value) for value in best.canary_s) / 2 if best.canary_s else 0.0
    within = float(np.var(logs, ddof=1)) if len(logs) > 1 else 0.0
    return math.log(best.median_s), canary, within


def _spread(before: _Figures, after: _Figures) -> tuple[NDArray[np.float64], float]:
    """Return each case's moderated variance between runs, and the degrees of freedom that it has."""
    least = _LEAST_SPREAD**2
    own_freedom = len(before.log_s) + len(after.log_s) - 2
    if own_freedom == 0:
        # One process each: only the rounds can speak, and they flatter. `compare` of single runs says so.
        return np.maximum(np.maximum(before.within[0], after.within[0]), least), 7.0
    squares = sum(
        (len(part.log_s) - 1) * part.log_s.var(axis=0, ddof=1) for part in (before, after) if len(part.log_s) > 1
    )
    own = np.maximum(np.asarray(squares) / own_freedom, least)
    shared, prior = _prior(own, own_freedom)
    freedom = min(prior, own_freedom * float(len(own))) + own_freedom
    weight = 1.0 if math.isinf(prior) else prior / (prior + own_freedom)
    # A case that is itself noisier than the others is not made quieter by them.
    moderated = np.maximum(weight * shared + (1 - weight) * own, own)
    typical = math.exp(float(np.log(moderated).mean()) / 2)
    return moderated, min(freedom, max(_LEAST_FREEDOM, _TAILS / typical))


def _prior(variances: NDArray[np.float64], freedom: float) -> tuple[float, float]:
    """Return the variance that the cases share and the degrees of freedom it is worth (Smyth 2004, section 6.2)."""
    if len(variances) == 1:
        return float(variances[0]), 0.0
    logs = np.log(variances) - digamma(freedom / 2) + math.log(freedom / 2)
    excess = float(np.var(logs, ddof=1)) - float(polygamma(1, freedom / 2))
    if excess <= 0:
        return math.exp(float(logs.mean())), math.inf
    prior = 2 * _inverse_trigamma(excess)
    return math.exp(float(logs.mean()) + float(digamma(prior / 2)) - math.log(prior / 2)), prior


def _inverse_trigamma(value: float) -> float:
    """Return y with trigamma(y) = value, by Newton's method on 1 / trigamma."""
    y = 0.5 + 1 / value
    for _ in range(50):
        here = float(polygamma(1, y))
        step = here * (1 - here / value) / float(polygamma(2, y))
        y += step
        if -step / y < 1e-8:  # noqa: PLR2004 - Smyth's own bound
            break
    return y
