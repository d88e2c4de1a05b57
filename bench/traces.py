"""Traces: block medians and canary of many process runs of one matrix of cases, nothing changed between them."""

from __future__ import annotations

import json
import math
import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bench.outputs import write_whole
from bench.visits import Visit

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    Run = Mapping[str, tuple[Visit, ...]]
    """One process run: each case's visits in time order."""

SCHEMA = 1


class TraceError(ValueError):
    """A file that is not a trace; the text names it."""


@dataclass(frozen=True, slots=True)
class Trace:
    """Process runs of one matrix, engines that were slowed on purpose among them as `CASE@HOW`."""

    name: str
    origin: Mapping[str, Any]
    measured: tuple[str, ...]
    """Every case, slowed ones too, as a run holds them."""
    runs: tuple[Run, ...]
    disturbed: tuple[Run, ...] = ()
    """Runs during which a neighbour began half-way; nothing else was changed."""

    @property
    def cases(self) -> tuple[str, ...]:
        """The matrix: the cases as they are."""
        return tuple(case for case in self.measured if "@" not in case)

    @property
    def slowed(self) -> tuple[str, ...]:
        """The cases that were slowed on purpose."""
        return tuple(case for case in self.measured if "@" in case)

    def spreads(self) -> dict[str, float]:
        """Return each case's standard deviation between runs, of the logarithms of its median seconds."""
        return {case: statistics.stdev(_log_median(run[case]) for run in self.runs) for case in self.cases}


def save(path: Path, origin: Mapping[str, Any], runs: Sequence[Run], disturbed: Sequence[Run] = ()) -> None:
    """Write a trace in one step, times in microseconds, a run to a line."""
    cases = list(runs[0])
    parts = {"runs": _packed_runs(runs, cases)} | ({"disturbed": _packed_runs(disturbed, cases)} if disturbed else {})
    write_lines(path, {"schema": SCHEMA, "origin": dict(origin), "cases": cases}, parts)


def write_lines(path: Path, head: Mapping[str, Any], parts: Mapping[str, Sequence[Any]]) -> None:
    """Write JSON in one step: what heads it indented, and the items of each part a line each."""
    text = json.dumps(dict(head), indent=1)[:-2]
    for name, items in parts.items():
        lines = ",\n".join(json.dumps(item).replace(" ", "") for item in items)
        text += f',\n "{name}": [\n{lines}\n ]'
    write_whole(path, f"{text}\n}}\n".encode())


def load(path: Path) -> Trace:
    """Return the trace in a file; `TraceError` when it holds none."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        if data["schema"] != SCHEMA:
            msg = f"{path}: a trace of schema {data['schema']}, not {SCHEMA}"
            raise TraceError(msg)
        cases = tuple(data["cases"])
        runs, disturbed = (
            tuple(
                {case: tuple(_unpacked(visit) for visit in visits) for case, visits in zip(cases, run, strict=True)}
                for run in data.get(part, [])
            )
            for part in ("runs", "disturbed")
        )
        return Trace(path.stem, data["origin"], cases, runs, disturbed)
    except (OSError, KeyError, TypeError, ValueError) as error:
        msg = f"{path}: not a trace ({type(error).__name__}: {error}); python -m bench trace writes one"
        raise TraceError(msg) from error


def _log_median(visits: Sequence[Visit]) -> float:
    return math.log(statistics.median(value for visit in visits for value in visit.samples_s))


def _packed_runs(runs: Sequence[Run], cases: Sequence[str]) -> list[list[list[list[list[float]]]]]:
    return [[[_packed(visit) for visit in run[case]] for case in cases] for run in runs]


def _packed(visit: Visit) -> list[list[float]]:
    canary = visit.canary_s or ()
    return [[microseconds(value) for value in visit.samples_s], [microseconds(value) for value in canary]]


def microseconds(seconds: float) -> float:
    """Return microseconds to six digits, as short as JSON writes them."""
    short = float(f"{seconds * 1e6:.6g}")
    return int(short) if short == int(short) else short


def _unpacked(packed: list[list[float]]) -> Visit:
    samples, (before, after) = packed
    return Visit(tuple(value / 1e6 for value in samples), (before / 1e6, after / 1e6))
