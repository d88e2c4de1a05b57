"""Facts on several machines: their runs side by side, and the deployment schemes of each GPU."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.case import PRECISIONS, parse_case
from bench.page.parts import Scheme, Schemes
from bench.page.values import Comparison, Fleet, FleetCell
from bench.report import subject

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.page.values import Judged
    from bench.results import Run

SCHEMES = (
    ("torch FP32", ("torch-fp32",)),
    ("torch AMP FP16", ("torch-fp16",)),
    ("TensorRT FP16", ("tensorrt_weak-fp16", "tensorrt-fp16")),
    ("TensorRT INT8 MinMax", ("tensorrt_weak-int8", "tensorrt-int8")),
    ("TensorRT INT8 Entropy", ("tensorrt_weak-int8-entropy", "tensorrt-int8-entropy")),
    ("torch2trt FP16", ("torch2trt-fp16",)),
    ("torch2trt INT8, with calibration images", ("torch2trt-int8",)),
    ("torch2trt INT8, without calibration images", ("torch2trt-int8-uncalibrated",)),
)
"""The seven ways to deploy on a GPU, torch2trt's INT8 in two forms: each the first of these lines that was measured."""


def fleet(judged: Sequence[Judged]) -> Fleet:
    """Return the runs side by side as far as they are of one model and image set: nothing else can be compared."""
    names = _names(judged)
    groups: dict[tuple[str, str], list[int]] = {}
    timed = [(index, each) for index, each in enumerate(judged) if each.run.rows]
    for index, each in timed:
        key = str(each.run.suite["model"]["digest"]), str(each.run.suite["images"]["digest"])
        groups.setdefault(key, []).append(index)
    several = [group for group in groups.values() if len(group) > 1]
    alone = [names[group[0]] for group in groups.values() if len(group) == 1]
    apart = f"Of other models or images, so not compared: {', '.join(alone)}."
    if not several:
        apart = "Each run is of another model or other images, so none are compared; their sections follow."
    return Fleet(
        names=names,
        subjects=tuple(subject(each.run) for each in judged),
        comparisons=tuple(
            _comparison([judged[index] for index in group], [names[index] for index in group]) for group in several
        ),
        apart=apart if alone and len(timed) > 1 else "",
    )


def _comparison(judged: Sequence[Judged], names: Sequence[str]) -> Comparison:
    """Return every case on every machine, with the reason where it was not measured."""
    cases = {parse_case(case) for each in judged for case in each.run.rows}
    order = sorted(cases, key=lambda case: (case.batch_size, PRECISIONS.index(case.precision), case.backend))
    rows = tuple((case.id, tuple(_cell(case.id, each) for each in judged)) for case in order)
    return Comparison(subject(judged[0].run), tuple(names), rows)


def schemes(run: Run) -> Schemes | None:
    """Return the schemes of a run on a GPU; None on a CPU, and where nothing was timed."""
    if not run.suite["machine"]["gpu"] or not run.rows:
        return None
    sizes = tuple(sorted({row.batch_size for row in run.rows.values()}))
    return Schemes(sizes, tuple(_scheme(name, lines, run, sizes) for name, lines in SCHEMES))


def _names(judged: Sequence[Judged]) -> tuple[str, ...]:
    """Return a name for each run: its machine's, and its file's where a machine has several."""
    ids = [str(each.run.suite["machine"]["id"]) for each in judged]
    return tuple(
        name if ids.count(name) == 1 else f"{name} ({each.file})" for name, each in zip(ids, judged, strict=True)
    )


def _cell(case: str, judged: Judged) -> FleetCell:
    run = judged.run
    status = next((verdict.status.value for verdict in judged.verdicts if verdict.case == case), "-")
    row = run.rows.get(case)
    if row is not None:
        return FleetCell(row.fps, row.info["dice_fp32"]["mean"], status, "")
    backend = case.partition("-")[0]
    why = run.failed.get(case) or run.skipped.get(case) or run.skipped.get(backend) or "this run was not asked for it"
    return FleetCell(None, None, status, why)


def _scheme(name: str, lines: Sequence[str], run: Run, sizes: Sequence[int]) -> Scheme:
    line = next((line for line in lines if any(f"{line}-b{size}" in run.rows for size in sizes)), lines[0])
    rows = [run.rows.get(f"{line}-b{size}") for size in sizes]
    dice = [row.info["dice_fp32"] for row in rows if row is not None]
    return Scheme(
        name=name,
        line=line,
        fps=tuple(None if row is None else row.fps for row in rows),
        speedups=tuple(None if row is None else row.info.get("speedup") for row in rows),
        dice=min((each["mean"] for each in dice), default=None),
        dice_worst=min((each["worst"] for each in dice), default=None),
    )
