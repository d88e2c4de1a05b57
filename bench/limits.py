"""How faithful and how fast a case must stay: the floors, the margins and the allowed losses, in one place."""

from __future__ import annotations

from dataclasses import dataclass

MAX_FPS_DROP = 0.05
"""Loss of FPS, as a share, that is never let pass as noise; `--max-fps-drop` sets another, for every case."""
LEAST_FPS_DROP = 0.01
"""Loss of FPS too small for an alarm even where the machine is quiet enough to show it."""
SPREADS = 2.0
"""Between these two, a case's limit is this many of its standard deviations between runs.

Two runs of the same code lie so far apart once in six times. It was 3 until a simulation showed that losses of 2 % then
pass on a machine with a spread of 0.5 %; a significance of its own guards against false alarms.
"""
BUILD_SPREAD = 0.008
"""What builds of one case are taken to differ by, before a baseline's own are counted: a standard deviation of the FPS.

That of TensorRT's on an H100 (13 cases of two or three builds), of torch.compile's there in FP32 and TF32 (6 cases of
two), and of a backend of which nothing is known.
"""
BUILD_SPREADS = {
    "torch": 0.0,
    "onnxruntime": 0.0,
    "openvino": 0.0,
    "torch_compile-fp16": 0.052,
    "torch_compile-bf16": 0.052,
}
"""The same by backend, or by backend and arithmetic: torch.compile's is of 2 cases of two builds there.

Builds of those that search no kernels are taken for one, though their files may differ.
"""
BUILD_FREEDOM = 8
"""Degrees of freedom that this is worth: a baseline whose own builds have more of them outweighs it."""
ANCHOR_FPS_DROP = 0.10
"""Loss of FPS against the first accepted runs, which many small accepted losses add up to."""
ANCHOR_MARGINS = 2.0
"""The same for Dice, in margins."""


@dataclass(frozen=True, slots=True)
class DiceLimits:
    """Limits on Dice, per class unless said otherwise; alike for Dice against the FP32 masks and the truth."""

    floor: float
    """Least mean over the images of the target's Dice against the FP32 masks, whatever the baseline says."""
    drift: float
    """Most that any image may lose against its stored Dice, beyond what `bench.accuracy.between_builds` allows."""
    margin: float
    """Most that the mean over the images may lose against the stored mean."""
    kept: float
    """Least share of the FP32 model's own Dice against the truth that must be kept (MLPerf's 99 % and 99.9 %)."""


DICE = {
    "fp32": DiceLimits(0.9999, 0.0005, 0.0001, 0.999),
    "tf32": DiceLimits(0.9995, 0.0005, 0.0002, 0.999),
    "fp16": DiceLimits(0.9995, 0.0005, 0.0002, 0.999),
    "bf16": DiceLimits(0.990, 0.003, 0.001, 0.99),
    "int8": DiceLimits(0.970, 0.005, 0.002, 0.99),
    "int8-percentile": DiceLimits(0.950, 0.005, 0.002, 0.99),
    "int8-entropy": DiceLimits(0.900, 0.010, 0.004, 0.97),
    "int8-uncalibrated": DiceLimits(0.900, 0.010, 0.004, 0.97),
}
"""By precision. Drift and margin are several times what honest rebuilds of one engine on one machine differ by."""
