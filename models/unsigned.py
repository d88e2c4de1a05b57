"""The Q/DQ graph in the form that CPU runtimes fuse: the same calibration and weights, unsigned activations."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

import numpy as np
from onnx import helper, numpy_helper

from models.quantize import LIMIT

if TYPE_CHECKING:
    import onnx


def unsigned(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the graph with all activations but the image in UINT8, and quantized before each Resize.

    TensorRT takes INT8 with zero point 0 alone. ONNX Runtime fuses Conv, ReLU and Q into one INT8 kernel only where
    ReLU is no more than the lower end of the quantized range, which is zero point 0 of UINT8: given the signed graph,
    1.32 runs every convolution in FP32, at 0.28 of the FPS (unet-small, 512x512, a CPU with VNNI). OpenVINO 2026.4
    runs the signed graph in INT8 at 0.92 of the FPS, with a Dice of 0.935 against FP32's masks in place of 0.997. The
    calibrated range stays: where nothing is negative, INT8's positive half becomes all of UINT8, at half the scale;
    what may be negative keeps its scale, and 128 stands for 0. Left in INT8, OpenVINO would run what reads joined maps
    in FP32, such as a third of the FLOPs of a U-Net that upsamples by transposed convolutions. A convolution followed
    by Resize has no Q in the signed graph and would run in FP32; it gets the scale of what the Resize ends in. What
    linear interpolation makes lies within the range of what it reads, so that at most peaks are clipped. Nor has one
    that anything but ReLU follows, such as LeakyReLU, SiLU, a sum or a normalisation; it gets its own range.
    """
    graph = model.graph
    weights = {tensor.name: tensor for tensor in graph.initializer}
    producers = {output: node for node in graph.node for output in node.output}
    consumers: dict[str, list[onnx.NodeProto]] = defaultdict(list)
    for node in graph.node:
        for name in node.input:
            consumers[name].append(node)
    positive = _non_negative(graph)
    image = {value.name for value in graph.input}
    for node in [node for node in graph.node if node.op_type == "QuantizeLinear"]:
        if node.input[0] in weights or node.input[0] in image:
            continue  # what reads the image runs in INT8 as it is
        scale = numpy_helper.to_array(weights[node.input[1]])
        names = [f"{node.output[0]}_scale_u8", f"{node.output[0]}_zero_u8"]
        signed = node.input[0] not in positive
        graph.initializer.append(numpy_helper.from_array((scale / (1 if signed else 2)).astype(np.float32), names[0]))
        graph.initializer.append(numpy_helper.from_array(np.full_like(scale, 128 * signed, dtype=np.uint8), names[1]))
        for pair in (node, *consumers[node.output[0]]):
            pair.input[1:3] = names
        before = producers.get(node.input[0])
        joined = before.input if before is not None and before.op_type == "Concat" else [node.input[0]]
        for name in joined:
            before = producers.get(name)
            if before is not None and before.op_type == "Resize":
                _quantize_input(graph, before, names)
    for entry in model.metadata_props:
        if entry.key.startswith(LIMIT):
            _quantize_output(model, entry.key.removeprefix(LIMIT), float(entry.value))
    return model


def _quantize_output(model: onnx.ModelProto, name: str, limit: float) -> None:
    """Put Q/DQ behind a tensor, UINT8 symmetric about 128, which is what ONNX Runtime makes of signed maps itself."""
    graph = model.graph
    names = [f"{name}_scale_u8", f"{name}_zero_u8"]
    graph.initializer.append(numpy_helper.from_array(np.float32(max(limit, 1e-8) / 127), names[0]))
    graph.initializer.append(numpy_helper.from_array(np.uint8(128), names[1]))
    readers = [node for node in graph.node if name in node.input]
    place = next(place for place, node in enumerate(graph.node) if name in node.output) + 1
    dequantized = _insert_pair(graph, place, name, names)
    for node in readers:
        node.input[:] = [dequantized if each == name else each for each in node.input]


def _non_negative(graph: onnx.GraphProto) -> frozenset[str]:
    """Return the tensors that are not to be negative: ReLU's outputs and what pools, interpolates or joins only such.

    A cubic resize overshoots beside edges, and what it makes below 0 is clipped. Kept, it makes the maps that it joins
    signed: of a U-Net of width 4 at 64x64 ONNX Runtime then ran 11 % in FP32 (Dice 0.993 -> 0.995), and OpenVINO's Dice
    fell from 0.994 to 0.982.
    """
    found: set[str] = set()
    for node in graph.node:  # in topological order
        data = [name for name in node.input[: None if node.op_type == "Concat" else 1] if name]
        keeps = node.op_type in {"MaxPool", "Concat", "Resize", "QuantizeLinear", "DequantizeLinear"}
        if node.op_type == "Relu" or (keeps and all(name in found for name in data)):
            found.update(node.output)
    return frozenset(found)


def _quantize_input(graph: onnx.GraphProto, node: onnx.NodeProto, names: list[str]) -> None:
    node.input[0] = _insert_pair(graph, list(graph.node).index(node), node.input[0], names)


def _insert_pair(graph: onnx.GraphProto, place: int, source: str, names: list[str]) -> str:
    """Insert Q/DQ of a tensor with this scale and zero point among the nodes, and return what it dequantizes to."""
    dequantized = f"{source}_dq_u8"
    graph.node.insert(place, helper.make_node("DequantizeLinear", [f"{source}_q_u8", *names], [dequantized]))
    graph.node.insert(place, helper.make_node("QuantizeLinear", [source, *names], [f"{source}_q_u8"]))
    return dequantized
