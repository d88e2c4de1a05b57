"""The Q/DQ graph in the form that CPU runtimes fuse: the same calibration and weights, unsigned activations."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

import numpy as np
from onnx import helper, numpy_helper

from models.quantize import LIMIT

if TYPE_CHECKING:
    from collections.abc import Mapping

    import onnx
    from numpy.typing import NDArray


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
    linear interpolation makes lies within the range of what it reads, so that at most peaks are clipped. Where it ends
    in maps joined with signed ones, what a ReLU put out has 0 at zero point 0 before the Resize all the same. Nor has
    one a Q that anything but ReLU follows, such as LeakyReLU, SiLU, a sum or a normalisation; it gets its own range.
    """
    graph = model.graph
    weights = {tensor.name: tensor for tensor in graph.initializer}
    producers = {output: node for node in graph.node for output in node.output}
    consumers: dict[str, list[onnx.NodeProto]] = defaultdict(list)
    for node in graph.node:
        for name in node.input:
            consumers[name].append(node)
    positive = _non_negative(graph)
    kept = weights.keys() | {value.name for value in graph.input}  # what reads the image runs in INT8 as it is
    resized: dict[str, str] = {}
    for node in [node for node in graph.node if node.op_type == "QuantizeLinear" and node.input[0] not in kept]:
        signed = node.input[0] not in positive
        if signed and _only_transposed(consumers, node):
            continue
        scale = numpy_helper.to_array(weights[node.input[1]])
        names = _levels(graph, node.output[0], scale, signed=signed)
        for pair in (node, *consumers[node.output[0]]):
            pair.input[1:3] = names
        for resize in _resizes(producers, node.input[0]):
            source = resize.input[0]
            if source not in resized:  # else joined, or resized, more than once: one scale serves all
                halved = signed and source in positive
                levels = _levels(graph, f"{source}_resized", scale, signed=False) if halved else names
                made = _insert_pair(graph, list(graph.node).index(resize), source, levels)
                resized.update({source: made, made: made})
            resize.input[0] = resized[source]
    for entry in model.metadata_props:
        if entry.key.startswith(LIMIT):
            _quantize_output(model, entry.key.removeprefix(LIMIT), float(entry.value))
    return model


def _only_transposed(consumers: Mapping[str, list[onnx.NodeProto]], quantize: onnx.NodeProto) -> bool:
    """Return whether one transposed convolution, and nothing else, reads what a node quantizes.

    OpenVINO has no such convolution of integers whose 0 is 128: of MONAI's UNet it ran 17 to 47 % in FP32. ONNX
    Runtime has none at all, and writes INT8 for a single reader alone.
    """
    readers = [node for pair in consumers[quantize.output[0]] for node in consumers[pair.output[0]]]
    return [node.op_type for node in readers] == ["ConvTranspose"]


def _resizes(producers: Mapping[str, onnx.NodeProto], name: str) -> list[onnx.NodeProto]:
    """Return the Resize nodes that make a tensor, or what a concatenation makes it of."""
    made = producers.get(name)
    joined = made.input if made is not None and made.op_type == "Concat" else [name]
    return [producers[each] for each in joined if each in producers and producers[each].op_type == "Resize"]


def _levels(graph: onnx.GraphProto, stem: str, scale: NDArray[np.float32], *, signed: bool) -> list[str]:
    """Add what quantizes to UINT8 what a scale of INT8 with zero point 0 holds, and return the names of both."""
    names = [f"{stem}_scale_u8", f"{stem}_zero_u8"]
    graph.initializer.append(numpy_helper.from_array((scale / (1 if signed else 2)).astype(np.float32), names[0]))
    graph.initializer.append(numpy_helper.from_array(np.full_like(scale, 128 * signed, dtype=np.uint8), names[1]))
    return names


def _quantize_output(model: onnx.ModelProto, name: str, limit: float) -> None:
    """Put Q/DQ behind a tensor, UINT8 symmetric about 128, which is what ONNX Runtime makes of signed maps itself."""
    graph = model.graph
    names = _levels(graph, name, np.asarray(max(limit, 1e-8) / 127), signed=True)
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


def _insert_pair(graph: onnx.GraphProto, place: int, source: str, names: list[str]) -> str:
    """Insert Q/DQ of a tensor with this scale and zero point among the nodes, and return what it dequantizes to."""
    dequantized = f"{source}_dq_u8"
    graph.node.insert(place, helper.make_node("DequantizeLinear", [f"{source}_q_u8", *names], [dequantized]))
    graph.node.insert(place, helper.make_node("QuantizeLinear", [source, *names], [f"{source}_q_u8"]))
    return dequantized
