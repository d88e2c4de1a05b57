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
from bench.speed import MOST_RUNS, is_slower, is_undecided
from bench.visits import Visit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from bench.traces import Trace

    Matrix = Mapping[str, Sequence[Visit]]
    Rule = Callable[[Sequence[Visit], Sequence[Visit]], bool]
    """Whether the second run is worse than the first."""

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
    runs: float
    """Process runs per case that the rule used, on average over unchanged runs."""


def slowed(visits: Sequence[Visit], loss: float) -> tuple[Visit, ...]:
    """Return visits as they would be with this share of the FPS lost; the canary stays."""
    return tuple(replace(visit, samples_s=tuple(value / (1 - loss) for value in visit.samples_s)) for visit in visits)


def judge(old: Sequence[Matrix], new: Sequence[Matrix], cases: Sequence[str]) -> tuple[set[str], float]:
    """Return the cases this gate flags and the runs per case it used: an undecided case is run again, while it can."""
    used = dict.fromkeys(cases, 1)
    while True:
        runs = [{case: run[case] for case in cases if index < used[case]} for index, run in enumerate(new)]
        found = compare(old, runs, cases)
        left = [case for case in cases if used[case] < len(new) and is_undecided(found[case])]
        if not left:
            break
        for case in left:
            used[case] += 1
    return {case for case in cases if is_slower(found[case])}, sum(used.values()) / len(cases)


def merged(visits: Sequence[Visit]) -> tuple[Visit]:
    """Return one visit of all rounds of a run: what a session times at a stretch, a trace times in parts."""
    readings = [visit.canary_s for visit in visits]
    canary = tuple(statistics.median(pair[end] for pair in readings if pair) for end in (0, 1)) if all(readings) else ()
    return (Visit(tuple(_samples(visits)), (canary[0], canary[1]) if canary else None),)


def pytest_benchmark(figure: Callable[[Sequence[float]], float]) -> Rule:
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


OTHERS: Mapping[str, Rule] = {
    "pytest-benchmark median:5%": pytest_benchmark(statistics.median),
    "pytest-benchmark mean:5%": pytest_benchmark(statistics.fmean),
    "asv 1.1, p<0.002": asv,
    "fixed 5 % of one mean": fixed,
}


COUNTS = ((3, 1), (3, 3), (3, 7), (5, 1), (5, 3), (5, 7), (10, 1), (10, 3), (10, 7))
"""Runs in the baseline and runs judged at most."""


def score(trace: Trace, trials: int, baseline_runs: int, runs: int = MOST_RUNS) -> list[Score]:
    """Replay a trace: in each trial some runs drawn at random are the baseline, others the new one and its repeats.

    The other rules compare the first new run with one of the baseline's.
    """
    return _scored(trace, trials, (baseline_runs, runs), OTHERS)


def curve(trace: Trace, trials: int) -> Iterator[Score]:
    """Yield the gate's score with each of `COUNTS` that the trace holds enough runs for."""
    for counts in COUNTS:
        if sum(counts) <= len(trace.runs):
            (found,) = _scored(trace, trials, counts, {})
            yield replace(found, rule=f"{counts[0]} and {counts[1]}")


def _scored(trace: Trace, trials: int, counts: tuple[int, int], others: Mapping[str, Rule]) -> list[Score]:
    baseline_runs, runs = counts
    draw = random.Random(0)  # noqa: S311 - not for secrets
    cases = trace.cases
    whole = [{case: merged(run[case]) for case in cases} for run in trace.runs]
    rules = (GATE, *others)
    alarms = dict.fromkeys(rules, 0)
    caught = {rule: dict.fromkeys(SIZES, 0) for rule in rules}
    repeats = 0.0
    for _ in range(trials):
        drawn = draw.sample(whole, baseline_runs + runs)
        old, new = drawn[:baseline_runs], drawn[baseline_runs:]
        flagged, used = judge(old, new, cases)
        alarms[GATE] += bool(flagged)
        repeats += used
        for rule, fails in others.items():
            alarms[rule] += any(fails(old[0][case], new[0][case]) for case in cases)
        case = draw.choice(cases)
        for size in SIZES:
            changed = [{**run, case: slowed(run[case], size)} for run in new]
            caught[GATE][size] += case in judge(old, changed, cases)[0]
            for rule, fails in others.items():
                caught[rule][size] += fails(old[0][case], changed[0][case])
    return [
        Score(
            rule,
            alarms[rule] / trials,
            {size: count / trials for size, count in caught[rule].items()},
            repeats / trials if rule == GATE else 1.0,
        )
        for rule in rules
    ]


def _samples(visits: Sequence[Visit]) -> list[float]:
    return [value for visit in visits for value in visit.samples_s]
