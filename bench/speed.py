"""Whether a case is as fast as it was: an interval and its significance become a fault, a doubt or a gain."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.entries import speed
from bench.intervals import ALPHA, compare
from bench.limits import ANCHOR_FPS_DROP, LEAST_FPS_DROP, MAX_FPS_DROP, SPREADS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bench.entries import BaselineEntry
    from bench.intervals import Change, Interval
    from bench.results import Run


@dataclass(frozen=True, slots=True)
class Speed:
    """What the clock says of one case: at most one of fault, doubt and gain, in words."""

    interval: Interval
    summary: str
    fault: str | None = None
    doubt: str | None = None
    gain: str | None = None


def changes(runs: Sequence[Run], entries: Mapping[str, BaselineEntry]) -> dict[str, Change]:
    """Return the change of each case's speed from its entry to these runs, judged as one matrix."""
    cases = [case for case in entries if all(case in run.rows for run in runs)]
    if not cases:
        return {}
    # Entries accepted at different times may hold different numbers of runs: the latest count.
    count = min(len(entries[case].current.runs) for case in cases)
    old = [{case: entries[case].current.runs[-1 - back].visits for case in cases} for back in range(count)]
    new = [{case: tuple(visit.in_blocks() for visit in run.rows[case].visits) for case in cases} for run in runs]
    return compare(old, new, cases)


def limit_of(change: Change, given: float | None) -> float:
    """Return the loss of FPS a case may show: the one given, or what its machine's noise allows, 1 % to 5 %."""
    if given is not None:
        return given
    return min(MAX_FPS_DROP, max(LEAST_FPS_DROP, SPREADS * change.spread))


def is_slower(change: Change, given: float | None = None) -> bool:
    """Whether a case lost speed: more than chance explains in the whole matrix, and more than its limit."""
    return change.p_slower < ALPHA and 1 - change.interval.ratio > limit_of(change, given)


def is_undecided(change: Change, given: float | None = None) -> bool:
    """Whether timing a case again could settle it: a loss to be confirmed, or one that is not excluded."""
    return is_slower(change, given) or change.worst_loss > (MAX_FPS_DROP if given is None else given)


def judge_speed(change: Change, entry: BaselineEntry, given: float | None = None) -> Speed:
    """Return what a case's change of speed means; `given` is a limit that someone set, as a share."""
    limit, interval = limit_of(change, given), change.interval
    summary = words(entry.fps, interval)
    if change.canary_drift > SPREADS * max(change.spread, LEAST_FPS_DROP):
        summary += f", on a machine whose canary was {math.expm1(change.canary_drift):.0%} slower"
    slower = f"{summary}, limit {-limit:.1%}" if is_slower(change, given) else None
    faults = [fault for fault in (slower, _since_anchor(change, entry)) if fault]
    if faults:
        return Speed(interval, summary, fault="; ".join(faults))
    if is_undecided(change, given):
        seen = f"a loss below {change.smallest_seen:.0%} could not have been seen for sure"
        return Speed(interval, summary, doubt=f"{summary}: {seen}")
    if change.p_faster < ALPHA and interval.ratio - 1 > limit:
        return Speed(interval, summary, gain=summary)
    return Speed(interval, summary)


def words(old_fps: float, interval: Interval) -> str:
    """Return a change of speed as a person reads it."""
    # Rounding first keeps a zero from being shown as a loss.
    ratio, low, high = (round(value - 1, 3) + 0.0 for value in (interval.ratio, interval.low, interval.high))
    new_fps = old_fps * interval.ratio
    return f"FPS {old_fps:.1f} -> {new_fps:.1f}, {ratio:+.1%} (99% interval {low:+.1%} to {high:+.1%})"


def _since_anchor(change: Change, entry: BaselineEntry) -> str | None:
    if entry.anchor is None:
        return None
    first = speed(entry.case, entry.anchor)
    ratio = entry.fps * change.interval.high / first
    if 1 - ratio <= ANCHOR_FPS_DROP:
        return None
    now = entry.fps * change.interval.ratio
    since = f"since the anchor of {entry.anchor.accepted.when[:10]}"
    return f"FPS {first:.1f} -> {now:.1f} {since}, {now / first - 1:+.1%}, limit {-ANCHOR_FPS_DROP:.0%}"
