"""What a case's speed owes to the build of its engine: builders that time kernels pick others each time they run.

Builds of one case differ by luck, as process runs do, but no further run of the same build makes that less. What they
differ by is assumed (`bench.limits.BUILD_SPREADS`), as a prior of few degrees of freedom, and learned from the builds
that a baseline holds, pooled over the cases of a backend of which the same is assumed.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.case import parse_case
from bench.limits import BUILD_FREEDOM, BUILD_SPREAD, BUILD_SPREADS
from bench.spread import Apart, pooled_fps, spread_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from bench.entries import BaselineEntry
    from bench.results import Run


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
        old, new = _weights(self.old), _weights(self.new)
        return self.apart**2 * sum((new[digest] - old[digest]) ** 2 for digest in old | new)

    @property
    def own(self) -> list[int]:
        """Positions of the old runs of the build that all new ones are of; none where those are of several."""
        return [index for index, digest in enumerate(self.old) if {digest} == set(self.new)]


def _weights(digests: Sequence[str]) -> Counter[str]:
    """Return the weight that each build has in the median of runs: all of it where more than half are of that build."""
    ((most, runs),) = Counter(digests).most_common(1)
    told = [most] if 2 * runs > len(digests) else digests
    return Counter({digest: count / len(told) for digest, count in Counter(told).items()})


def builds_of(
    runs: Sequence[Run], entries: Mapping[str, BaselineEntry], stored: Iterable[BaselineEntry]
) -> dict[str, Builds]:
    """Return the builds of every case that a builder may get unlike and whose runs all tell their engines.

    Old and new ones are those of the runs, then those of their reruns, run by run. `stored` tells how far builds lie
    apart.
    """
    spreads = {entry.key: spread_of(entry).between for entry in stored}
    kinds: dict[tuple[str, float], list[Apart]] = defaultdict(list)
    for (case, *_), found in spreads.items():
        if found:
            kinds[_kind(case)].append(found)
    builds = {}
    for case, entry in entries.items():
        stored_runs = entry.current.runs
        old = [run.engine for run in [*stored_runs, *(run for run in stored_runs for _ in run.reruns)]]
        rows = [run.rows[case] for run in runs]
        new = [row.info.get("engine_digest", "") for row in [*rows, *(row for row in rows for _ in row.reruns)]]
        kind = _kind(case)
        if kind[1] and all((*old, *new)):
            apart, freedom = _apart(kind[1], kinds[kind], spreads.get(entry.key))
            builds[case] = Builds(tuple(old), tuple(new), apart, freedom)
    return builds


def assumed(case: str) -> float:
    """Return what builds of a case are taken to differ by, whatever a baseline holds: a share of the FPS."""
    parsed = parse_case(case)
    names = (f"{parsed.backend}-{parsed.arithmetic}", parsed.backend)
    return next((BUILD_SPREADS[name] for name in names if name in BUILD_SPREADS), BUILD_SPREAD)


def _kind(case: str) -> tuple[str, float]:
    """Return which cases' builds are alike in how far they lie apart: the backend, and what is assumed of it."""
    return parse_case(case).backend, assumed(case)


def _apart(prior: float, alike: Sequence[Apart], own: Apart | None) -> tuple[float, int]:
    """Return the standard deviation between builds of a case, and its degrees of freedom.

    What is assumed counts beside what the baseline holds: two builds of one case alone would say nothing of others.
    """
    pooled = pooled_fps([Apart(prior, BUILD_FREEDOM, 0.0), *alike])
    # A case whose own builds differ by more than the others' is not made steadier by them.
    return max(pooled.fps, own.fps if own else 0.0), pooled.freedom
