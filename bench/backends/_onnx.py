"""What the ONNX-reading CPU backends share: how much work each convolution is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from onnx import numpy_helper

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import onnx

    from bench.case import Case

CONVOLUTIONS = ("conv", "convtranspose", "qlinearconv", "convinteger", "fusedconv", "nhwcfusedconv", "nhwcconv")
"""Operator names, lower case, under which runtimes list convolutions."""


def cpu_graph(case: Case) -> str:
    """Return the kind of graph that CPU runtimes read for a case: INT8 with unsigned activations."""
    return f"{case.precision}-unsigned" if case.arithmetic == "int8" else case.precision


def shares(work: Iterable[tuple[str, float]]) -> dict[str, float]:
    """Return each number format's share of the multiply-adds given as (format, multiply-adds) pairs."""
    total: dict[str, float] = {}
    for name, amount in work:
        total[name] = total.get(name, 0.0) + amount
    whole = sum(total.values())
    return {name: amount / whole for name, amount in total.items() if amount}


def multiply_adds(values: Sequence[int], weight: Sequence[int]) -> float:
    """Return a convolution's multiply-adds from its output [B, C, H, W] and weight [C, C_in / groups, kH, kW] shapes.

    A transposed one's are from its input [B, C_in, H, W] and weight [C_in, C / groups, kH, kW]. OpenVINO has the groups
    as an axis of their own before these four.
    """
    return float(np.prod(values)) * float(np.prod(weight[1 - len(values) :]))


def kernels(model: onnx.ModelProto) -> dict[str, list[int]]:
    """Return the weight shape [C, C_in, kH, kW] of each convolution by its node's name, seen through Q/DQ."""
    shapes = {tensor.name: list(tensor.dims) for tensor in model.graph.initializer}
    producers = {output: node for node in model.graph.node for output in node.output}
    found = {}
    for node in model.graph.node:
        if node.op_type.lower() in CONVOLUTIONS:
            name = node.input[1]
            while name not in shapes and name in producers:
                name = producers[name].input[0]
            if name in shapes:
                found[node.name] = shapes[name]
    return found


def narrow_weights(model: onnx.ModelProto) -> None:
    """Double the scales of a Q/DQ graph's weights, so that they quantize to 7 bits, -64 to 64."""
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    quantized = [node for node in model.graph.node if node.op_type == "QuantizeLinear" and node.input[0] in weights]
    for name in {node.input[1] for node in quantized}:
        scale = numpy_helper.to_array(weights[name])
        weights[name].CopyFrom(numpy_helper.from_array(scale * 2, name))
