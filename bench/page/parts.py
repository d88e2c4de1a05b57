"""What the parts of a report hold, as values: throughput, accuracy, the past, and the schemes of a GPU."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Point:
    """One batch size of a line."""

    batch_size: int
    fps: float
    ceiling_fps: float | None
    """What the machine's measured ceilings would allow at most, where they were measured."""


@dataclass(frozen=True, slots=True)
class Scaling:
    """Images per second over batch sizes: `lines` by backend and precision."""

    source: str
    lines: tuple[tuple[str, tuple[Point, ...]], ...]


@dataclass(frozen=True, slots=True)
class StreamFacts:
    """One case's stream: images in, masks out."""

    case: str
    samples: str
    runtime_s: float
    fps: float
    share_of_engine: float
    p50_ms: float | None
    p99_ms: float | None
    stages_ms: tuple[tuple[str, float], ...]
    """Milliseconds per image of each stage."""
    workers: str
    """How many threads read the images, and what one of them takes for an image."""
    plain_fps: float | None


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer as its runtime names it."""

    name: str
    ms: float
    share: float


@dataclass(frozen=True, slots=True)
class LayersFacts:
    """The costliest layers of a case and what binds it."""

    case: str
    share_of_ceiling: float | None
    bound_by: str
    outside_layers: float | None
    layers: tuple[Layer, ...]


@dataclass(frozen=True, slots=True)
class Spread:
    """Dice of every image against its FP32 mask, of one backend and precision at its smallest batch size."""

    case: str
    backend: str
    precision: str
    dice: tuple[float, ...]
    names: tuple[str, ...]
    worst: float
    tenth: float
    """A tenth of the images are below."""
    median: float
    best: float


@dataclass(frozen=True, slots=True)
class Picture:
    """The worst image of one engine; `input` to `differ` are PNG or JPEG as data URIs."""

    case: str
    image: str
    dice: float
    missed: int
    """Pixels of the FP32 mask's targets that the engine gave another class, within the window."""
    added: int
    """Pixels of the FP32 mask's background that the engine took for a target, within the window."""
    size: tuple[int, int]
    window: str
    """Which part of a large image is shown; nothing where all is."""
    focus: tuple[float, float]
    """Where most of the differences are: per cent from the left and from the top."""
    input: str
    truth: str | None
    fp32: str
    low: str
    differ: str


@dataclass(frozen=True, slots=True)
class HistoryPoint:
    """One run of a case."""

    when: str
    fps: float
    dice: float
    file: str


@dataclass(frozen=True, slots=True)
class Accepted:
    """A change that somebody took for the standard."""

    when: str
    fps: float
    dice: float
    who: str
    why: str
    kind: str
    """`anchor`, `previous baseline` or `baseline`."""


@dataclass(frozen=True, slots=True)
class CaseHistory:
    """One case over runs, in the order of time."""

    case: str
    points: tuple[HistoryPoint, ...]
    accepted: tuple[Accepted, ...]


@dataclass(frozen=True, slots=True)
class History:
    """What a folder of runs says of this run's cases, those that need attention first, and what it left out."""

    cases: tuple[CaseHistory, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Scheme:
    """One of the deployment schemes of a GPU; figures are None where it was not measured."""

    name: str
    line: str
    """Backend and precision."""
    fps: tuple[float | None, ...]
    speedups: tuple[float | None, ...]
    """Over the FP32 reference, of each of `fps`."""
    dice: float | None
    """The lowest of the batch sizes, as is `dice_worst`."""
    dice_worst: float | None


@dataclass(frozen=True, slots=True)
class Schemes:
    """The schemes' images per second by batch size."""

    batch_sizes: tuple[int, ...]
    rows: tuple[Scheme, ...]
