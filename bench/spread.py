"""How far a case's FPS and Dice lie apart between process runs of one build and between builds, as a baseline has it.

FPS are compared as the gate compares them: by the logarithm of each run's seconds per inference, whose standard
deviation is that of the FPS as a share, whatever each build's own speed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import chdtri

from bench.entries import mean_scores
from bench.variances import pooled

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.entries import BaselineEntry, Scores, StoredRun

    Builds = Sequence[Sequence[StoredRun]]
    """The runs of each build."""

_TAIL = 0.025


@dataclass(frozen=True, slots=True)
class Apart:
    """How far runs, or builds, of one case lie apart."""

    fps: float
    """Standard deviation of the FPS, as a share."""
    freedom: int
    """Degrees of freedom of that standard deviation."""
    dice: float
    """Largest difference of any image's and class's Dice, against the FP32 masks or the truth."""


@dataclass(frozen=True, slots=True)
class Spread:
    """One case's spread in its stored runs."""

    case: str
    runs: int
    builds: int
    """How many engines of different digests ran; 0 where a run did not tell its own."""
    within: Apart | None
    """Between process runs of one build, pooled over the builds; None where no build ran twice."""
    between: Apart | None
    """Between the means of builds, the noise of their runs included; None for one build."""
    chance: float | None
    """What `between.fps` would be if builds did not differ, by the noise of their runs; None where that is unknown."""
    untold: Apart | None
    """Between process runs of an unknown number of builds; None where the builds are told."""


def spread_of(entry: BaselineEntry) -> Spread:
    """Return how far an entry's present runs lie apart.

    Within a build: the root of the squares about each build's mean over their degrees of freedom, runs less builds.
    Between builds: the standard deviation of the builds' means. Each mean of n runs has variance within**2 / n of its
    own, which is not taken out of it: the root of their mean is `chance`.
    """
    runs = entry.current.runs
    if not all(run.engine for run in runs):
        return Spread(entry.case, len(runs), 0, None, None, None, _between_runs([runs]))
    builds = [[run for run in runs if run.engine == digest] for digest in sorted(entry.builds)]
    within, between = _between_runs(builds), _between_builds(builds)
    shares = sum(1 / len(build) for build in builds) / len(builds)
    chance = within.fps * math.sqrt(shares) if within and between else None
    return Spread(entry.case, len(runs), len(builds), within, between, chance, None)


def pooled_fps(found: Sequence[Apart]) -> Apart:
    """Return what several cases say together: root mean square of the FPS by degrees of freedom, and the worst Dice."""
    freedom = sum(each.freedom for each in found)
    variance = sum(each.freedom * each.fps**2 for each in found) / freedom
    return Apart(math.sqrt(variance), freedom, max(each.dice for each in found))


def uncertainty(freedom: int) -> tuple[float, float]:
    """Return the least and the most that a true standard deviation is, in those found (95 %, normal noise)."""
    low, high = (math.sqrt(freedom / float(chdtri(freedom, tail))) for tail in (_TAIL, 1 - _TAIL))
    return low, high


def _between_runs(builds: Builds) -> Apart | None:
    variance, freedom = pooled(_logs(build) for build in builds)
    if not freedom:
        return None
    return Apart(math.sqrt(variance), freedom, max(_dice_apart([[run] for run in build]) for build in builds))


def _between_builds(builds: Builds) -> Apart | None:
    logs = [_logs(build) for build in builds]
    variance, freedom = pooled([[sum(each) / len(each) for each in logs]])
    return Apart(math.sqrt(variance), freedom, _dice_apart(builds)) if freedom else None


def _logs(runs: Sequence[StoredRun]) -> list[float]:
    return [math.log(run.median_s) for run in runs]


def _dice_apart(groups: Builds) -> float:
    """Return how far the mean Dice of groups of runs lie apart at most, over images, classes, FP32 masks and truth."""
    apart = _range([mean_scores([run.dice_fp32 for run in group]) for group in groups])
    truths = [[run.dice_truth for run in group if run.dice_truth is not None] for group in groups]
    known = [mean_scores(truth) for truth in truths if truth]
    return max(apart, _range(known)) if known else apart


def _range(scores: Sequence[Scores]) -> float:
    # Scores are stored to six digits: what is less is of a mean's rounding.
    return round(float(np.ptp(np.asarray(scores), axis=0).max()), 6)
