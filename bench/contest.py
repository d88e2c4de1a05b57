"""Variants of a case against its plain engine: each built, judged by Dice, and timed in turn with all others."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from bench.backend import BuildError, OutOfMemoryError
from bench.fidelity import NonFiniteError, judge
from bench.medians import median_interval
from bench.timing import Stopwatch, round_s, warm_up
from bench.trials import load_trials
from bench.variants import PLAIN, Variant, open_variant
from models.ends import EndError
from models.graphs import GraphError
from models.images import normalise

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bench.backend import Engine
    from bench.case import Case
    from bench.engines import OpenEngine
    from bench.fidelity import Reference
    from bench.source import NetworkSource
    from models.images import ImageSet

_ROUND_S = 0.1


@dataclass(frozen=True, slots=True)
class Figures:
    """What one variant gave: its speed over the plain engine's in the same turns, its fidelity, and its cost."""

    fps: float
    ratio: float
    low: float
    high: float
    """FPS over the plain engine's, the median of the turns, with its 95 % interval."""
    dice_fp32: float
    worst: float
    dice_truth: float | None
    build_s: float
    """Seconds of the build, this time's or the stored one's; later ones find timings of the earlier ones' kernels."""
    built: bool
    engine_bytes: int
    layers: int | None
    """Layers of the engine, where its backend tells."""
    reformats: int | None
    """Those of them that only change a layout or a type."""
    achieved: Mapping[str, float]
    seconds: tuple[float, ...]
    """Seconds per inference of each turn, in order."""


@dataclass(frozen=True, slots=True)
class Tried:
    """One variant: its figures, or why there are none."""

    name: str
    figures: Figures | None = None
    fault: str | None = None


@dataclass(slots=True)
class _Rival:
    """An engine held open, with what is known of it before it is timed."""

    opened: OpenEngine
    scores: dict[str, Any]
    seconds: list[float] = field(default_factory=list)

    @property
    def engine(self) -> Engine:
        return self.opened.engine


def try_variants(
    source: NetworkSource,
    case: Case,
    variants: Sequence[Variant],
    images: ImageSet,
    reference: Reference,
    *,
    turns: int,
    build_budget_s: float | None = None,
) -> list[Tried]:
    """Return what each variant gave, the plain engine first; all engines are held open and timed in turn.

    Each turn begins with another engine, so that a drift of the machine favours none. A variant that cannot be built
    or run is its reason, and the others go on; the plain engine's failure is raised. Once `build_budget_s` seconds
    have gone into building, no further variant is begun.
    """
    batch = normalise(images.images[[index % len(images.names) for index in range(case.batch_size)]])
    watch = Stopwatch()
    rivals: dict[str, _Rival] = {}
    faults: dict[str, str] = {}
    with ExitStack() as stack:
        for variant in (Variant(PLAIN), *variants):
            if rivals and build_budget_s is not None and watch.elapsed_s > build_budget_s:
                faults[variant.name] = f"not begun: {build_budget_s:g} s for builds were over; the next call goes on"
                continue
            try:
                opened = stack.enter_context(open_variant(source, case, variant))
                scores = judge(opened.engine, images, case.batch_size, reference).as_dict()
                opened.engine.copy_in(batch)
                warm_up(opened.engine)
            except (BuildError, OutOfMemoryError, NonFiniteError, EndError, GraphError) as error:
                if variant.name == PLAIN:
                    raise
                faults[variant.name] = str(error)
            else:
                rivals[variant.name] = _Rival(opened, scores)
        _race(rivals, turns)
        figures = {name: _figures(case, rival, rivals[PLAIN]) for name, rival in rivals.items()}
    names = [PLAIN, *(variant.name for variant in variants)]
    return [Tried(name, figures.get(name), faults.get(name)) for name in names]


def _race(rivals: Mapping[str, _Rival], turns: int) -> None:
    names = list(rivals)
    inferences = {name: max(1, round(_ROUND_S / round_s(rivals[name].engine, 1))) for name in names}
    for turn in range(turns):
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            rivals[name].seconds.append(round_s(rivals[name].engine, inferences[name]))


def _figures(case: Case, rival: _Rival, plain: _Rival) -> Figures:
    ratios = [theirs / mine for theirs, mine in zip(plain.seconds, rival.seconds, strict=True)]
    fp32, truth = rival.scores["dice_fp32"], rival.scores["dice_truth"]
    trials = load_trials(case.backend)
    layers, reformats = (trials and trials.layers(rival.opened.folder)) or (None, None)
    ratio, low, high = median_interval(ratios)
    return Figures(
        fps=case.batch_size / median_interval(rival.seconds)[0],
        ratio=ratio,
        low=low,
        high=high,
        dice_fp32=fp32["mean"],
        worst=fp32["worst"],
        dice_truth=truth["mean"] if truth else None,
        build_s=rival.opened.build_s,
        built=rival.opened.built,
        engine_bytes=rival.engine.engine_bytes,
        layers=layers,
        reformats=reformats,
        achieved=dict(rival.engine.achieved),
        seconds=tuple(rival.seconds),
    )
