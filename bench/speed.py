"""Whether a case is as fast as it was: an interval and its significance become a fault, a doubt or a gain."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from bench.builds import builds_of
from bench.case import parse_case
from bench.change import ALPHA
from bench.entries import speed
from bench.intervals import compare
from bench.limits import ANCHOR_FPS_DROP, LEAST_FPS_DROP, MAX_FPS_DROP, SPREADS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from bench.change import Change, Interval
    from bench.entries import BaselineEntry
    from bench.results import Run
    from bench.visits import Visit

MOST_RUNS = 7
"""Process runs of a case a session makes at most: at a second each, what fits into 10 s of timing a case.

Five were too few in a simulation to see 2 % at a spread of 0.5 % in nine of ten trials.
"""
ENOUGH_RUNS = 3
"""The same where builds differ by more than runs do: one run that was far off does not decide, more tell nothing."""


@dataclass(frozen=True, slots=True)
class Speed:
    """What the clock says of one case: at most one of fault, doubt and gain, in words."""

    interval: Interval
    summary: str
    undecided: bool
    """Whether timing the case again could settle it."""
    fault: str | None = None
    doubt: str | None = None
    gain: str | None = None


def changes(
    runs: Sequence[Run], entries: Mapping[str, BaselineEntry], stored: Iterable[BaselineEntry] = ()
) -> dict[str, Change]:
    """Return the change of each case's speed from its entry to these runs, judged as one matrix.

    `stored` are all entries of the machine, which tell how far builds lie apart (default: those compared).
    """
    cases = [case for case in entries if all(case in run.rows for run in runs)]
    # Entries accepted at different times may hold different numbers of runs, and only what was undecided was run again.
    held = {case: entries[case].current.runs for case in cases}
    old = _runs({case: [run.visits for run in found] for case, found in held.items()})
    for index in range(max(map(len, held.values()), default=0)):
        old += _runs(
            {case: [[each] for run in found[index : index + 1] for each in run.reruns] for case, found in held.items()}
        )
    new = [_blocks({case: run.rows[case].visits for case in cases}) for run in runs]
    for run in runs:
        new += _runs({case: [_in_blocks([visit]) for visit in run.rows[case].reruns] for case in cases})
    compared = {case: entries[case] for case in cases}
    return compare(old, new, cases, builds_of(runs, compared, list(stored) or list(compared.values())))


def _runs(by_case: Mapping[str, Sequence[Sequence[Visit]]]) -> list[dict[str, Sequence[Visit]]]:
    """Return each case's runs as runs of the matrix, the later ones of fewer cases."""
    count = max((len(found) for found in by_case.values()), default=0)
    return [{case: found[index] for case, found in by_case.items() if index < len(found)} for index in range(count)]


def _blocks(visits: Mapping[str, Sequence[Visit]]) -> dict[str, Sequence[Visit]]:
    return {case: _in_blocks(found) for case, found in visits.items()}


def _in_blocks(visits: Sequence[Visit]) -> tuple[Visit, ...]:
    return tuple(visit.in_blocks() for visit in visits)


def limit_of(change: Change, given: float | None = None) -> float:
    """Return the loss of FPS a case may show: the one given, or what its machine's noise allows, 1 % to 5 %."""
    if given is not None:
        return given
    return min(MAX_FPS_DROP, max(LEAST_FPS_DROP, SPREADS * math.hypot(change.spread, change.apart)))


def is_slower(change: Change, given: float | None = None) -> bool:
    """Whether a case lost speed: more than chance explains in the whole matrix, and more than its limit."""
    return change.p_slower < ALPHA and 1 - change.interval.ratio > limit_of(change, given)


def is_undecided(change: Change, given: float | None = None) -> bool:
    """Whether running a case again could settle it: half a loss was seen, or a whole one is not excluded.

    Half, so that a real loss of just its limit, of which chance hides a part, is hardly ever dropped at the first look.
    """
    if change.runs >= (ENOUGH_RUNS if change.by_builds else MOST_RUNS):
        return False
    return 1 - change.interval.ratio > limit_of(change, given) / 2 or is_doubtful(change, given)


def is_doubtful(change: Change, given: float | None = None) -> bool:
    """Whether a loss that is never let pass as noise is not excluded."""
    return change.worst_loss > (MAX_FPS_DROP if given is None else given)


def judge_speed(change: Change, entry: BaselineEntry, given: float | None = None) -> Speed:
    """Return what a case's change of speed means; `given` is a limit that someone set, as a share."""
    limit, interval = limit_of(change, given), change.interval
    summary = words(change, entry)
    if change.canary_drift > SPREADS * max(change.spread, LEAST_FPS_DROP):
        summary += f", on a machine whose canary was {math.expm1(change.canary_drift):.0%} slower"
    slower = f"{summary}, limit {-limit:.1%}" if is_slower(change, given) else None
    again = is_undecided(change, given)
    faults = [fault for fault in (slower, _since_anchor(change, entry)) if fault]
    if faults:
        return Speed(interval, summary, again, fault="; ".join(faults))
    if is_doubtful(change, given):
        seen = f"a loss below {change.smallest_seen:.0%} could not have been seen for sure"
        return Speed(interval, summary, again, doubt=f"{summary}: {seen}")
    if change.p_faster < ALPHA and interval.ratio - 1 > limit:
        return Speed(interval, summary, again, gain=summary)
    return Speed(interval, summary, again)


def words(change: Change, entry: BaselineEntry) -> str:
    """Return a change of speed as a person reads it."""
    interval = change.interval
    # Rounding first keeps a zero from being shown as a loss.
    ratio, low, high = (round(value - 1, 3) + 0.0 for value in (interval.ratio, interval.low, interval.high))
    old_fps, runs = _old_fps(change, entry), entry.current.processes
    own = "" if change.old_runs == runs else f", against {change.old_runs} of {runs} runs, those of its own build"
    new_fps = old_fps * interval.ratio
    return f"FPS {old_fps:.1f} -> {new_fps:.1f}, {ratio:+.1%} (99% interval {low:+.1%} to {high:+.1%}){own}"


def _old_fps(change: Change, entry: BaselineEntry) -> float:
    return parse_case(entry.case).batch_size / change.old_s


def _since_anchor(change: Change, entry: BaselineEntry) -> str | None:
    if entry.anchor is None:
        return None
    first, luck = speed(entry.case, entry.anchor), 0.0
    engines = tuple(run.engine for run in entry.anchor.runs)
    if change.builds and all(engines):
        # The runs may be of the present record's build and the anchor of another.
        luck = max(replace(change.builds, old=engines).variance - change.builds.variance, 0.0)
    high = math.exp(-change.slowdown + change.reach(0.995) * math.sqrt(change.error**2 + luck))
    old_fps = _old_fps(change, entry)
    ratio = old_fps * high / first
    if 1 - ratio <= ANCHOR_FPS_DROP:
        return None
    now = old_fps * change.interval.ratio
    since = f"since the anchor of {entry.anchor.accepted.when[:10]}"
    return f"FPS {first:.1f} -> {now:.1f} {since}, {now / first - 1:+.1%}, limit {-ANCHOR_FPS_DROP:.0%}"
