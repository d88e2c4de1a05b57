"""The FP32 masks that every other row is judged by, and the row whose FPS every speed-up is over."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bench.backend import UnavailableError, load_backend, names
from bench.case import Case
from bench.engines import engine_key, open_engine
from bench.fidelity import Reference, judge, predict
from bench.source import plain_name

if TYPE_CHECKING:
    from pathlib import Path

    from bench.source import NetworkSource
    from models.images import ImageSet


def reference_case(source: NetworkSource, batch_size: int = 1) -> Case:
    """Return the FP32 case to compare with: the first backend by name that reads what the model is.

    A backend that reads modules comes first, so that a PyTorch model is judged by PyTorch.
    """
    wanted = ("graph",) if source.network.onnx_path is not None else ("module", "graph")
    for reads in wanted:
        for name in names():
            try:
                backend = load_backend(name)
            except UnavailableError:
                continue
            case = Case(name, "fp32", batch_size)
            if reads == backend.READS and backend.supports(case, source.device) is None:
                return case
    msg = (
        f"no installed backend runs {source.network.name} in FP32 on {source.device}: there is nothing to compare with"
    )
    raise UnavailableError(msg)


def reference_masks(source: NetworkSource, images: ImageSet) -> Reference:
    """Return the FP32 masks of the images, computed once per network, image set, machine and runtime version."""
    case = reference_case(source, source.network.fixed_batch or 1)

    def build(folder: Path) -> None:
        source.say(f"computing the FP32 masks of {len(images.names)} images with {case}")
        with open_engine(source, case) as opened:
            found, classes = predict(opened.engine, images, case.batch_size)
        np.savez_compressed(folder / "masks.npz", labels=found, classes=classes)

    key = {"engine": engine_key(load_backend(case.backend), source, case), "images": images.digest}
    entry = source.cache.entry("reference", f"{plain_name(source.network.name)}-fp32", key, build)
    with np.load(entry.folder / "masks.npz") as stored:
        return Reference(stored["labels"], int(stored["classes"]))


def mean_dice(source: NetworkSource, case: Case, name: str, judged_by: tuple[ImageSet, Reference]) -> float:
    """Return the target's mean Dice against FP32 of the engine that a source gives, whose files lie under `name`."""
    with open_engine(source, case, name=name) as opened:
        fidelity = judge(opened.engine, judged_by[0], case.batch_size, judged_by[1])
    return float(fidelity.fp32[:, 1:].mean())
