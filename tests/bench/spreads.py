"""Made-up stored runs and baselines, for the tests of their spread."""

from __future__ import annotations

import math
from dataclasses import replace

from bench.case import parse_case
from bench.entries import Acceptance, Baseline, BaselineEntry, Record, StoredRun
from bench.visits import Visit
from tests.bench.runs import MACHINE

INT8, FP32, FP16 = "openvino-int8-b4", "torch-fp32-b1", "torch-fp16-b1"
DICE = [[0.999, 0.995], [0.998, 0.99], [0.999, 0.992]]
FIRST = Acceptance("ada", "2030-06-01T12:00:00+00:00", "first light", "c0ffee")
LATER = Acceptance("bob", "2030-07-01T12:00:00+00:00", "batch 4", "decade")


def ran(
    fps: float, engine: str = "e1", case: str = INT8, fp32: list[list[float]] = DICE, truth: list[list[float]] = DICE
) -> StoredRun:
    """Return a run of so many images per second, by its own block medians and no canary."""
    seconds = parse_case(case).batch_size / fps
    return StoredRun("2030-06-01", (Visit((seconds, seconds * 1.01, seconds * 0.99), None),), fp32, truth, engine)


def entry_of(*runs: StoredRun, case: str = INT8, accepted: Acceptance = FIRST, **changes: object) -> BaselineEntry:
    """Return an entry of these runs."""
    plain = BaselineEntry(
        case, "tiny", "m1", "built-in held-out", "i1", "c1", 2, {"openvino": "1.0"}, Record(accepted, tuple(runs))
    )
    return replace(plain, **changes)  # type: ignore[arg-type] # any field


def baseline_of(*entries: BaselineEntry) -> Baseline:
    """Return these entries as one baseline."""
    return Baseline(dict(MACHINE), {entry.key: entry for entry in entries})


def changed(image: int, label: int, by: float) -> list[list[float]]:
    """Return Dice that differ from the usual for one image and class."""
    return [
        [score + by * ((at, kind) == (image, label)) for kind, score in enumerate(row)] for at, row in enumerate(DICE)
    ]


def judged(kind: str, engine: str, scores: list[list[float]]) -> StoredRun:
    """Return a run of a build with these Dice, against the FP32 masks or the truth."""
    return ran(100.0, engine, **{"fp32": DICE, "truth": DICE, kind: scores})  # type: ignore[arg-type] # Dice, all of them


def logs(*fps: float) -> list[float]:
    """Return logarithms of images per second, computed apart from the code under test."""
    return [math.log(value) for value in fps]
