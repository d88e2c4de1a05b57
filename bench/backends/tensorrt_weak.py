"""TensorRT by the classical road: the FP32 graph, builder flags that allow lower precision, and a calibrator.

For TensorRT 8.6 and 10; version 11 has removed flags and calibrators.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import tensorrt as trt

from bench.backends import _nvidia, _trt_build, _trt_run
from bench.backends._nvidia import versions
from bench.backends._trt_config import Options, weakly_typed

if TYPE_CHECKING:
    from pathlib import Path

    from bench.backend import Engine, Source
    from bench.case import Case

__all__ = ["PRECISIONS", "READS", "build", "load", "options", "recipe", "supports", "versions"]

READS: Literal["module", "graph"] = "graph"

# INT8 comes with FP16: layers that have no INT8 kernel, or a slower one, should not fall back to FP32.
_OPTIONS = {
    "fp32": Options("fp32", tf32=False),
    "tf32": Options("fp32"),
    "fp16": Options("fp32", flags=("FP16",)),
    "int8": Options("fp32", flags=("FP16", "INT8"), calibrator="MinMax"),
    "int8-entropy": Options("fp32", flags=("FP16", "INT8"), calibrator="Entropy2"),
}

PRECISIONS = tuple(_OPTIONS)


def supports(case: Case, device: str) -> str | None:
    """Return why this machine cannot run the case, or None when it can."""
    if device == "cuda" and not weakly_typed():
        return (
            f"TensorRT {trt.__version__} has no precision flags and calibrators any more; "
            "the backend tensorrt takes the precision from the graph"
        )
    return _nvidia.obstacle(case, device, PRECISIONS)


def recipe(case: Case, device: str) -> dict[str, str]:  # noqa: ARG001 - the contract's signature
    """Return what decides the plan besides graph, versions and GPU."""
    return options(case).recipe()


def build(source: Source, case: Case, folder: Path) -> None:
    """Build the plan in `folder`; `BuildError` or `OutOfMemoryError` on failure."""
    _trt_build.build(source, case, folder, options(case))


def load(source: Source, case: Case, folder: Path) -> Engine:
    """Return the engine of the plan in `folder`, after its first inference."""
    return _trt_run.load(source, case, folder)


def options(case: Case) -> Options:
    """Return how TensorRT builds a case."""
    return _OPTIONS[case.precision]
