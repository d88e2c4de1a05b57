"""What all backends on TensorRT answer alike: why a case cannot run here, and the versions that decide an engine."""

from __future__ import annotations

import contextlib
import ctypes
from typing import TYPE_CHECKING

import tensorrt as trt

from bench.backends import _cuda

if TYPE_CHECKING:
    from collections.abc import Collection

    from bench.case import Case


_NEEDED = (
    ("ICudaEngine", "num_io_tensors"),
    ("IExecutionContext", "execute_async_v3"),
    ("IBuilderConfig", "builder_optimization_level"),
)
"""What the youngest features in use are called; all came by 8.6."""
_AMPERE = (8, 0)
"""The first compute capability with TF32 and BF16: before it, TF32 allowed is FP32, and BF16 does not build."""


def _let_memory_run_out() -> None:
    """Undo what loading TensorRT 8.6 does to the process: LLVM, in it, ends the process where `new` finds no memory.

    "LLVM ERROR: out of memory" and an abort was the end of a session whose ONNX Runtime asked for too much. C++'s own
    way is an exception, which runtimes turn into an error of that one case.
    """
    with contextlib.suppress(OSError, AttributeError):  # where there is no libstdc++, its handler was not set either
        set_handler = ctypes.CDLL("libstdc++.so.6")["_ZSt15set_new_handlerPFvvE"]
        set_handler.argtypes, set_handler.restype = [ctypes.c_void_p], ctypes.c_void_p
        set_handler(None)


_let_memory_run_out()


def obstacle(case: Case, device: str, precisions: Collection[str]) -> str | None:
    """Return why a case cannot run: device, driver, a TensorRT or GPU too old, a precision not offered; else None."""
    if device != "cuda":
        return f"TensorRT needs an NVIDIA GPU; this run is on {device}"
    if case.precision not in precisions:
        return f"{case.backend} offers {', '.join(precisions)}; not {case.precision}"
    lacks = [f"{owner}.{name}" for owner, name in _NEEDED if not hasattr(getattr(trt, owner, None), name)]
    if lacks:
        return f"TensorRT {trt.__version__} has no {', '.join(lacks)}; 8.6 and later do"
    return _cuda.missing() or _unsupported(case.precision)


def _unsupported(precision: str) -> str | None:
    if precision in {"tf32", "bf16"} and _cuda.capability() < _AMPERE:
        return f"{precision} needs an NVIDIA GPU of compute capability 8.0 or later"
    return None


def versions() -> dict[str, str]:
    """Return the versions of TensorRT, pycuda and the driver, and the GPU that engines are bound to."""
    return {"tensorrt": trt.__version__, **_cuda.versions()}
