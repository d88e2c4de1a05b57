"""Graphs as TensorRT takes them, and the FLOPs of their convolutions, which weigh the precision an engine achieves."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING

import onnx
from onnx import shape_inference

from bench.backend import BuildError
from bench.backends._onnx_folded import extents
from models.nodes import unquantize

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class FixedGraph:
    """A graph without free dimensions, as parsers take it."""

    content: bytes
    convolution_flops: dict[str, float]
    """FLOPs (two a multiply-add) of each convolution by the name of its node; unnamed nodes are left out."""


def fixed_graph(path: Path, batch_size: int, size: tuple[int, int]) -> FixedGraph:
    """Return the graph for images float32 [batch_size, 1, *size]; `BuildError` where its own shape says otherwise.

    With every dimension fixed an engine needs no optimization profile, and its inspector names all formats. Transposed
    convolutions lose their Q/DQ: given scales per output channel TensorRT 8.6 fails to build them ("Assertion engine
    failed"), as it does given one for all, and given them per input channel it computes other maps (on an H100 a U-Net
    of width 32 had a Dice of 0.967 in place of 0.994).
    """
    model = onnx.load(path)
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in weights]
    if len(inputs) != 1:
        msg = f"the graph has {len(inputs)} inputs, not one: {', '.join(value.name for value in inputs)}"
        raise BuildError(msg)
    dims = inputs[0].type.tensor_type.shape.dim
    wanted = (batch_size, 1, *size)
    given = [dim.dim_value if dim.HasField("dim_value") else None for dim in dims]
    if len(given) != len(wanted) or any(have not in (None, want) for have, want in zip(given, wanted, strict=True)):
        shape = "x".join("?" if dim is None else str(dim) for dim in given)
        msg = f"the graph's input {inputs[0].name} is {shape}, and the case needs {'x'.join(map(str, wanted))}"
        raise BuildError(msg)
    for dim, want in zip(dims, wanted, strict=True):
        dim.dim_value = want
    _forget_shapes(model.graph, batch_size)
    unquantize(model, "ConvTranspose")
    return FixedGraph(model.SerializeToString(), _flops(model))


def _forget_shapes(graph: onnx.GraphProto, batch_size: int) -> None:
    """Drop inner shapes, which name the free batch, and fix the outputs' batch."""
    del graph.value_info[:]
    for value in graph.output:
        dims = value.type.tensor_type.shape.dim
        if dims and not dims[0].HasField("dim_value"):
            dims[0].dim_value = batch_size


def _flops(model: onnx.ModelProto) -> dict[str, float]:
    graph = shape_inference.infer_shapes(model, data_prop=True).graph
    shapes = {tensor.name: list(tensor.dims) for tensor in graph.initializer}
    for value in (*graph.input, *graph.value_info, *graph.output):
        shapes[value.name] = [dim.dim_value for dim in value.type.tensor_type.shape.dim]
    convolutions = [node for node in graph.node if node.op_type in ("Conv", "ConvTranspose") and node.name]
    # Conv: each output value sums weight [K, C / groups, h, w] over all but K; ConvTranspose: each input value
    # goes to weight [C, K / groups, h, w] over all but C places.
    maps = {node.name: node.output[0] if node.op_type == "Conv" else node.input[0] for node in convolutions}
    hidden = sorted({name for name in maps.values() if not prod(shapes.get(name, [0]))})
    if hidden:
        # Such as a decoder whose maps are padded to those of the encoder when it runs.
        shapes |= extents(model, hidden)
    return {
        node.name: 2.0 * prod(shapes[maps[node.name]]) * prod(shapes[node.input[1]][1:])
        for node in convolutions
        if node.input[1] in shapes
    }
