"""Time a case once more, in this process or in a fresh one: what settles a verdict the first rounds left open."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.case import parse_case
from bench.engines import open_engine
from bench.timing import inferences_per_round, rounds_s, warm_up
from bench.workers import HERE, worker
from models.images import normalise

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from bench.canary import Canary
    from bench.source import NetworkSource
    from models.images import ImageSet

_ROUND_S = 0.05
_VISIT_S = 1.0


def first_batch(images: ImageSet, batch_size: int) -> NDArray[np.float32]:
    """Return the first images, over again where there are too few, normalised float32 [batch_size, 1, H, W]."""
    return normalise(images.images[[index % len(images.names) for index in range(batch_size)]])


def time_again(row: dict[str, Any], source: NetworkSource, images: ImageSet, canary: Canary) -> None:
    """Open the row's engine anew, time it between two readings of the canary, and add the visit to the row."""
    case = parse_case(row["case"])
    with open_engine(source, case) as opened:
        opened.engine.copy_in(first_batch(images, case.batch_size))
        warm_up(opened.engine)
        inferences = inferences_per_round(opened.engine, _ROUND_S)
        before = canary.measure()
        samples_s = rounds_s(opened.engine, inferences, _VISIT_S)
        visit = {"samples_s": samples_s, "canary_s": [before, canary.measure()]}
    row.setdefault("again", []).append(visit)


def spec_of(
    source: NetworkSource, model: str, weights: Path | None, images: Path | None, masks: Path | None
) -> dict[str, Any]:
    """Return what a worker must be told to open the engines of a source.

    `model` and `weights` are what the source's network was loaded from; `images` and `masks` hold the user's
    calibration images and what came with them, None for the built-in ones.
    """
    return {
        "image_size": list(source.image_size),
        "model": str(Path(model).resolve()) if model.lower().endswith(".onnx") else model,
        "weights": str(weights.resolve()) if weights else None,
        "images": str(images.resolve()) if images else None,
        "masks": str(masks.resolve()) if masks else None,
        "device": source.device,
        "threads": source.threads,
        "cache_dir": str(source.cache.root.resolve()),
        "import_from": os.getcwd(),  # noqa: PTH109 - as Python itself puts it
        "round_s": _ROUND_S,
        "expected": [source.network.digest, source.calibration_set.digest],
    }


def run_again(rows: Sequence[dict[str, Any]], spec: Mapping[str, Any]) -> None:
    """Time the rows' cases in a fresh process, its engines from the cache, and add a visit to each.

    Raises `WorkerError` where the process ends or would open other engines; what it timed until then is kept.
    """
    with worker(HERE, {**spec, "cases": [row["case"] for row in rows]}) as client:
        for row in rows:
            visit = client.visit(row["case"], _VISIT_S)
            found = {"samples_s": list(visit.samples_s), "canary_s": list(visit.canary_s or ())}
            row.setdefault("reruns", []).append(found)
