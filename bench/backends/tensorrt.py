"""TensorRT with the precision in the graph: typed FP16 and BF16 graphs, and Q/DQ for INT8.

Strongly typed where TensorRT can be, from 10 on, and the only way on 11. Version 8.6 is weakly typed: there the
formats that the graph is written in must be allowed by flags as well, and it has no BF16.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import tensorrt as trt

from bench.backends import _nvidia, _trt_build, _trt_run
from bench.backends._nvidia import versions
from bench.backends._trt_config import Options, strongly_typed

if TYPE_CHECKING:
    from pathlib import Path

    from bench.backend import Engine, Source
    from bench.case import Case

__all__ = ["PRECISIONS", "READS", "build", "load", "options", "recipe", "supports", "versions"]

READS: Literal["module", "graph"] = "graph"
PRECISIONS = ("fp32", "tf32", "fp16", "bf16", "int8", "int8-entropy", "int8-percentile")
# What a weakly typed network must be allowed to run the graph as it is written.
_FLAGS = {"fp16": ("FP16",), "int8": ("FP16", "INT8")}


def supports(case: Case, device: str) -> str | None:
    """Return why this machine cannot run the case, or None when it can."""
    if device == "cuda" and case.precision == "bf16" and not hasattr(trt.DataType, "BF16"):
        return f"TensorRT {trt.__version__} has no BF16; 10 and later do"
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
    typed = strongly_typed()
    tf32 = case.precision != "fp32"
    if case.arithmetic in ("fp32", "tf32"):
        return Options("fp32", typed=typed, tf32=tf32)
    graph = f"{case.precision}-typed" if typed and case.arithmetic == "int8" else case.precision
    return Options(graph, typed=typed, flags=() if typed else _FLAGS[case.arithmetic], tf32=tf32)
