"""The work of a network, counted from its ONNX graph: FLOPs, and the bytes that must at least be moved."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING

import onnx
from onnx import shape_inference

from bench.backends._onnx_folded import folded
from models.nodes import fix_image

if TYPE_CHECKING:
    from pathlib import Path

_CONVOLUTIONS = ("Conv", "ConvTranspose")
_PRODUCTS = ("MatMul", "Gemm", "Einsum")
_POOLS = ("MaxPool", "AveragePool", "Resize", "Upsample")


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer's work for one image; elementwise operators count as part of the layer before them."""

    name: str
    flops: float
    """Two for each multiply-add."""
    activations: int
    """Values read and written, each once."""
    weights: int
    """Values of weights and bias, read once for a whole batch."""

    def least_bytes(self, batch_size: int, value_bytes: float) -> float:
        """Return the bytes a batch moves at least, with `value_bytes` bytes a value."""
        return value_bytes * (batch_size * self.activations + self.weights)


@dataclass(frozen=True, slots=True)
class Work:
    """A network's layers."""

    layers: tuple[Layer, ...]

    @property
    def flops_per_image(self) -> float:
        """FLOPs of all layers for one image."""
        return sum(layer.flops for layer in self.layers)

    def least_bytes(self, batch_size: int, value_bytes: float = 4.0) -> float:
        """Return the bytes a batch moves at least, layer by layer: no layer finds its input in a cache."""
        return sum(layer.least_bytes(batch_size, value_bytes) for layer in self.layers)


def count(path: Path, size: tuple[int, int]) -> Work:
    """Return the work of an FP32 graph for images of `size`; `ValueError` when it holds none or hides how much.

    A convolution's multiply-adds: each output value sums the weight [K, C / groups, h, w] over all but K; transposed,
    each input value goes to the weight [C, K / groups, h, w] over all but C places. A matrix product's: each output
    value sums over the extents that its factors share. Joining tensors (Concat) and what runtimes fuse (activation,
    normalisation, addition) move nothing of their own.
    """
    model = onnx.load(path)
    fix_image(model, (1, 1, *size))
    del model.graph.value_info[:]
    for value in model.graph.output:
        value.type.tensor_type.shape.dim[0].dim_value = 1
    try:
        layers = _layers(model)
    except KeyError:
        try:
            layers = _layers(folded(model))
        except KeyError as error:
            told = "are not known before it runs: export it for images of one size"
            msg = f"{path}: the extents of {error.args[0]} {told}"
            raise ValueError(msg) from error
    if not any(layer.flops for layer in layers):
        msg = f"{path}: the graph holds no convolution or product whose work could be counted"
        raise ValueError(msg)
    return Work(layers)


def _layers(model: onnx.ModelProto) -> tuple[Layer, ...]:
    """Return the layers of a graph whose input is of fixed extents; `KeyError` for a tensor whose own are unknown."""
    graph = shape_inference.infer_shapes(model, data_prop=True).graph
    shapes = {tensor.name: list(tensor.dims) for tensor in graph.initializer}
    weights = set(shapes)
    for value in (*graph.input, *graph.value_info, *graph.output):
        extents = [dim.dim_value for dim in value.type.tensor_type.shape.dim]
        if all(extents) and value.type.tensor_type.HasField("shape"):
            shapes[value.name] = extents
    counted = (*_CONVOLUTIONS, *_PRODUCTS, *_POOLS)
    return tuple(_layer(node, shapes, weights) for node in graph.node if node.op_type in counted)


def _layer(node: onnx.NodeProto, shapes: dict[str, list[int]], weights: set[str]) -> Layer:
    data, result = shapes[node.input[0]], shapes[node.output[0]]
    flops = 0.0
    if node.op_type in _CONVOLUTIONS:
        flops = 2.0 * prod(result if node.op_type == "Conv" else data) * prod(shapes[node.input[1]][1:])
    elif node.op_type in _PRODUCTS:
        flops = 2.0 * prod(result) * _summed(node, shapes)
    maps = {name for name in node.input[: 2 if node.op_type in _PRODUCTS else 1] if name not in weights}
    held = {name for name in node.input if name} - maps if flops else set()
    moved, kept = (sum(prod(shapes[name]) for name in names) for names in (maps, held))
    return Layer(node.name or node.output[0], flops, moved + prod(result), kept)


def _summed(node: onnx.NodeProto, shapes: dict[str, list[int]]) -> int:
    """Return how many products each value that a matrix product puts out is the sum of; 0 where it multiplies none."""
    given = {attribute.name: attribute for attribute in node.attribute}
    if node.op_type != "Einsum":
        return shapes[node.input[0]][0 if "transA" in given and given["transA"].i else -1]
    if len(node.input) == 1:
        return 0
    factors, _, result = given["equation"].s.decode().replace(" ", "").partition("->")
    # Without an arrow what is in one factor alone is in the result.
    result = result or "".join(label for label in factors if factors.count(label) == 1)
    extents: dict[str, int] = {}
    for labels, name in zip(factors.split(","), node.input, strict=True):
        # What dots stand for is in the result as well: labels behind them are matched from the end.
        before, _, behind = labels.partition("...")
        extents |= dict(zip(before, shapes[name], strict=False))
        extents |= dict(zip(reversed(behind), reversed(shapes[name]), strict=False))
    return prod(extent for label, extent in extents.items() if label not in result)
