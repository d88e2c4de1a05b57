"""torch2trt: the PyTorch module converted layer by layer, kept as a state dict, run as a `TRTModule`.

Not on the package registry: install it from github.com/NVIDIA-AI-IOT/torch2trt. For TensorRT 8.6 and 10.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import tensorrt as trt

if not hasattr(trt, "IInt8Calibrator"):
    # torch2trt's own import would fail with an AttributeError that names no version.
    _REASON = f"torch2trt needs the precision flags and calibrators that TensorRT {trt.__version__} no longer has"
    raise ImportError(_REASON)

import torch2trt

from bench.backends import _nvidia, _torch2trt_build, _torch2trt_run
from bench.backends._trt_config import shared_recipe

if TYPE_CHECKING:
    from bench.backend import Engine, Source
    from bench.case import Case

__all__ = ["PRECISIONS", "READS", "build", "load", "recipe", "supports", "versions"]

READS: Literal["module", "graph"] = "module"

# torch2trt's default is another algorithm on TensorRT 10 than on 8.6.
_DEFAULT = getattr(getattr(torch2trt, "DEFAULT_CALIBRATION_ALGORITHM", None), "name", "unknown")
_CALIBRATION = {
    "fp16": "none",
    "int8-uncalibrated": f"torch2trt's default ({_DEFAULT}) on the example input alone, as when it is given no images",
    "int8": "MinMax",
    "int8-entropy": "Entropy2",
}

PRECISIONS = tuple(_CALIBRATION)


def supports(case: Case, device: str) -> str | None:
    """Return why this machine cannot run the case, or None when it can."""
    return _nvidia.obstacle(case, device, PRECISIONS)


def versions() -> dict[str, str]:
    """Return the versions that decide the engine; torch2trt has none of its own to rely on, so its source's digest."""
    digest = hashlib.sha256()
    for file in sorted(Path(str(torch2trt.__file__)).parent.rglob("*.py")):
        digest.update(file.read_bytes())
    return {"torch2trt": f"source {digest.hexdigest()[:12]}", **_nvidia.versions()}


def recipe(case: Case, device: str) -> dict[str, str]:  # noqa: ARG001 - the contract's signature
    """Return what decides the engine besides the weights, versions and GPU."""
    return {
        "flags": " ".join(flag.upper().removesuffix("_MODE") for flag in _modes(case)),
        "calibrator": _CALIBRATION[case.precision],
        **shared_recipe(),
    }


def build(source: Source, case: Case, folder: Path) -> None:
    """Convert the module and leave its state dict in `folder`; `BuildError` or `OutOfMemoryError` on failure."""
    options: dict[str, Any] = dict.fromkeys(_modes(case), True)
    if case.precision == "int8":
        options["int8_calib_algorithm"] = trt.CalibrationAlgoType.MINMAX_CALIBRATION
    elif case.precision == "int8-entropy":
        options["int8_calib_algorithm"] = trt.CalibrationAlgoType.ENTROPY_CALIBRATION_2
    _torch2trt_build.build(source, case, folder, options, calibrated=case.precision in ("int8", "int8-entropy"))


def load(source: Source, case: Case, folder: Path) -> Engine:
    """Return the engine of the state dict in `folder`, after its first inference."""
    return _torch2trt_run.load(source, case, folder)


def _modes(case: Case) -> tuple[str, ...]:
    # As in tensorrt_weak, INT8 comes with FP16 for the layers that are slower or impossible in INT8.
    return ("fp16_mode", "int8_mode") if case.arithmetic == "int8" else ("fp16_mode",)
