"""The gate's own benchmark: recorded runs replayed, as they are or one case slowed, under its rule and others.

The other rules are those of pytest-benchmark (`--benchmark-compare-fail`), of asv (a factor of 1.1 and Mann-Whitney
p < 0.002 on the samples of one run each) and of a fixed 5 % on one mean of FPS. They see all of a run's visits.
"""

from __future__ import annotations

import random
import statistics
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from scipy.stats import mannwhitneyu

from bench.intervals import compare
from bench.speed import is_slower, is_undecided

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from bench.traces import Trace
    from bench.visits import Visit

    Matrix = Mapping[str, Sequence[Visit]]

SIZES = (0.01, 0.02, 0.05, 0.10, 0.20)
"""Losses of FPS that are injected."""
GATE = "this gate"


@dataclass(frozen=True, slots=True)
class Score:
    """How one rule did on one trace."""

    rule: str
    false_alarms: float
    """Share of unchanged runs of the whole matrix in which any case was flagged."""
    detected: Mapping[float, float]
    """By injected loss, the share of runs in which the slowed case was flagged."""
    visits: float
    """Visits per case that the rule used, on average over unchanged runs."""


def slowed(visits: Sequence[Visit], loss: float) -> tuple[Visit, ...]:
    """Return visits as they would be with this share of the FPS lost; the canary stays."""
    return tuple(replace(visit, samples_s=tuple(value / (1 - loss) for value in visit.samples_s)) for visit in visits)


def judge(old: Sequence[Matrix], new: Matrix, cases: Sequence[str]) -> tuple[set[str], float]:
    """Return the cases this gate flags and the visits per case it used, as a session times undecided cases again."""
    most = min(len(new[case]) for case in cases)
    used = dict.fromkeys(cases, 1)
    while True:
        found = compare(old, [{case: new[case][: used[case]] for case in cases}], cases)
        left = [case for case in cases if used[case] < most and is_undecided(found[case])]
        if not left:
            break
        for case in left:
            used[case] += 1
    return {case for case in cases if is_slower(found[case])}, sum(used.values()) / len(cases)


def pytest_benchmark(figure: Callable[[Sequence[float]], float]) -> Callable[[Sequence[Visit], Sequence[Visit]], bool]:
    """Return the rule that fails where a figure of one run's seconds grew by more than 5 % over one earlier run's."""
    return lambda old, new: figure(_samples(new)) > 1.05 * figure(_samples(old))


def asv(old: Sequence[Visit], new: Sequence[Visit]) -> bool:
    """Return whether asv reports a regression from one run to another."""
    before, after = _samples(old), _samples(new)
    if statistics.median(after) <= 1.1 * statistics.median(before):
        return False
    return bool(mannwhitneyu(before, after).pvalue < 0.002)  # noqa: PLR2004 - asv's own


def fixed(old: Sequence[Visit], new: Sequence[Visit]) -> bool:
    """Return whether one mean of images per second fell by more than 5 %."""
    before, after = (statistics.fmean(1 / value for value in _samples(visits)) for visits in (old, new))
    return after < 0.95 * before


OTHERS: Mapping[str, Callable[[Sequence[Visit], Sequence[Visit]], bool]] = {
    "pytest-benchmark median:5%": pytest_benchmark(statistics.median),
    "pytest-benchmark mean:5%": pytest_benchmark(statistics.fmean),
    "asv 1.1, p<0.002": asv,
    "fixed 5 % of one mean": fixed,
}


def score(trace: Trace, trials: int, baseline_runs: int, seed: int = 0) -> list[Score]:
    """Replay a trace: in each trial some runs drawn at random are the baseline, and another is the new one."""
    draw = random.Random(seed)  # noqa: S311 - not for secrets
    cases = trace.cases
    rules = (GATE, *OTHERS)
    alarms = dict.fromkeys(rules, 0)
    caught = {rule: dict.fromkeys(SIZES, 0) for rule in rules}
    visits = 0.0
    for _ in range(trials):
        *old, new = draw.sample(trace.runs, baseline_runs + 1)
        flagged, used = judge(old, new, cases)
        alarms[GATE] += bool(flagged)
        visits += used
        for rule, fails in OTHERS.items():
            alarms[rule] += any(fails(old[0][case], new[case]) for case in cases)
        case = draw.choice(cases)
        for size in SIZES:
            changed = {**new, case: slowed(new[case], size)}
            caught[GATE][size] += case in judge(old, changed, cases)[0]
            for rule, fails in OTHERS.items():
                caught[rule][size] += fails(old[0][case], changed[case])
    every = float(min(len(visits) for visits in trace.runs[0].values()))
    return [
        Score(
            rule,
            alarms[rule] / trials,
            {size: count / trials for size, count in caught[rule].items()},
            visits / trials if rule == GATE else every,
        )
        for rule in rules
    ]


def _samples(visits: Sequence[Visit]) -> list[float]:
    return [value for visit in visits for value in visit.samples_s]
