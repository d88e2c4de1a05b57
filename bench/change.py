"""What is known of a change of speed: how large it is, how sure that is, and what could not have been seen."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scipy.special import stdtrit

if TYPE_CHECKING:
    from bench.builds import Builds

ALPHA = 0.01
"""False alarms of slowness allowed per judged matrix, whatever its number of cases (asked for, not estimated)."""
_POWER = 0.9


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
