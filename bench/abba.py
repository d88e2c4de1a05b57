"""Two engines timed in turns, A B B A, so that what changes slowly on the machine hits both alike."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.sequential import LEAST_PAIRS, look
from bench.timing import Stopwatch

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.intervals import Interval
    from bench.visits import Visit

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
    pairs: int
    seconds: float


def measure(
    a: Callable[[float], Visit],
    b: Callable[[float], Visit],
    margin: float,
    budget_s: float,
    watch: Stopwatch | None = None,
) -> Settled:
    """Time A and B in turns until the sequential test is sure, or the budget is spent, with at least a few pairs."""
    watch = watch or Stopwatch()
    ratios: list[float] = []
    looks, due = 0, LEAST_PAIRS
    while True:
        first = math.log(a(TURN_S).median_s)
        ratios.append(math.log(b(TURN_S).median_s) - first)
        second = math.log(b(TURN_S).median_s)
        ratios.append(second - math.log(a(TURN_S).median_s))
        over = watch.elapsed_s >= budget_s and len(ratios) >= LEAST_PAIRS
        if len(ratios) < due and not over:
            continue
        looks += 1
        due = math.ceil(len(ratios) * _LOOKS)
        # The two halves of an ABBA share what drifts through it: they count as one value.
        halves = [(one + other) / 2 for one, other in zip(ratios[::2], ratios[1::2], strict=True)]
        found = look(halves, looks, margin)
        if found.verdict or over:
            return Settled(found.verdict, found.interval, len(ratios), watch.elapsed_s)
