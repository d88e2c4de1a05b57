"""What a case's speed owes to the build of its engine: builders that time kernels pick others each time they run.

Builds of one case differ by luck, as process runs do, but no further run of the same build makes that less. What they
differ by is taken from the builds that a baseline holds, pooled over the cases of a backend; where it holds one build
of each, it is assumed (`bench.limits.BUILD_SPREADS`).
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.case import parse_case
from bench.limits import BUILD_SPREAD, BUILD_SPREADS
from bench.spread import pooled_fps, spread_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from bench.entries import BaselineEntry
    from bench.results import Run
    from bench.spread import Apart


@dataclass(frozen=True, slots=True)
class Builds:
    """The engines of a case's runs, a digest per run, and how far builds of such a case lie apart."""

    old: tuple[str, ...]
    new: tuple[str, ...]
    apart: float
    """Standard deviation between builds, as a share of the FPS."""
    freedom: float
    """Degrees of freedom of that standard deviation."""

    @property
    def variance(self) -> float:
        """What builds add to the variance of the change from the old runs to the new: 0 where all are of one build."""
        old, new = Counter(self.old), Counter(self.new)
        shares = (new[digest] / len(self.new) - old[digest] / len(self.old) for digest in old | new)
        return self.apart**2 * sum(share**2 for share in shares)


def builds_of(
    runs: Sequence[Run], entries: Mapping[str, BaselineEntry], stored: Iterable[BaselineEntry]
) -> dict[str, Builds]:
    """Return the builds of every case whose runs all tell their engines; `stored` tells how far builds lie apart.

    The new ones are those of `runs`, then those of their reruns, run by run.
    """
    spreads = {entry.key: spread_of(entry).between for entry in stored}
    kinds: dict[str, list[Apart]] = defaultdict(list)
    for (case, *_), found in spreads.items():
        if found:
            kinds[parse_case(case).backend].append(found)
    builds = {}
    for case, entry in entries.items():
        old = [run.engine for run in entry.current.runs]
        rows = [run.rows[case] for run in runs]
        new = [row.info.get("engine_digest", "") for row in [*rows, *(row for row in rows for _ in row.reruns)]]
        if all((*old, *new)):
            apart, freedom = _apart(parse_case(case).backend, kinds, spreads.get(entry.key))
            builds[case] = Builds(tuple(old), tuple(new), apart, freedom)
    return builds


def _apart(backend: str, kinds: Mapping[str, Sequence[Apart]], own: Apart | None) -> tuple[float, float]:
    """Return the standard deviation between builds of a case, and its degrees of freedom."""
    if backend not in kinds:
        return BUILD_SPREADS.get(backend, BUILD_SPREAD), math.inf
    pooled = pooled_fps(kinds[backend])
    # A case whose own builds differ by more than the others' is not made steadier by them.
    return max(pooled.fps, own.fps if own else 0.0), float(pooled.freedom)
