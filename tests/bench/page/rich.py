"""Runs made by hand that hold all a report can show: streams, a roofline, pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from bench.case import parse_case
from bench.fidelity import Fidelity, Reference
from bench.gate import judge_run
from bench.page.facts import Judged, Limits, facts
from bench.page.render import write_report
from bench.pictures import Pictures
from bench.results import parse_run
from bench.stream.laps import STAGES
from models.images import ImageSet
from tests.bench.runs import GOOD, IMAGES, MACHINE, row_json, run_json, run_of, scores

if TYPE_CHECKING:
    from pathlib import Path

    from bench.page.values import Facts
    from bench.results import Run

CASES = ("torch-fp32-b1", "openvino-fp32-b1", "openvino-int8-b1", "openvino-int8-b4", "torch-fp32-b4")
INT8 = "openvino-int8-b1"
HOSTILE = '<img src=x onerror="alert(1)"><script>alert(2)</script>\'"&$x^$|`'
FPS = {"torch-fp32-b1": 10.0, "openvino-fp32-b1": 40.0, INT8: 120.0, "openvino-int8-b4": 150.0, "torch-fp32-b4": 12.0}


def stream_json(case: str, **changes: Any) -> dict[str, Any]:
    """Return a stream's figures: 10 images in a second, nine tenths of it inference."""
    stages = {**dict.fromkeys(STAGES, 0.0), "infer": 0.9, "post_process": 0.1}
    return {
        "case": case,
        "done": 10,
        "partial": False,
        "runtime_s": 1.0,
        "fps": 10.0,
        "share_of_engine": 0.97,
        "latency_ms": {"p50": 100.0, "p90": 110.0, "p99": 120.0, "max": 130.0},
        "stages_s": stages,
        "plain": {"samples": 10, "runtime_s": 2.0, "fps": 5.0, "stages_s": stages},
        **changes,
    }


def roofline_json(case: str, layer: str = "conv", share: float | None = 0.5) -> dict[str, Any]:
    """Return a roofline of one case that takes 10 ms an inference, two layers of it 6 and 2 ms."""
    layers = [{"name": layer, "ms": 6.0, "share": 0.75}, {"name": "concatenation", "ms": 2.0, "share": 0.25}]
    found = {
        "share_of_ceiling": share,
        "bound_by": "arithmetic",
        "inference_s": 0.01,
        "outside_layers": 0.2,
        "layers": layers,
    }
    return {"ceilings": {"fp32": 1e9}, "cases": {case: found}}


def pictures_json(cases: dict[str, int], names: list[str] = IMAGES, size: int = 64) -> dict[str, Any]:
    """Return pictures of noise, each case's mask missing a square of its worst image and adding a smaller one."""
    pixels = np.random.default_rng(0).integers(0, 255, (len(names), size, size), dtype=np.uint8)
    fp32 = np.zeros(pixels.shape, np.uint8)
    fp32[:, :, : size // 2] = 1
    kept = Pictures()
    for case, image in cases.items():
        labels = fp32[image].copy()
        labels[8:16, 8:16] = 0
        labels[40:44, 50:54] = 1
        scores = np.ones((len(names), 2))
        scores[image, 1] = 0.9
        kept.keep(parse_case(case), Fidelity(tuple(names), scores, None, image, labels))
    return kept.as_dict(ImageSet(tuple(names), pixels, fp32.astype(np.bool_), "a test's"), Reference(fp32, 2))


def rich_json(**suite: Any) -> dict[str, Any]:
    """Return a run's JSON with everything in it."""
    rows = [row_json(case, fps=FPS[case], speedup=FPS[case] / 10) for case in CASES]
    streams = [{"name": f"test_stream[{case}]", "extra_info": {"stream": stream_json(case)}} for case in CASES[:3]]
    own = {"roofline": roofline_json(INT8), "pictures": pictures_json({INT8: 1}), "command": "pytest bench/"}
    return run_json(*rows, *streams, **{"selected": list(CASES), **own, **suite})


def rich_run(**suite: Any) -> Run:
    """Return the same as a value."""
    return parse_run(rich_json(**suite), "a test's run")


def facts_of(*runs: Run, limits: Limits | None = None) -> Facts:
    """Return the facts of runs without a baseline."""
    return facts(
        [Judged(f"run{index}.json", run, judge_run(run, None)) for index, run in enumerate(runs)], limits or Limits()
    )


def written(folder: Path, *runs: Run) -> Path:
    """Return the page of some runs as a file."""
    path = folder / "report.html"
    write_report(path, facts_of(*runs))
    return path


def hostile() -> Run:
    """Return a run in which every name that a user gives is hostile."""
    worst = {**scores(GOOD), "worst_image": HOSTILE}
    names = [IMAGES[0], HOSTILE, IMAGES[2]]
    return run_of(
        row_json(INT8, dice_fp32=worst, images=names),
        roofline=roofline_json(INT8, HOSTILE),
        pictures=pictures_json({INT8: 1}, names),
        failed={HOSTILE: HOSTILE},
        skipped={HOSTILE + "2": HOSTILE},
        command=HOSTILE,
        machine={**MACHINE, "cpu": HOSTILE},
    )
