"""The network as ONNX files, one per precision: precision is decided here, once, for every runtime."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx
import torch
from onnx import helper, numpy_helper, version_converter
from onnx.checker import ValidationError
from onnx.shape_inference import InferenceError
from onnxruntime.quantization.onnx_model import ONNXModel
from onnxruntime.transformers.float16 import convert_float_to_float16

from models.ends import ENDS
from models.padding import padded_for
from models.quantize import CALIBRATIONS, calibrate, quantize
from models.tracing import trace
from models.unsigned import unsigned
from models.variants import VARIANTS, shared_concat

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from torch import nn

    from models.quantize import Ranges

OPSET = 17
"""The newest opset that TensorRT 8.6 parses."""
TYPED_OPSET = 19
"""The oldest opset whose Q/DQ operators take FP16 scales, as strongly typed networks need."""
BF16_OPSET = 22
"""The oldest opset whose Conv takes BF16."""
_IR_VERSION = 4
"""The oldest form of the file whose weights need not be inputs."""

INT8_KINDS = tuple(CALIBRATIONS)
KINDS = ("fp32", "fp16", "bf16", *(f"{kind}{form}" for kind in INT8_KINDS for form in ("", "-typed", "-unsigned")))
"""Kinds of graph. INT8 comes as Q/DQ with signed activations and FP32 scales, as every TensorRT takes it; `-typed`
carries FP16 scales and FP16 everything else, for strongly typed networks; `-unsigned` is the form CPU runtimes fuse."""

_PLAIN = {"value_int": np.int64, "value_ints": np.int64, "value_float": np.float32, "value_floats": np.float32}
"""Attributes of Constant nodes that hold their numbers without a tensor, and the type that these have."""


class GraphError(ValueError):
    """A graph that cannot be made from this network; the text says why."""


def export(module: nn.Module, size: tuple[int, int], path: Path, dtype: torch.dtype = torch.float32) -> None:
    """Write the module as ONNX: `image` float32 [batch, 1, H, W] to `logits` float32 [batch, classes, H, W].

    With another `dtype` all weights and arithmetic between the first and last Cast are of that type.
    The batch is dynamic, height and width are fixed. The file is checked with `onnx.checker`. `GraphError` where the
    exporter has no ONNX for what the module does, OSError where the file cannot be written.
    """
    wrapped = module if dtype is torch.float32 else _Typed(module, dtype).eval()
    try:
        trace(wrapped, size, path, OPSET)
    except OSError:  # a full disk is no fault of the network
        raise
    except Exception as error:  # the exporter lets pass whatever the module or one of its operators raises
        # What PyTorch says after that is whom to write to, and the graph.
        reason = str(error).strip().partition("\n")[0].partition(" Please feel free")[0].rstrip(".")
        msg = (
            f"PyTorch cannot export {type(module).__name__} as ONNX for images of {size[0]}x{size[1]} "
            f"({type(error).__name__}: {reason}): try another --image-size, change that operation, or give "
            "--model an ONNX file that another exporter made"
        )
        raise GraphError(msg) from error
    model = _padded_plainly(_constants_inlined(onnx.load(path)))
    if dtype is torch.float32:
        model = padded_for(model, size)
    classes = model.graph.output[0].type.tensor_type.shape.dim
    for dim, value in zip(classes[2:], size, strict=True):
        dim.dim_value = value
    _save(version_converter.convert_version(model, BF16_OPSET) if dtype is torch.bfloat16 else model, path)


def adopt(onnx_path: Path, size: tuple[int, int], path: Path) -> None:
    """Write a user's ONNX graph for images of `size`, external data included, as one checked file of few operators."""
    _save(padded_for(_fixed_weights(_constants_inlined(onnx.load(onnx_path))), size), path)


def to_fp16(fp32: Path, path: Path) -> None:
    """Write the typed FP16 graph of an FP32 one; inputs and outputs stay float32 and are cast inside."""
    _save(_halved(onnx.load(fp32)), path)


def to_int8(fp32: Path, ranges: Ranges, path: Path) -> None:
    """Write the Q/DQ INT8 graph of an FP32 one, with FP32 scales, in opset 17."""
    _save(quantize(fp32, ranges), path)


def to_int8_typed(int8: Path, path: Path) -> None:
    """Write the typed form of a Q/DQ graph: FP16 scales, FP16 between the quantized convolutions, opset 19."""
    _save(_halved(version_converter.convert_version(onnx.load(int8), TYPED_OPSET)), path)


def to_int8_unsigned(int8: Path, path: Path) -> None:
    """Write the form of a Q/DQ graph that ONNX Runtime and OpenVINO fuse on CPUs.

    Concatenations join one scale, which ONNX Runtime does in UINT8 then, and in FP32 otherwise.
    """
    _save(shared_concat(_sorted(unsigned(onnx.load(int8)))), path)


