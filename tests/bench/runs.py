"""Runs and baselines made by hand, for tests of what is said of them."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from bench.case import PRECISIONS, parse_case
from bench.checksum import sealed
from bench.entries import Acceptance, Baseline, entries_of
from bench.gate import Status, judge_run
from bench.results import SCHEMA, Run, parse_run

if TYPE_CHECKING:
    from pathlib import Path

IMAGES = ["a", "b", "c"]
SPREAD = (0.9975, 1.0, 1.0025)
GOOD = [[0.999, 0.995], [0.998, 0.99], [0.999, 0.992]]
"""Dice per image and class of a measured row that says nothing else."""
MACHINE = {"id": "amd-epyc-2c-avx2", "cpu": "AMD EPYC", "cores": 2, "gpu": None, "driver": None, "runtimes": {}}
GPU = {**MACHINE, "id": "nvidia-h200", "gpu": "NVIDIA H200"}


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


def rounds(seconds: float, spread: float = 0.004, count: int = 9) -> list[float]:
    """Return rounds of a quiet machine about a median."""
    return [seconds * (1 + spread * (index / (count - 1) - 0.5)) for index in range(count)]


def row_json(case: str, fps: float = 100.0, **changes: Any) -> dict[str, Any]:
    """Return a measured row as pytest-benchmark writes it."""
    parsed = parse_case(case)
    perfect = [[1.0, 1.0] for _ in IMAGES]
    info = {
        "case": case,
        "backend": parsed.backend,
        "precision": parsed.precision,
        "batch_size": parsed.batch_size,
        "images": IMAGES,
        "speedup": None,
        "speedup_over": None,
        "dice_fp32": scores(perfect if parsed.precision == "fp32" else GOOD),
        "dice_truth": scores([[0.95, 0.9], [0.94, 0.85], [0.95, 0.88]]),
        "fps": fps,
        "peak_memory_bytes": 50 * 2**20,
        "versions": {parsed.backend: "1.0"},
        "samples_s": rounds(parsed.batch_size / fps),
        "canary_s": [0.01, 0.01],
    }
    return {"name": f"test_inference[{case}]", "extra_info": {**info, **changes}}


def run_json(*rows: dict[str, Any], **suite: Any) -> dict[str, Any]:
    """Return a run's whole JSON."""
    cases = [row["extra_info"]["case"] for row in rows if "case" in row["extra_info"]]
    own = {
        "schema": SCHEMA,
        "measured": "2030-06-15T12:00:00+00:00",
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


def baseline_of(*rows: dict[str, Any], apart: tuple[float, ...] = SPREAD, **suite: Any) -> Baseline:
    """Return what accepting three runs would store whose seconds differ by these factors and nothing else."""
    return stored([run_of(*rows, **suite) for _ in apart], apart)


def stored(runs: list[Run], apart: tuple[float, ...] = SPREAD) -> Baseline:
    """Return what accepting these runs would store, their seconds drawn apart by these factors."""
    drawn = [
        replace(
            run,
            rows={
                case: replace(row, samples_s=tuple(value * factor for value in row.samples_s))
                for case, row in run.rows.items()
            },
        )
        for run, factor in zip(runs, apart, strict=True)
    ]
    entries = entries_of(drawn, Acceptance("ada", "2030-06-01T12:00:00+00:00", "first", "c0ffee"))
    return Baseline(dict(drawn[0].suite["machine"]), {entry.key: entry for entry in entries})


def write(path: Path, data: Any) -> Path:
    """Write JSON, a run with the digest it would have, and return where."""
    if isinstance(data, dict) and "suite" in data and "benchmarks" in data:
        data = sealed(data)
    path.write_text(json.dumps(data), encoding="utf-8")
    return path


def verdict(run: Run, baseline: Baseline | None, case: str = "openvino-int8-b4", **options: Any) -> tuple[Status, str]:
    """Return the one verdict on a case and its evidence."""
    (found,) = [each for each in judge_run(run, baseline, **options) if each.case == case]
    return found.status, found.evidence
