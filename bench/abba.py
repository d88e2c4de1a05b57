"""Two engines timed in turns, A B B A, so that what changes slowly on the machine hits both alike.

A turn's fastest round tells most of an engine: what else runs on a shared machine only adds to a round, and seldom to
all of a turn. But a change may slow some rounds and leave the fastest alone, so that the median ones are asked too.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from bench.sequential import ALPHA, LEAST_PAIRS, differs, look
from bench.timing import Stopwatch

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from bench.change import Interval
    from bench.visits import Visit

    Seconds = NDArray[np.float64]

MARGIN = 0.01
"""Share of the FPS that is no difference, where nothing else is asked for."""
BUDGET_S = 120.0
"""Seconds spent on a case at most, where nothing else is asked for."""
PARTS = (0.25, 0.5, 1.0, 2.0)
"""Shares of the budget after which verdicts are counted; a second pair of processes may take as long as the first."""
TURN_S = 0.1
"""Seconds of rounds a turn: short beside what else comes and goes on a machine, long beside a switch of process."""
_LOOKS = 1.5
"""Each look waits for this many times the pairs of the last: each costs some of the error budget."""


@dataclass(frozen=True, slots=True)
class Settled:
    """How a comparison ended."""

    verdict: str | None
    """`slower`, `faster` or `same` of B against A, or None when the budget ended first."""
    interval: Interval
    """Images per second of B over those of A."""
    rounds: str
    """The rounds of each turn that it is of: `fastest`, or `median` where they alone found a difference."""
    pairs: int
    seconds: float


def measure(
    a: Callable[[float], Visit],
    b: Callable[[float], Visit],
    margin: float,
    budget_s: float,
    watch: Stopwatch | None = None,
) -> Settled:
    """Time A and B in turns until the sequential test is sure, or the budget is spent, with at least a few pairs.

    The fastest and the median rounds have half of the error budget each. A difference is one that either finds and the
    other does not deny; `same` is what the fastest say.
    """
    watch = watch or Stopwatch()
    ratios: list[Seconds] = []
    looks, due = 0, LEAST_PAIRS
    while True:
        first = _turn(a)
        ratios.append(_turn(b) - first)
        second = _turn(b)
        ratios.append(second - _turn(a))
        over = watch.elapsed_s >= budget_s and len(ratios) >= LEAST_PAIRS
        if len(ratios) < due and not over:
            continue
        looks += 1
        due = math.ceil(len(ratios) * _LOOKS)
        # The two halves of an ABBA share what drifts through it: they count as one value.
        halves = (np.array(ratios[::2]) + np.array(ratios[1::2])) / 2
        fastest, median = (look(column.tolist(), looks, margin, ALPHA / 2) for column in halves.T)
        told = {each.verdict for each in (fastest, median) if differs(each.verdict)}
        rounds, found = ("median", median) if told and not differs(fastest.verdict) else ("fastest", fastest)
        verdict = None if len(told) > 1 else found.verdict
        if verdict or over:
            return Settled(verdict, found.interval, rounds, len(ratios), watch.elapsed_s)


def confirmed(first: Settled, again: Callable[[float], Settled], budget_s: float) -> Settled:
    """Return what two pairs of processes say: a difference stands where a second pair, started anew, shows it too.

    Two processes of the same engine differ a little for as long as they live, by where their memory lies; turns
    between them do not take that out. `again` starts the second pair and times it for at most the seconds given.
    """
    if not differs(first.verdict):
        return first
    second = again(max(budget_s - first.seconds, first.seconds))
    verdict = second.verdict if second.verdict == first.verdict else None
    return replace(second, verdict=verdict, pairs=first.pairs + second.pairs, seconds=first.seconds + second.seconds)


def _turn(engine: Callable[[float], Visit]) -> Seconds:
    """Return the logarithms of the seconds of a turn's fastest and median rounds."""
    visit = engine(TURN_S)
    return np.log([visit.fastest_s, visit.median_s])
