"""Ranges that somebody else calibrated, TensorRT for one, as the quantizer takes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from onnxruntime.quantization import CalibrationMethod
from onnxruntime.quantization.calibrate import TensorsData

if TYPE_CHECKING:
    from collections.abc import Mapping

    from models.quantize import Ranges


def symmetric(limits: Mapping[str, float]) -> Ranges:
    """Return the ranges from minus to plus each tensor's limit."""
    ends = {name: (np.asarray(-limit, np.float32), np.asarray(limit, np.float32)) for name, limit in limits.items()}
    return TensorsData(CalibrationMethod.MinMax, ends)
