"""Engines of other placements of the Q/DQ nodes, timed in turn with the plain ones and judged by the same Dice."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import models.variants
from bench.engines import open_engine
from bench.fidelity import judge
from bench.medians import median_interval
from bench.source import NetworkSource, source_digest
from bench.timing import round_s, warm_up
from models.graphs import to_variant
from models.images import normalise

if TYPE_CHECKING:
    from bench.cache import Entry
    from bench.case import Case
    from bench.fidelity import Reference
    from models.images import ImageSet

PLAIN = "plain"
_ROUND_S = 0.1


@dataclass(slots=True)
class VariantSource(NetworkSource):
    """A source whose INT8 graphs are one variant of the plain ones."""

    variant: str = field(kw_only=True)
    plain: NetworkSource = field(kw_only=True)

    def graph_entry(self, kind: str) -> Entry:
        """Return the cache entry of the variant of one kind of INT8 graph, and of other kinds the plain entry."""
        entry = self.plain.graph_entry(kind)
        if not kind.startswith("int8"):
            return entry
        key = {
            "plain": entry.digest,
            "variant": self.variant,
            "code": source_digest(Path(str(models.variants.__file__))),
        }
        return self.cache.entry(
            "graph",
            f"{self.network.name}-{kind}-{self.variant}",
            key,
            lambda folder: to_variant(entry.folder / "model.onnx", self.variant, folder / "model.onnx"),
        )


@dataclass(frozen=True, slots=True)
class Tried:
    """What one variant gave: its speed over the plain engine's in the same turns, and its fidelity."""

    name: str
    fps: float
    ratio: float
    low: float
    high: float
    """FPS over the plain engine's, the median of the turns, with its 95 % interval."""
    dice_fp32: float
    worst: float
    dice_truth: float | None
    engine_bytes: int


def variant_source(plain: NetworkSource, variant: str) -> NetworkSource:
    """Return the source of one variant; that named `plain` is the source itself."""
    if variant == PLAIN:
        return plain
    parts = (plain.network, plain.calibration_set, plain.image_size, plain.device, plain.cache, plain.threads)
    return VariantSource(*parts, variant=variant, plain=plain)


def try_variants(
    source: NetworkSource, case: Case, names: list[str], images: ImageSet, reference: Reference, turns: int
) -> list[Tried]:
    """Return what each variant gave, the plain engine first; all engines are held open and timed in turn.

    Each turn begins with another engine, so that a drift of the machine favours none.
    """
    names = [PLAIN, *names]
    batch = normalise(images.images[[index % len(images.names) for index in range(case.batch_size)]])
    with ExitStack() as stack:
        engines = {}
        scores = {}
        for name in names:
            opened = stack.enter_context(open_engine(variant_source(source, name), case))
            scores[name] = judge(opened.engine, images, case.batch_size, reference).as_dict()
            opened.engine.copy_in(batch)
            warm_up(opened.engine)
            engines[name] = opened.engine
        inferences = {name: max(1, round(_ROUND_S / round_s(engine, 1))) for name, engine in engines.items()}
        seconds: dict[str, list[float]] = {name: [] for name in names}
        for turn in range(turns):
            for name in names[turn % len(names) :] + names[: turn % len(names)]:
                seconds[name].append(round_s(engines[name], inferences[name]))
        sizes = {name: engine.engine_bytes for name, engine in engines.items()}
    found = []
    for name in names:
        ratios = [plain / mine for plain, mine in zip(seconds[PLAIN], seconds[name], strict=True)]
        fps = case.batch_size / median_interval(seconds[name])[0]
        fp32, truth = scores[name]["dice_fp32"], scores[name]["dice_truth"]
        mean_truth = truth["mean"] if truth else None
        found.append(Tried(name, fps, *median_interval(ratios), fp32["mean"], fp32["worst"], mean_truth, sizes[name]))
    return found
