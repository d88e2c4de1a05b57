"""Runs and baselines made by hand, for tests of what is said of them."""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any

from bench.baseline import Baseline, entries_of, updated
from bench.case import PRECISIONS, parse_case
from bench.results import SCHEMA, Run, parse_run

if TYPE_CHECKING:
    from pathlib import Path

IMAGES = ["a", "b", "c"]
MACHINE = {"id": "amd-epyc-2c-avx2", "cpu": "AMD EPYC", "cores": 2, "gpu": None, "driver": None, "runtimes": {}}


def scores(per_image: list[list[float]]) -> dict[str, Any]:
    """Return Dice per image and class as a row holds it."""
    targets = [sum(row[1:]) / len(row[1:]) for row in per_image]
    worst = min(range(len(targets)), key=targets.__getitem__)
    return {
        "mean": sum(targets) / len(targets),
        "worst": targets[worst],
        "worst_image": IMAGES[worst],
        "per_image": per_image,
    }


def row_json(case: str, fps: float = 100.0, **changes: Any) -> dict[str, Any]:
    """Return a measured row as pytest-benchmark writes it."""
    parsed = parse_case(case)
    per_image = [[0.999, 0.995], [0.998, 0.99], [0.999, 0.992]]
    perfect = [[1.0, 1.0] for _ in IMAGES]
    info = {
        "case": case,
        "backend": parsed.backend,
        "precision": parsed.precision,
        "batch_size": parsed.batch_size,
        "images": IMAGES,
        "speedup": None,
        "speedup_over": None,
        "dice_fp32": scores(perfect if parsed.precision == "fp32" else per_image),
        "dice_truth": scores([[0.95, 0.9], [0.94, 0.85], [0.95, 0.88]]),
        "fps": fps,
        "peak_memory_bytes": 50 * 2**20,
        "versions": {parsed.backend: "1.0"},
        "samples_s": [parsed.batch_size / fps] * 3,
    }
    return {"name": f"test_inference[{case}]", "extra_info": {**info, **changes}}


def run_json(*rows: dict[str, Any], **suite: Any) -> dict[str, Any]:
    """Return a run's whole JSON."""
    cases = [row["extra_info"]["case"] for row in rows]
    own = {
        "schema": SCHEMA,
        "machine": MACHINE,
        "threads": 2,
        "model": {"name": "tiny", "digest": "m1", "weights": "w", "parameters": 1},
        "images": {"origin": "built-in held-out", "digest": "i1", "count": len(IMAGES), "size": [64, 64]},
        "calibration": {"origin": "built-in calibration", "digest": "c1", "count": 2, "note": None},
        "asked": {"precisions": list(PRECISIONS), "batch_sizes": [1, 4, 8]},
        "selected": cases,
        "skipped": {},
        "failed": {},
        "builds": [],
    }
    return copy.deepcopy({"machine_info": {}, "benchmarks": list(rows), "suite": {**own, **suite}})


def run_of(*rows: dict[str, Any], **suite: Any) -> Run:
    """Return a run as a value."""
    return parse_run(run_json(*rows, **suite), "a test's run")


def baseline_of(*rows: dict[str, Any], **suite: Any) -> Baseline:
    """Return what accepting a run would store."""
    return updated(None, MACHINE, entries_of(run_of(*rows, **suite)))


def write(path: Path, data: Any) -> Path:
    """Write JSON and return where."""
    path.write_text(json.dumps(data), encoding="utf-8")
    return path
