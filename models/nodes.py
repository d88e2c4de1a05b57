"""An ONNX graph's nodes by what they make and by what they read, for changing a graph."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    import onnx

PAIR = ("QuantizeLinear", "DequantizeLinear")


class Nodes:
    """The nodes of a model's graph as it was when this object was made; `proto` is the graph itself."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.proto = model.graph
        self.weights = {tensor.name: tensor for tensor in model.graph.initializer}
        self.inputs = {value.name for value in model.graph.input} - self.weights.keys()
        self.outputs = {value.name for value in model.graph.output}
        self.producers = {output: node for node in model.graph.node for output in node.output}

    def of(self, kind: str) -> list[onnx.NodeProto]:
        """Return the nodes of one operator."""
        return [node for node in self.proto.node if node.op_type == kind]

    def readers(self, name: str) -> list[onnx.NodeProto]:
        """Return the nodes that read a tensor."""
        return [node for node in self.proto.node if name in node.input]

    def before_pair(self, name: str) -> str:
        """Return what a tensor was before it was quantized and dequantized; itself where it was not."""
        dequantize = self.producers.get(name)
        if dequantize is None or dequantize.op_type != PAIR[1]:
            return name
        quantize = self.producers.get(dequantize.input[0])
        return str(quantize.input[0]) if quantize is not None and quantize.op_type == PAIR[0] else name

    def through_casts(self, name: str) -> str:
        """Return what a tensor was before it was cast to another float type; itself where it was not."""
        cast = self.producers.get(name)
        return self.through_casts(cast.input[0]) if cast is not None and cast.op_type == "Cast" else name


def fix_image(model: onnx.ModelProto, shape: tuple[int, int, int, int]) -> None:
    """Give the image, a graph's one input beside weights, the extents [B, C, H, W]."""
    weights = {tensor.name for tensor in model.graph.initializer}
    (image,) = (value for value in model.graph.input if value.name not in weights)
    for dim, extent in zip(image.type.tensor_type.shape.dim, shape, strict=True):
        dim.dim_value = extent


def drop_unread(model: onnx.ModelProto, *kinds: str) -> None:
    """Remove the nodes of some operators whose output nothing reads any more."""
    wanted = {value.name for value in model.graph.output}
    for node in reversed(list(model.graph.node)):  # in topological order, so that a DQ goes before its Q
        if node.op_type in kinds and not any(name in wanted for name in node.output):
            model.graph.node.remove(node)
        else:
            wanted.update(node.input)


def unquantize(model: onnx.ModelProto, kind: str, chosen: Callable[[onnx.NodeProto], bool] = lambda _: True) -> None:
    """Have the nodes of one operator, or those chosen of them, read what their inputs were before Q/DQ."""
    graph = Nodes(model)
    for node in filter(chosen, graph.of(kind)):
        node.input[:] = [graph.before_pair(name) for name in node.input]
    drop_unread(model, *PAIR)


def drop_unread_weights(model: onnx.ModelProto) -> None:
    """Remove the weights that no node reads, of each of which ONNX Runtime would warn."""
    wanted = {name for node in model.graph.node for name in node.input}
    wanted |= {value.name for value in (*model.graph.input, *model.graph.output)}  # old files have weights as inputs
    for tensor in [tensor for tensor in model.graph.initializer if tensor.name not in wanted]:
        model.graph.initializer.remove(tensor)
