"""What a report holds, as values: HTML, Markdown and plots only render them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from bench.entries import Baseline
    from bench.gate import Verdict
    from bench.page.parts import History, LayersFacts, Picture, Scaling, Schemes, Spread, StreamFacts
    from bench.results import Run


@dataclass(frozen=True, slots=True)
class Judged:
    """One run to report: what its file is called, its verdicts, what they were judged by, and where its JSON is."""

    file: str
    run: Run
    verdicts: Sequence[Verdict]
    baseline: Baseline | None = None
    raw: Path | None = None


@dataclass(frozen=True, slots=True)
class CaseFacts:
    """One measured case."""

    case: str
    backend: str
    precision: str
    batch_size: int
    fps: float
    fps_low: float
    """Images per second: the 95 % interval of the median over the rounds of this run."""
    fps_high: float
    speedup: float | None
    latency_ms: float
    """Median milliseconds of a batch."""
    dice: float
    """Mean Dice of the target against the FP32 masks."""
    dice_worst: float
    worst_image: str
    dice_truth: float | None
    memory_mib: float | None
    build_s: float | None
    status: str
    evidence: str
    change: str
    """Change of FPS against the baseline with its 99 % interval, or a dash."""
    front: bool
    """Whether no other case is both faster and more faithful."""


@dataclass(frozen=True, slots=True)
class RunFacts:
    """One run on one machine."""

    file: str
    heading: str
    machine: str
    headline: str
    outcome: str
    """`bad` where the gate fails, `open` where it could not decide, `good` otherwise."""
    against: str
    """What the run was judged by."""
    attention: tuple[str, ...]
    recommended: str | None
    recommendation: str
    cases: tuple[CaseFacts, ...]
    schemes: Schemes | None
    scaling: tuple[Scaling, ...]
    streams: tuple[StreamFacts, ...]
    layers: tuple[LayersFacts, ...]
    spreads: tuple[Spread, ...]
    pictures: tuple[Picture, ...]
    picture_notes: tuple[str, ...]
    history: History | None
    repeat: tuple[tuple[str, str], ...]
    """What it takes to repeat the run: names and values."""
    raw: Path | None


@dataclass(frozen=True, slots=True)
class FleetCell:
    """One case on one machine; `why` says why there is no figure."""

    fps: float | None
    dice: float | None
    status: str
    why: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """Several runs of one model and image set side by side: a column for each."""

    subject: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[FleetCell, ...]], ...]


@dataclass(frozen=True, slots=True)
class Fleet:
    """Several runs: what each is called and is of, and those that can be compared."""

    names: tuple[str, ...]
    subjects: tuple[str, ...]
    comparisons: tuple[Comparison, ...]
    apart: str
    """Why runs stand alone, or nothing where all are compared."""


@dataclass(frozen=True, slots=True)
class Facts:
    """A whole report."""

    headline: str
    outcome: str
    runs: tuple[RunFacts, ...]
    fleet: Fleet | None
