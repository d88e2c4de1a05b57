"""Which rule catches a fault, and whether honest rebuilds stay clear of all of them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.accuracy import judge_accuracy, judge_floor, target_mean
from bench.case import Case
from bench.entries import Acceptance, BaselineEntry, Record, StoredRun
from bench.faults.broken import FAULTS
from bench.faults.workshop import Build
from bench.fidelity import NonFiniteError
from bench.results import Row
from bench.visits import Visit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bench.faults.workshop import Workshop

_CLOCK = Visit((1.0,), None)
"""No speed is judged here."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one engine."""

    name: str
    change: float | None
    """Change of the target's mean Dice against the FP32 masks; None where there were no masks."""
    caught: tuple[str, ...]
    """The faults that the rules name, the first the one that would be shown first."""


def entry_of(workshop: Workshop, builds: list[Build]) -> BaselineEntry:
    """Return a baseline entry of honest builds."""
    found = [workshop.measure(build) for build in builds]
    runs = tuple(StoredRun("", (_CLOCK,), each["dice_fp32"]["per_image"], _truth(each)) for each in found)
    case = Case(builds[0].backend or workshop.fp32, builds[0].precision, builds[0].batch_size).id
    return BaselineEntry(case, "", "", "", "", "", 0, {}, Record(Acceptance("", "", "", ""), runs))


def outcome_of(name: str, workshop: Workshop, build: Build, entry: BaselineEntry, fp32_truth: float) -> Outcome:
    """Build an engine and judge it by the rules of its entry's precision."""
    try:
        found = workshop.measure(build)
    except NonFiniteError as error:
        return Outcome(name, None, (str(error),))
    # A calibration of another kind passes itself off as the one that was asked for.
    row = Row(entry.case, build.precision.partition("-")[0], build.batch_size, 1.0, (1.0,), found)
    accuracy = judge_accuracy(row, entry)
    return Outcome(name, accuracy.change, (*judge_floor(row, fp32_truth), *accuracy.faults))


def judged_faults(workshop: Workshop) -> Iterator[Outcome]:
    """Yield what becomes of each fault, judged against honest builds of the same backend and precision."""
    fp32 = entry_of(workshop, [Build()])
    truth = target_mean(fp32.dice_truth or [])
    entries = {"fp32": fp32, "int8": entry_of(workshop, [Build("int8", backend=workshop.backends("int8")[0])])}
    for name, build in FAULTS.items():
        yield outcome_of(name, workshop, build, entries[build.precision.partition("-")[0]], truth)


def judged_rebuilds(workshop: Workshop) -> Iterator[Outcome]:
    """Yield what becomes of honest rebuilds, each judged against one build of the same backend and precision."""
    truth = target_mean(entry_of(workshop, [Build()]).dice_truth or [])
    for precision in ("fp32", "int8"):
        for backend in workshop.backends(precision):
            plain = Build(precision, backend=backend)
            entry = entry_of(workshop, [plain])
            for how, build in _honest(plain).items():
                name = f"{backend} {precision}, {how}"
                yield outcome_of(name, workshop, build, entry, truth)


def _honest(plain: Build) -> dict[str, Build]:
    found = {
        "built again": plain,
        "on one thread": replace(plain, threads=1),
        "at batch size 1": replace(plain, batch_size=1),
    }
    if plain.precision == "int8":
        found["calibration images in reverse"] = replace(plain, calibration=lambda images: images[::-1])
        for seed in (1, 2):
            found[f"calibration images shuffled ({seed})"] = replace(plain, calibration=_shuffled(seed))
    return found


def _shuffled(seed: int) -> Callable[[Any], Any]:
    return lambda images: np.random.default_rng(seed).permutation(images)


def _truth(found: dict[str, Any]) -> list[list[float]] | None:
    return found["dice_truth"]["per_image"] if found["dice_truth"] else None
