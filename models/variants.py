"""Other ways to place the Q/DQ nodes of an INT8 graph, each a try at more speed or more fidelity."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onnx import helper

if TYPE_CHECKING:
    from collections.abc import Callable

    import onnx

_PAIR = ("QuantizeLinear", "DequantizeLinear")


class _Graph:
    """A graph's nodes by what they make and by what they read."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.proto = model.graph
        self.inputs = {value.name for value in model.graph.input}
        self.outputs = {value.name for value in model.graph.output}
        self.producers = {output: node for node in model.graph.node for output in node.output}

    def of(self, kind: str) -> list[onnx.NodeProto]:
        return [node for node in self.proto.node if node.op_type == kind]

    def readers(self, name: str) -> list[onnx.NodeProto]:
        return [node for node in self.proto.node if name in node.input]

    def before_pair(self, name: str) -> str:
        """Return what a tensor was before it was quantized and dequantized; itself where it was not."""
        dequantize = self.producers.get(name)
        if dequantize is None or dequantize.op_type != _PAIR[1]:
            return name
        quantize = self.producers.get(dequantize.input[0])
        return str(quantize.input[0]) if quantize is not None and quantize.op_type == _PAIR[0] else name

    def through_casts(self, name: str) -> str:
        """Return what a tensor was before it was cast to another float type; itself where it was not."""
        cast = self.producers.get(name)
        return self.through_casts(cast.input[0]) if cast is not None and cast.op_type == "Cast" else name


def shared_concat(model: onnx.ModelProto) -> onnx.ModelProto:
    """Give both inputs of each concatenation the scale of its output, so that joining them moves bytes only.

    The output's range holds the inputs' ranges. What else reads an input in INT8 reads it at that scale too: one INT8
    tensor serves both.
    """
    graph = _Graph(model)
    for concat in graph.of("Concat"):
        quantize = next((node for node in graph.readers(concat.output[0]) if node.op_type == _PAIR[0]), None)
        if quantize is None:
            continue
        scale = list(quantize.input[1:])
        for index, name in enumerate(list(concat.input)):
            for other in graph.readers(name):
                if other.op_type == _PAIR[0]:
                    for node in (other, *graph.readers(other.output[0])):
                        node.input[1:] = scale
            pair = [
                helper.make_node(_PAIR[0], [name, *scale], [f"{name}_joined_q"]),
                helper.make_node(_PAIR[1], [f"{name}_joined_q", *scale], [f"{name}_joined"]),
            ]
            concat.input[index] = f"{name}_joined"
            graph.proto.node.extend(pair)
    return model


def float_first(model: onnx.ModelProto) -> onnx.ModelProto:
    """Leave the convolution that reads the image unquantized."""
    graph = _Graph(model)
    return _unquantized(
        graph, model, lambda conv: graph.through_casts(graph.before_pair(conv.input[0])) in graph.inputs
    )


def float_last(model: onnx.ModelProto) -> onnx.ModelProto:
    """Leave the convolution that writes the logits unquantized."""
    graph = _Graph(model)
    ends = {graph.through_casts(name) for name in graph.outputs}
    return _unquantized(graph, model, lambda conv: conv.output[0] in ends)


def float_ends(model: onnx.ModelProto) -> onnx.ModelProto:
    """Leave the first and the last convolution unquantized."""
    return float_last(float_first(model))


VARIANTS: dict[str, Callable[[onnx.ModelProto], onnx.ModelProto]] = {
    "shared-concat": shared_concat,
    "float-first": float_first,
    "float-last": float_last,
    "float-ends": float_ends,
}
"""By name; each changes the model it is given and returns it."""


def _unquantized(graph: _Graph, model: onnx.ModelProto, chosen: Callable[[onnx.NodeProto], bool]) -> onnx.ModelProto:
    for conv in graph.of("Conv"):
        if chosen(conv):
            for index in (0, 1):
                conv.input[index] = graph.before_pair(conv.input[index])
    _drop_unread(model)
    return model


def _drop_unread(model: onnx.ModelProto) -> None:
    """Remove the Q and DQ nodes whose output nothing reads any more."""
    wanted = {value.name for value in model.graph.output}
    for node in reversed(list(model.graph.node)):  # in topological order, so that a DQ goes before its Q
        if node.op_type in _PAIR and not any(name in wanted for name in node.output):
            model.graph.node.remove(node)
        else:
            wanted.update(node.input)
