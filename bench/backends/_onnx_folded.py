"""What an ONNX graph computes of its own extents when it runs, computed by ONNX Runtime."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper

if TYPE_CHECKING:
    from collections.abc import Sequence

_ERRORS = 3
"""ONNX Runtime warns of what it cannot fold, which is none of the user's business."""


def folded(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a graph of fixed input with what depends on extents alone, such as padding, as constants."""
    options = ort.SessionOptions()
    options.log_severity_level = _ERRORS
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
    with TemporaryDirectory() as folder:
        options.optimized_model_filepath = str(Path(folder) / "folded.onnx")
        ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        return onnx.load(options.optimized_model_filepath)


def extents(model: onnx.ModelProto, names: Sequence[str]) -> dict[str, list[int]]:
    """Return the extents of tensors of a graph of fixed input, whose nodes stay as they are."""
    probe = onnx.ModelProto()
    probe.CopyFrom(model)
    del probe.graph.output[:]
    for name in names:
        probe.graph.node.append(helper.make_node("Shape", [name], [f"{name} extents"]))
        probe.graph.output.append(helper.make_tensor_value_info(f"{name} extents", TensorProto.INT64, None))
    # What no wanted tensor's extents depend on is dropped before it runs: most often all of the network.
    options = ort.SessionOptions()
    options.log_severity_level = _ERRORS
    session = ort.InferenceSession(probe.SerializeToString(), options, providers=["CPUExecutionProvider"])
    (image,) = session.get_inputs()
    found = session.run(None, {image.name: np.zeros(image.shape, np.float32)})
    return {name: values.tolist() for name, values in zip(names, found, strict=True)}
