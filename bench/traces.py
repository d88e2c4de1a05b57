"""Traces: block medians and canary of many process runs of one matrix of cases, nothing changed between them."""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.timing import Stopwatch
from bench.visits import Visit, block_medians
from bench.workers import HERE, worker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

SCHEMA = 1


class TraceError(ValueError):
    """A file that is not a trace; the text names it."""


@dataclass(frozen=True, slots=True)
class Trace:
    """Process runs of one matrix: for each run, each case's visits in time order."""

    name: str
    origin: Mapping[str, Any]
    cases: tuple[str, ...]
    runs: tuple[Mapping[str, tuple[Visit, ...]], ...]


def record(
    spec: Mapping[str, Any], runs: int, passes: int, seconds: float, say: Callable[[str], None]
) -> Iterator[dict[str, tuple[Visit, ...]]]:
    """Yield each process run's visits: every case once per pass, so that visits to one case lie seconds apart."""
    for run in range(runs):
        watch = Stopwatch()
        with worker(HERE, spec) as client:
            start_s = watch.elapsed_s
            visits: dict[str, list[Visit]] = {case: [] for case in spec["cases"]}
            for _ in range(passes):
                for case in spec["cases"]:
                    seen = client.visit(case, seconds)
                    visits[case].append(Visit(block_medians(seen.samples_s), seen.canary_s))
        say(f"run {run + 1} of {runs}: {watch.elapsed_s:.0f} s, {start_s:.0f} s of them to open the engines")
        yield {case: tuple(found) for case, found in visits.items()}


def save(path: Path, origin: Mapping[str, Any], runs: list[dict[str, tuple[Visit, ...]]]) -> None:
    """Write a trace in one step, times in microseconds, a run to a line."""
    head = json.dumps({"schema": SCHEMA, "origin": dict(origin), "cases": list(runs[0])}, indent=1)[:-2]
    lines = [json.dumps([[_packed(visit) for visit in run[case]] for case in runs[0]]) for run in runs]
    text = head + ',\n "runs": [\n' + ",\n".join(line.replace(" ", "") for line in lines) + "\n ]\n}\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".trace-")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    finally:
        Path(temporary).unlink(missing_ok=True)


def load(path: Path) -> Trace:
    """Return the trace in a file; `TraceError` when it holds none."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        if data["schema"] != SCHEMA:
            msg = f"{path}: a trace of schema {data['schema']}, not {SCHEMA}"
            raise TraceError(msg)
        cases = tuple(data["cases"])
        runs = tuple(
            {case: tuple(_unpacked(visit) for visit in visits) for case, visits in zip(cases, run, strict=True)}
            for run in data["runs"]
        )
        return Trace(path.stem, data["origin"], cases, runs)
    except (OSError, KeyError, TypeError, ValueError) as error:
        msg = f"{path}: not a trace ({type(error).__name__}: {error}); python -m bench trace writes one"
        raise TraceError(msg) from error


def _packed(visit: Visit) -> list[list[float]]:
    canary = visit.canary_s or ()
    return [[_microseconds(value) for value in visit.samples_s], [_microseconds(value) for value in canary]]


def _microseconds(seconds: float) -> float:
    """Return microseconds to six digits, as short as JSON writes them."""
    short = float(f"{seconds * 1e6:.6g}")
    return int(short) if short == int(short) else short


def _unpacked(packed: list[list[float]]) -> Visit:
    samples, (before, after) = packed
    return Visit(tuple(value / 1e6 for value in samples), (before / 1e6, after / 1e6))
