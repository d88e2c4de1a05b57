"""How faithful and how fast a case must stay: the floors and the allowed drifts, in one table."""

from __future__ import annotations

from dataclasses import dataclass

MAX_FPS_DROP = 0.10
"""Allowed loss of FPS against the baseline, as a share; `--max-fps-drop` changes it."""


@dataclass(frozen=True, slots=True)
class DiceLimits:
    """Limits on the target class's Dice against the FP32 masks."""

    floor: float
    """Least mean over the images, whatever the baseline says."""
    drift: float
    """Most that any image, of any class, may lose against its stored Dice."""


DICE = {
    "fp32": DiceLimits(0.9999, 0.0005),
    "tf32": DiceLimits(0.9995, 0.0005),
    "fp16": DiceLimits(0.9995, 0.0005),
    "bf16": DiceLimits(0.990, 0.003),
    "int8": DiceLimits(0.970, 0.005),
    "int8-percentile": DiceLimits(0.950, 0.005),
    "int8-entropy": DiceLimits(0.900, 0.010),
    "int8-uncalibrated": DiceLimits(0.900, 0.010),
}
"""By precision. The drift is several times the largest seen between rebuilds of one engine on one machine."""
