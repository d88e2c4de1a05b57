"""What the gate says of engines that were really slowed, and of a neighbour that began half-way, in a trace."""

from __future__ import annotations

import math
import random
import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.replay import judge, merged

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.traces import Run, Trace


@dataclass(frozen=True, slots=True)
class Injected:
    """One thing that was done on purpose."""

    name: str
    loss: float | None
    """Share of the FPS that it really cost: the median over runs against the plain engine in the same process."""
    runs: int
    """Real process runs that it was done in."""
    flagged: float
    """Share of replays in which the slowed case was flagged, or any case where none was slowed."""


def score_injected(trace: Trace, trials: int, baseline_runs: int, runs: int) -> list[Injected]:
    """Replay each injection: plain runs are the baseline, and the new runs hold the slowed engine in the case's place.

    A neighbour slows no engine: what is flagged beside one is a false alarm.
    """
    draw = random.Random(0)  # noqa: S311 - not for secrets
    found = []
    for name in trace.slowed:
        case = name.partition("@")[0]
        caught = 0
        for _ in range(trials):
            old, new = _drawn(draw, trace.runs, trace.runs, baseline_runs, runs)
            swapped = [{**run, case: run[name]} for run in new]
            caught += case in _judged(old, swapped, trace.cases)
        found.append(Injected(name, _loss(trace, case, name), len(trace.runs), caught / trials))
    if trace.disturbed:
        alarms = 0
        for _ in range(trials):
            old, new = _drawn(draw, trace.runs, trace.disturbed, baseline_runs, runs)
            alarms += bool(_judged(old, new, trace.cases))
        found.append(Injected("a neighbour from half-way on", None, len(trace.disturbed), alarms / trials))
    return found


def _drawn(
    draw: random.Random, plain: Sequence[Run], other: Sequence[Run], baseline_runs: int, runs: int
) -> tuple[Sequence[Run], Sequence[Run]]:
    if plain is other:
        drawn = draw.sample(plain, baseline_runs + runs)
        return drawn[:baseline_runs], drawn[baseline_runs:]
    return draw.sample(plain, baseline_runs), draw.sample(other, min(runs, len(other)))


def _judged(old: Sequence[Run], new: Sequence[Run], cases: Sequence[str]) -> set[str]:
    before, after = ([{case: merged(run[case]) for case in cases} for run in part] for part in (old, new))
    return judge(before, after, cases)[0]


def _loss(trace: Trace, case: str, name: str) -> float:
    logs = (math.log(merged(run[name])[0].median_s / merged(run[case])[0].median_s) for run in trace.runs)
    return 1 - math.exp(-statistics.median(logs))
