"""Process runs of one matrix of cases, recorded one after another; a run that dies is left out, and says so."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from bench.neighbour import beside
from bench.timing import Stopwatch
from bench.visits import Visit, block_medians
from bench.workers import HERE, WorkerError, worker

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from bench.neighbour import Neighbour
    from bench.workers import Client

    Run = dict[str, tuple[Visit, ...]]

_IN_A_ROW = 3
"""So many runs that die one after another are no accident."""


class Recorder:
    """Starts a process per run; the cases whose engines would not open in the first run are left out of all."""

    def __init__(self, spec: Mapping[str, Any], passes: int, seconds: float, say: Callable[[str], None]) -> None:
        self._spec = dict(spec)
        self._passes, self._seconds, self._say = passes, seconds, say
        self._died = 0

    @property
    def cases(self) -> list[str]:
        """The cases of each run."""
        return list(self._spec["cases"])

    def run(self, *, disturbed: bool = False) -> Run | None:
        """Return one process run's visits, or None where it died; `WorkerError` when several do, or no case opens.

        Every case is visited once per pass, so that visits to one case lie seconds apart. A disturbed run has a
        neighbour from the middle of its visits on.
        """
        watch = Stopwatch()
        neighbour = beside(str(self._spec["device"]), "steady") if disturbed else nullcontext()
        try:
            with worker(HERE, self._spec) as client, neighbour as other:
                start_s = watch.elapsed_s
                found = self._visits(client, other)
        except WorkerError as error:
            self._died += 1
            if self._died >= _IN_A_ROW or "tolerant" in self._spec:
                raise
            self._say(f"a run died and is left out: {str(error).strip().splitlines()[-1]}")
            return None
        self._died = 0
        # What opened once must open again: a later run with fewer cases is no run of this matrix.
        self._spec.pop("tolerant", None)
        self._say(f"{watch.elapsed_s:.1f} s, {start_s:.1f} s of them to start and open {len(found)} engines")
        return found

    def _visits(self, client: Client, other: Neighbour | None) -> Run:
        for case, reason in client.left_out.items():
            self._say(f"{case} is left out: {reason}")
        self._spec["cases"] = [case for case in self.cases if case not in client.left_out]
        if not self.cases:
            msg = "none of the cases can be opened here, for the reasons above"
            raise WorkerError(msg)
        visits: dict[str, list[Visit]] = {case: [] for case in self.cases}
        order = self.cases * self._passes
        for index, case in enumerate(order):
            if other and index == len(order) // 2:
                other.begin()
            seen = client.visit(case, self._seconds)
            visits[case].append(Visit(block_medians(seen.samples_s), seen.canary_s))
        return {case: tuple(found) for case, found in visits.items()}
