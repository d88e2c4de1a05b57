"""What a baseline holds: the accepted runs of each case, keyed by case, model and image set, and the waivers."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bench.case import parse_case

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from bench.results import Run
    from bench.visits import Visit

Scores = list[list[float]]
"""Dice per image and class."""


@dataclass(frozen=True, slots=True)
class StoredRun:
    """What one process run measured of one case."""

    measured: str
    """When, in ISO 8601."""
    visits: tuple[Visit, ...]
    """Medians of blocks of the rounds in time order, and the canary."""
    dice_fp32: Scores
    dice_truth: Scores | None
    engine: str = ""
    """Digest of the engine, "" where it was not told: runs of other digests are of other builds."""
    reruns: tuple[Visit, ...] = ()
    """A visit from each further process that timed the case; a baseline file keeps none."""

    @property
    def median_s(self) -> float:
        """Median seconds per inference of the fastest visit, which speaks for the run."""
        return min(visit.median_s for visit in self.visits)


@dataclass(frozen=True, slots=True)
class Acceptance:
    """Who took these runs for the standard, when, why, and what code was measured."""

    who: str
    when: str
    why: str
    commit: str

    @property
    def reason(self) -> str:
        """Why, in words that are never empty."""
        return self.why or "no reason given"


@dataclass(frozen=True, slots=True)
class Record:
    """Runs that were accepted together."""

    accepted: Acceptance
    runs: tuple[StoredRun, ...]

    @property
    def processes(self) -> int:
        """How many processes timed the case: a run is one, and each of its reruns."""
        return sum(1 + len(run.reruns) for run in self.runs)


@dataclass(frozen=True, slots=True)
class BaselineEntry:
    """What one case measured on one model and one image set, now, before, and when it was first accepted."""

    case: str
    model: str
    model_digest: str
    images: str
    images_digest: str
    calibration: str
    """Digest of the calibration images."""
    threads: int
    versions: dict[str, str]
    current: Record
    previous: Record | None = None
    anchor: Record | None = None
    """The first accepted; None while that is the current one."""

    @property
    def key(self) -> tuple[str, str, str]:
        """Case, model and image set: what a later run must share to be compared."""
        return self.case, self.model_digest, self.images_digest

    @property
    def fps(self) -> float:
        """Images per second: the median over the runs."""
        return speed(self.case, self.current)

    @property
    def builds(self) -> set[str]:
        """Digests of the engines that the runs used, as far as they are told."""
        return {run.engine for run in self.current.runs if run.engine}

    @property
    def dice_fp32(self) -> Scores:
        """Dice against the FP32 masks, the mean over the runs."""
        return mean_scores([run.dice_fp32 for run in self.current.runs])

    @property
    def dice_truth(self) -> Scores | None:
        """Dice against the truth, the mean over the runs, where there is one."""
        found = [run.dice_truth for run in self.current.runs if run.dice_truth]
        return mean_scores(found) if found else None


@dataclass(frozen=True, slots=True)
class Waiver:
    """A known loss that is tolerated for a while."""

    case: str
    limit: float
    """Loss of FPS tolerated, as a share."""
    reason: str
    expires: str
    """The last day it holds, in ISO 8601."""
    who: str


@dataclass(frozen=True, slots=True)
class Baseline:
    """All accepted entries of one machine."""

    machine: dict[str, Any]
    entries: dict[tuple[str, str, str], BaselineEntry]
    waivers: tuple[Waiver, ...] = ()

    def find(self, case: str, model_digest: str, images_digest: str) -> BaselineEntry | None:
        """Return the entry of this case on this model and image set, if there is one."""
        return self.entries.get((case, model_digest, images_digest))

    def others(self, case: str) -> list[BaselineEntry]:
        """Return the case's entries, whatever their model and image set."""
        return [entry for entry in self.entries.values() if entry.case == case]

    def waiver(self, case: str) -> Waiver | None:
        """Return the case's waiver, expired or not."""
        return next((waiver for waiver in self.waivers if waiver.case == case), None)


def speed(case: str, record: Record) -> float:
    """Return the images per second of a record: the median over its runs, each by its fastest visit."""
    return parse_case(case).batch_size / statistics.median(run.median_s for run in record.runs)


def mean_scores(runs: list[Scores]) -> Scores:
    """Return the mean over runs of Dice per image and class."""
    return [[sum(values) / len(values) for values in zip(*rows, strict=True)] for rows in zip(*runs, strict=True)]


def entries_of(runs: Sequence[Run], accepted: Acceptance, cases: Iterable[str] | None = None) -> list[BaselineEntry]:
    """Return the entries that accepting these runs would store, of some cases that all runs hold (default: all)."""
    first = runs[0]
    wanted = set(first.rows if cases is None else cases)
    suite = first.suite
    return [
        BaselineEntry(
            case=case,
            model=suite["model"]["name"],
            model_digest=suite["model"]["digest"],
            images=suite["images"]["origin"],
            images_digest=suite["images"]["digest"],
            calibration=suite["calibration"].get("digest", ""),
            threads=suite.get("threads", 0),
            versions=dict(row.info["versions"]),
            current=Record(accepted, tuple(_stored(run, case) for run in runs)),
        )
        for case, row in first.rows.items()
        if case in wanted
    ]


def _stored(run: Run, case: str) -> StoredRun:
    row = run.rows[case]
    truth = row.info["dice_truth"]
    return StoredRun(
        measured=run.suite.get("measured", ""),
        visits=tuple(visit.in_blocks() for visit in row.visits),
        dice_fp32=row.info["dice_fp32"]["per_image"],
        dice_truth=truth["per_image"] if truth else None,
        engine=row.info.get("engine_digest", ""),
        reruns=tuple(visit.in_blocks() for visit in row.reruns),
    )
