"""Facts on throughput: batch sizes against the ceilings, the stages of streams, and the costliest layers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bench.case import PRECISIONS, parse_case
from bench.page.parts import Layer, LayersFacts, Point, Scaling, StreamFacts
from bench.stream.reading import reading

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bench.page.sweeps import Sweep
    from bench.results import Run


def scaling(run: Run, file: str, sweeps: Sequence[Sweep]) -> tuple[Scaling, ...]:
    """Return FPS over batch sizes: of the run's rows where it has several, and of sweeps of its machine and model."""
    shares = run.suite.get("roofline", {}).get("cases", {})
    lines: dict[tuple[int, str], list[Point]] = {}
    for row in sorted(run.rows.values(), key=lambda row: row.batch_size):
        case = parse_case(row.case)
        key = PRECISIONS.index(case.precision), f"{case.backend}-{case.precision}"
        lines.setdefault(key, []).append(Point(row.batch_size, row.fps, _ceiling(shares.get(row.case), row.batch_size)))
    found = []
    if len({row.batch_size for row in run.rows.values()}) > 1:
        found.append(Scaling(file, tuple((name, tuple(lines[rank, name])) for rank, name in sorted(lines))))
    suite = run.suite
    own = [sweep for sweep in sweeps if sweep.belongs(str(suite["machine"]["id"]), str(suite["model"]["name"]))]
    return (*found, *(Scaling(sweep.file, sweep.lines) for sweep in own))


def streams(run: Run) -> tuple[StreamFacts, ...]:
    """Return the figures of every stream that did at least one image."""
    return tuple(_stream(each) for each in run.streams if each["done"])


def layers(run: Run) -> tuple[LayersFacts, ...]:
    """Return the costliest layers of every case whose runtime timed them."""
    cases = run.suite.get("roofline", {}).get("cases", {})
    return tuple(
        LayersFacts(
            case=case,
            share_of_ceiling=found["share_of_ceiling"],
            bound_by=found["bound_by"],
            outside_layers=found["outside_layers"],
            layers=tuple(Layer(layer["name"], layer["ms"], layer["share"]) for layer in found["layers"]),
        )
        for case, found in cases.items()
    )


def _ceiling(found: Mapping[str, Any] | None, batch_size: int) -> float | None:
    """Return the images per second that the ceilings allow, from a case's share of them."""
    if not found or not found["share_of_ceiling"]:
        return None
    return float(batch_size / (found["share_of_ceiling"] * found["inference_s"]))


def _stream(found: Mapping[str, Any]) -> StreamFacts:
    latency, plain = found["latency_ms"] or {}, found["plain"]
    return StreamFacts(
        case=found["case"],
        samples=f"{found['done']}{' (partial)' if found['partial'] else ''}",
        runtime_s=found["runtime_s"],
        fps=found["fps"],
        share_of_engine=found["share_of_engine"],
        p50_ms=latency.get("p50"),
        p99_ms=latency.get("p99"),
        stages_ms=tuple((stage, 1e3 * seconds / found["done"]) for stage, seconds in found["stages_s"].items()),
        workers=str(reading(found) or "-"),
        plain_fps=plain["fps"] if plain else None,
    )
