"""What all backends on TensorRT answer alike: why a case cannot run here, and the versions that decide an engine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import tensorrt as trt

from bench.backends import _cuda

if TYPE_CHECKING:
    from collections.abc import Collection

    from bench.case import Case


def obstacle(case: Case, device: str, precisions: Collection[str]) -> str | None:
    """Return why a case cannot run: the device, the driver, or a precision that is not offered; else None."""
    if device != "cuda":
        return f"TensorRT needs an NVIDIA GPU; this run is on {device}"
    if case.precision not in precisions:
        return f"{case.backend} offers {', '.join(precisions)}; not {case.precision}"
    return _cuda.missing()


def versions() -> dict[str, str]:
    """Return the versions of TensorRT, pycuda and the driver, and the GPU that engines are bound to."""
    return {"tensorrt": trt.__version__, **_cuda.versions()}
