"""When enough pairs are timed: a group-sequential test on paired log ratios, false alarms bounded over all looks.

Each look spends a share of the error budget, and the shares sum to less than one (alpha spending, Lan and DeMets 1983;
the shares fall as 1 / (k (k + 1))). The union bound over looks needs no assumption about how they depend.
"""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scipy.special import stdtrit

from bench.change import Interval

if TYPE_CHECKING:
    from collections.abc import Sequence

ALPHA = 0.01
"""Chance, per case, that equal engines are called different, however often one looks."""
OWN = 0.002
"""Share of the FPS that two processes of one engine may differ by for as long as they live: no difference of engines.

With this at 0, `python -m bench selftest fixtures/traces/two-cores-turns.json --trials 1000` called equal engines
different in 2.8 % of the replays, with it in 0.2 %.
"""
LEAST_PAIRS = 16
_TRIM = 0.2


@dataclass(frozen=True, slots=True)
class Look:
    """What the pairs say so far."""

    interval: Interval
    """New over old images per second, valid at every look at once."""
    verdict: str | None
    """`slower`, `faster` or `same` once sure; None while not."""


def look(log_ratios: Sequence[float], number: int, margin: float, alpha: float = ALPHA) -> Look:
    """Return what paired log ratios of seconds, new over old, say at this look (1, 2, ...), `alpha` for all of them.

    `same` means that a difference of `margin`, a share of the FPS, is excluded on either side.
    """
    middle, error, freedom = trimmed(log_ratios)
    spent = alpha / (number * (number + 1))
    reach = float(stdtrit(freedom, 1 - spent / 2)) * max(error, 1e-6)
    interval = Interval(*(math.exp(-middle + part) for part in (0, -reach, reach)))
    return Look(interval, _verdict(interval, margin))


def differs(verdict: str | None) -> bool:
    """Return whether a verdict is of a difference."""
    return verdict in ("slower", "faster")


def trimmed(values: Sequence[float]) -> tuple[float, float, int]:
    """Return the 20 % trimmed mean, its standard error and degrees of freedom (Yuen 1974).

    A burst of another process hits one engine of a pair and not the other: such pairs are cut off on both sides.
    """
    ordered = sorted(values)
    cut = int(_TRIM * len(ordered))
    kept = ordered[cut : len(ordered) - cut]
    drawn_in = [kept[0]] * cut + kept + [kept[-1]] * cut
    error = statistics.stdev(drawn_in) * math.sqrt((len(ordered) - 1) / (len(kept) * (len(kept) - 1)))
    return statistics.fmean(kept), error, len(kept) - 1


def _verdict(interval: Interval, margin: float) -> str | None:
    if interval.high < 1 - OWN:
        return "slower"
    if interval.low > 1 + OWN:
        return "faster"
    if interval.low > 1 - margin and interval.high < 1 + margin:
        return "same"
    return None
