"""The spread of a baseline's cases in sentences that a document can quote: how many of what, and how far apart."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

from bench.spread import pooled_fps, uncertainty

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from bench.spread import Apart, Spread


def in_words(spreads: Sequence[Spread]) -> list[str]:
    """Return what cases say together of their spread within builds, between builds, and where builds are not told."""
    lines = []
    within = [(each, each.within) for each in spreads if each.within]
    between = [(each, each.between) for each in spreads if each.between]
    untold = [(each, each.untold) for each in spreads if each.untold]
    if within:
        lines.append(f"Between process runs of one build {_apart(within)}.")
    if between:
        lines.append(f"Between builds {_apart(between)}, the noise of their runs included: {_chance(between)}.")
    if untold:
        told = "these runs do not tell their builds, of which there may be several"
        lines.append(f"Between process runs {_apart(untold)}; {told}.")
    alone = [each for each in spreads if each.builds == 1]
    if alone:
        lines.append(f"{_cases(alone)} ran as one build alone: how far builds lie apart is not known of them.")
    return lines


def doubt(spreads: Sequence[Spread]) -> str:
    """Return how little a single case's standard deviation is worth, at the fewest degrees of freedom of all."""
    parts = [part for each in spreads for part in (each.within, each.between, each.untold) if part]
    if not parts:
        return "No case has two runs to compare."
    least = min(part.freedom for part in parts)
    low, high = uncertainty(least)
    return (
        f"A standard deviation of {_several([least], 'degree')} of freedom may in truth be {low:.2g} to {high:.2g}"
        " times as large (95 %): the range over cases is wider by that than the cases differ."
    )


def dice_words(dice: float) -> str:
    """Return a difference of Dice, to the six digits that are stored."""
    return f"{dice:.6f}" if dice else "0"


def _apart(found: Sequence[tuple[Spread, Apart]]) -> str:
    """Return how far FPS and Dice of these cases lie apart."""
    shares = sorted(apart.fps for _, apart in found)
    pool = pooled_fps([apart for _, apart in found])
    counted = _counted([each for each, _ in found])
    one = f"the FPS of {found[0][0].case} differed by {_percent(shares[0])} (standard deviation; {counted})"
    many = (
        f"a case's FPS differed by {100 * shares[0]:.2f} to {_percent(shares[-1])} (standard deviation; median "
        f"{_percent(statistics.median(shares))}, pooled {_percent(pool.fps)}; {counted})"
    )
    worst, apart = max(found, key=lambda item: item[1].dice)
    dice = f"an image's Dice by at most {dice_words(apart.dice)} ({worst.case})" if apart.dice else "no Dice differed"
    return f"{one if len(found) == 1 else many}, and {dice}"


def _chance(between: Sequence[tuple[Spread, Apart]]) -> str:
    """Return how much of the spread between builds their runs alone make."""
    pairs = [(apart, each.chance) for each, apart in between if each.chance is not None]
    if not pairs:
        return "no build ran twice, which would tell how much that is"
    freedom = sum(apart.freedom for apart, _ in pairs)
    noise = (sum(apart.freedom * chance**2 for apart, chance in pairs) / freedom) ** 0.5
    seen = pooled_fps([apart for apart, _ in pairs]).fps
    cases = "" if len(pairs) == len(between) else f" in the {_cases(pairs)} with a build that ran twice"
    return f"by that alone it would be {_percent(noise)} where {_percent(seen)} was seen (pooled{cases})"


def _counted(spreads: Sequence[Spread]) -> str:
    runs = _several([each.runs for each in spreads], "run")
    builds = f" and {_several([each.builds for each in spreads], 'build')}" if all(x.builds for x in spreads) else ""
    return f"{_cases(spreads)} of {runs}{builds}" if len(spreads) > 1 else f"{runs}{builds}"


def _several(counts: Iterable[int], what: str) -> str:
    """Return `3 runs`, `3 to 5 runs` or `1 run`."""
    ordered = sorted(counts)
    low, high = ordered[0], ordered[-1]
    number = f"{low}" if low == high else f"{low} to {high}"
    return f"{number} {what}{'' if high == 1 else 's'}"


def _cases(found: Sequence[object]) -> str:
    return _several([len(found)], "case")


def _percent(share: float) -> str:
    return f"{100 * share:.2f} %"