def to_variant(graph: Path, steps: Sequence[str], path: Path) -> None:
    """Write a graph changed by steps of `models.variants.VARIANTS` and `models.ends.ENDS`, one after the other.

    `models.ends.EndError` where the network has no such end.
    """
    model = onnx.load(graph)
    for step in steps:
        model = _sorted({**VARIANTS, **ENDS}[step](model))
    _save(model, path)


def calibration_ranges(fp32: Path, images: NDArray[np.float32], kind: str) -> Ranges:
    """Return activation ranges of the FP32 graph on normalised images [N, 1, H, W] for one INT8 kind."""
    return calibrate(fp32, images, kind)


class _Typed(torch.nn.Module):
    """The network in another type between a Cast from and a Cast to float32."""

    def __init__(self, module: nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        self.network = module.to(dtype)
        self.dtype = dtype

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.network(image.to(self.dtype))
        return logits.float()


def _halved(model: onnx.ModelProto) -> onnx.ModelProto:
    # The library takes the types that a graph notes beside its weights, as PyTorch's newer exporter does, for values to
    # halve, those of a Resize's scales too, which stay FP32.
    del model.graph.value_info[:]
    # The library blocks Resize for an old ONNX Runtime; nothing here needs FP32 but the graph's own inputs.
    halved: onnx.ModelProto = convert_float_to_float16(model, keep_io_types=True, op_block_list=[])
    return halved


def _constants_inlined(model: onnx.ModelProto) -> onnx.ModelProto:
    """Turn Constant nodes, and Identity nodes on weights, into weights: older parsers want scales as such."""
    graph = model.graph
    weights = {tensor.name: tensor for tensor in graph.initializer}
    for node in list(graph.node):
        if node.op_type == "Constant" and node.attribute[0].name in {"value", *_PLAIN}:
            tensor = _constant(node.attribute[0])
        elif node.op_type == "Identity" and node.input[0] in weights:
            tensor = onnx.TensorProto.FromString(weights[node.input[0]].SerializeToString())
        else:
            continue
        tensor.name = node.output[0]
        weights[tensor.name] = tensor
        graph.initializer.append(tensor)
        graph.node.remove(node)
    return model


def _padded_plainly(model: onnx.ModelProto) -> onnx.ModelProto:
    """Write the padding of convolutions that keep the size (`padding="same"`) in numbers: ONNX Runtime wants them."""
    for node in model.graph.node:
        given = {each.name: helper.get_attribute_value(each) for each in node.attribute}
        if node.op_type == "Conv" and given.get("auto_pad") == b"SAME_UPPER" and set(given["strides"]) == {1}:
            extents = zip(given["kernel_shape"], given["dilations"], strict=True)
            totals = [(extent - 1) * dilation for extent, dilation in extents]
            pads = [*(total // 2 for total in totals), *(total - total // 2 for total in totals)]
            kept = [each for each in node.attribute if each.name not in {"auto_pad", "pads"}]
            del node.attribute[:]
            node.attribute.extend([*kept, helper.make_attribute("pads", pads)])
    return model


def _fixed_weights(model: onnx.ModelProto) -> onnx.ModelProto:
    """Take weights from the graph's inputs: a caller could change such, so that no runtime folds or quantizes them."""
    graph = model.graph
    weights = {tensor.name for tensor in graph.initializer}
    images = [value for value in graph.input if value.name not in weights]
    del graph.input[:]
    graph.input.extend(images)
    model.ir_version = max(model.ir_version, _IR_VERSION)
    return model


def _constant(attribute: onnx.AttributeProto) -> onnx.TensorProto:
    """Return the tensor of a Constant node, which may hold its numbers plainly."""
    tensor: onnx.TensorProto
    if attribute.name == "value":
        tensor = onnx.TensorProto.FromString(attribute.t.SerializeToString())
    else:
        numbers = np.asarray(helper.get_attribute_value(attribute), _PLAIN[attribute.name])
        tensor = numpy_helper.from_array(numbers)
    return tensor


def _sorted(model: onnx.ModelProto) -> onnx.ModelProto:
    """Put a graph's nodes in topological order."""
    ONNXModel(model).topological_sort()
    return model


def _save(model: onnx.ModelProto, path: Path) -> None:
    """Sort a graph's nodes, check it and write it in one step, so that nothing half-written stays."""
    _sorted(model)
    try:
        onnx.checker.check_model(model, full_check=True)
    except (ValidationError, InferenceError) as error:
        reason = str(error).strip().partition("\n")[0]
        msg = f"the graph that this precision needs comes out invalid ({reason}): try another exporter or opset"
        raise GraphError(msg) from error
    handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".onnx.tmp")
    os.close(handle)
    try:
        onnx.save(model, temporary)
        Path(temporary).replace(path)
    finally:
        Path(temporary).unlink(missing_ok=True)
