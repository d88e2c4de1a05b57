"""What a measured row says of itself in the JSON, and the speed-ups that need the other rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bench.counted import counted_fps, fps

if TYPE_CHECKING:
    from bench.case import Case
    from bench.engines import OpenEngine
    from bench.fidelity import Fidelity
    from bench.source import NetworkSource
    from models.images import ImageSet


def row_info(
    opened: OpenEngine,
    source: NetworkSource,
    images: ImageSet,
    fidelity: Fidelity,
    samples_s: list[float],
    canary_s: list[float],
) -> dict[str, Any]:
    """Return a row's `extra_info`: names and digests, speed, fidelity, cost, and the precision really run."""
    case = opened.case
    return {
        "case": case.id,
        "backend": case.backend,
        "precision": case.precision,
        "batch_size": case.batch_size,
        "model": source.network.name,
        "model_digest": source.network.digest,
        "images_digest": images.digest,
        "fps": fps(samples_s, case.batch_size),
        "speedup": None,
        "speedup_over": None,
        **fidelity.as_dict(),
        "achieved": dict(opened.engine.achieved),
        "built": opened.built,
        "build_s": opened.build_s,
        "load_s": round(opened.load_s, 4),
        "engine_digest": opened.digest,
        "engine_bytes": opened.engine.engine_bytes,
        "peak_memory_bytes": opened.memory.peak_bytes,
        "threads": source.threads,
        "versions": opened.versions,
        "samples_s": samples_s,
        "canary_s": canary_s,
    }


def add_speedups(rows: list[dict[str, Any]], reference: Case) -> None:
    """Fill in each row's FPS and their ratio to the FP32 reference row's of the same batch size, where that one ran."""
    for row in rows:
        row["fps"] = counted_fps(row)
    by_batch = {
        row["batch_size"]: row
        for row in rows
        if (row["backend"], row["precision"]) == (reference.backend, reference.precision)
    }
    for row in rows:
        base = by_batch.get(row["batch_size"])
        if base is not None:
            row["speedup"] = row["fps"] / base["fps"]
            row["speedup_over"] = base["case"]
