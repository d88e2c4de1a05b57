"""Other ways to place the Q/DQ nodes of an INT8 graph, each a try at more speed or more fidelity."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onnx import helper, numpy_helper

from models.nodes import PAIR, Nodes, unquantize

if TYPE_CHECKING:
    from collections.abc import Callable

    import onnx


def shared_concat(model: onnx.ModelProto) -> onnx.ModelProto:
    """Give both inputs of each concatenation the scale of its output, so that joining them moves bytes only.

    The output's range holds the inputs' ranges. What else reads an input in INT8 reads it at that scale too, and so
    does what reads its maxima: one INT8 tensor serves all. Where 0 is not the same in both, as with signed maps among
    unsigned ones, neither changes: ReLU is no lower end of a range about 128. What several concatenations join, as in a
    nested U-Net, is quantized once, for the first: any of their ranges holds it.
    """
    graph = Nodes(model)
    joined: set[str] = set()
    for concat in graph.of("Concat"):
        quantize = next((node for node in graph.readers(concat.output[0]) if node.op_type == PAIR[0]), None)
        if quantize is None or len({_zero(graph, node) for node in (quantize, *_before(graph, concat))}) > 1:
            continue
        scale = list(quantize.input[1:])
        for index, name in enumerate(list(concat.input)):
            if _quantized_at(graph, name, scale):
                continue
            concat.input[index] = f"{name}_joined"
            if name not in joined:
                pair = [
                    helper.make_node(PAIR[0], [name, *scale], [f"{name}_joined_q"]),
                    helper.make_node(PAIR[1], [f"{name}_joined_q", *scale], [f"{name}_joined"]),
                ]
                graph.proto.node.extend(pair)
                joined.add(name)
    return model


def float_first(model: onnx.ModelProto) -> onnx.ModelProto:
    """Leave the convolution that reads the image unquantized."""
    graph = Nodes(model)
    unquantize(model, "Conv", lambda conv: graph.through_casts(graph.before_pair(conv.input[0])) in graph.inputs)
    return model


def float_last(model: onnx.ModelProto) -> onnx.ModelProto:
    """Leave the convolution that writes the logits unquantized."""
    graph = Nodes(model)
    ends = {graph.through_casts(name) for name in graph.outputs}
    unquantize(model, "Conv", lambda conv: conv.output[0] in ends)
    return model


def float_ends(model: onnx.ModelProto) -> onnx.ModelProto:
    """Leave the first and the last convolution unquantized."""
    return float_last(float_first(model))


def _before(graph: Nodes, concat: onnx.NodeProto) -> list[onnx.NodeProto]:
    """Return the nodes that dequantize a concatenation's inputs."""
    found = [graph.producers.get(name) for name in concat.input]
    return [node for node in found if node is not None and node.op_type == PAIR[1]]


def _zero(graph: Nodes, node: onnx.NodeProto) -> tuple[int, int]:
    """Return the ONNX type that a node quantizes to or dequantizes from, and what stands for 0 in it."""
    zero = graph.weights[node.input[2]]
    return int(zero.data_type), int(numpy_helper.to_array(zero).flat[0])


def _quantized_at(graph: Nodes, name: str, scale: list[str]) -> bool:
    """Quantize at a scale where a tensor, or its maxima, is quantized; return whether the tensor itself was."""
    plain = graph.before_pair(name)
    pools = [node.output[0] for reader in (name, plain) for node in graph.readers(reader) if node.op_type == "MaxPool"]
    for tensor in (plain, *pools):
        for quantize in graph.readers(tensor):
            if quantize.op_type == PAIR[0]:
                for node in (quantize, *graph.readers(quantize.output[0])):
                    node.input[1:] = scale
    return plain != name


VARIANTS: dict[str, Callable[[onnx.ModelProto], onnx.ModelProto]] = {
    "shared-concat": shared_concat,
    "float-first": float_first,
    "float-last": float_last,
    "float-ends": float_ends,
}
"""By name; each changes the model it is given and returns it."""
