"""The work of a network, counted from its ONNX graph: FLOPs, and the bytes that must at least be moved."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING

import onnx
from onnx import shape_inference

if TYPE_CHECKING:
    from pathlib import Path

_CONVOLUTIONS = ("Conv", "ConvTranspose")
_PRODUCTS = ("MatMul", "Gemm")
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
    """Return the work of an FP32 graph for images of `size`; `ValueError` when it holds none.

    A convolution's multiply-adds: each output value sums the weight [K, C / groups, h, w] over all but K; transposed,
    each input value goes to the weight [C, K / groups, h, w] over all but C places. A matrix product's: each output
    value sums over the extent that its factors share. Joining tensors (Concat) and what runtimes fuse (activation,
    normalisation, addition) move nothing of their own.
    """
    model = onnx.load(path)
    weights = {tensor.name: list(tensor.dims) for tensor in model.graph.initializer}
    (image,) = [value for value in model.graph.input if value.name not in weights]
    for dim, extent in zip(image.type.tensor_type.shape.dim, (1, 1, *size), strict=True):
        dim.dim_value = extent
    del model.graph.value_info[:]
    for value in model.graph.output:
        value.type.tensor_type.shape.dim[0].dim_value = 1
    graph = shape_inference.infer_shapes(model, data_prop=True).graph
    shapes = dict(weights)
    for value in (*graph.input, *graph.value_info, *graph.output):
        shapes[value.name] = [dim.dim_value for dim in value.type.tensor_type.shape.dim]
    counted = (*_CONVOLUTIONS, *_PRODUCTS, *_POOLS)
    layers = tuple(_layer(node, shapes, weights) for node in graph.node if node.op_type in counted)
    if not any(layer.flops for layer in layers):
        msg = f"{path}: the graph holds no convolution or product whose work could be counted"
        raise ValueError(msg)
    return Work(layers)


def _layer(node: onnx.NodeProto, shapes: dict[str, list[int]], weights: dict[str, list[int]]) -> Layer:
    data, result = shapes[node.input[0]], shapes[node.output[0]]
    parameters = [weights[name] for name in node.input[1:] if name in weights]
    flops, moved = 0.0, prod(data) + prod(result)
    if node.op_type in _CONVOLUTIONS:
        kernel = parameters[0]
        flops = 2.0 * prod(result if node.op_type == "Conv" else data) * prod(kernel[1:])
    elif node.op_type in _PRODUCTS:
        transposed = any(attribute.name == "transA" and attribute.i for attribute in node.attribute)
        flops = 2.0 * prod(result) * data[0 if transposed else -1]
        moved += 0 if node.input[1] in weights else prod(shapes[node.input[1]])
    held = 0 if node.op_type in _POOLS else sum(prod(shape) for shape in parameters)
    return Layer(node.name or node.output[0], flops, moved, held)
