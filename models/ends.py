"""Other ends for a graph: raw pixels in, masks out, fewer or smaller logits; each saves work or bytes around it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from onnx import TensorProto, helper, numpy_helper, shape_inference

from models.images import MEAN, STD
from models.nodes import Nodes, drop_unread

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import onnx
    from numpy.typing import NDArray

_TWO = 2
_CLASSES = 1
"""The axis of the classes in logits [batch, classes, H, W]."""


class EndError(ValueError):
    """A graph that cannot be given the end asked for; the text says why."""


def uint8_input(model: onnx.ModelProto) -> onnx.ModelProto:
    """Take grey pixels, uint8 [batch, 1, H, W], and normalise them in the graph: a quarter of the bytes to upload.

    TensorRT wants a Cast and nothing else behind a uint8 input.
    """
    found = _floats(model, model.graph.input)
    if len(found) != 1:
        msg = "the graph has no float32 input to take pixels in its place (or several)"
        raise EndError(msg)
    (image,) = found
    name = image.name
    image.name, image.type.tensor_type.elem_type = "pixels", TensorProto.UINT8
    for weight, value in (("pixels_scale", 1 / (255 * STD)), ("pixels_shift", -MEAN / STD)):
        model.graph.initializer.append(numpy_helper.from_array(np.asarray(value, np.float32), weight))
    model.graph.node.extend(
        [
            helper.make_node("Cast", ["pixels"], ["pixels_float"], "pixels/Cast", to=TensorProto.FLOAT),
            helper.make_node("Mul", ["pixels_float", "pixels_scale"], ["pixels_scaled"], "pixels/Mul"),
            helper.make_node("Add", ["pixels_scaled", "pixels_shift"], [name], "pixels/Add"),
        ]
    )
    return model


def one_logit(model: onnx.ModelProto) -> onnx.ModelProto:
    """Put out the difference of two classes' logits, [batch, 1, H, W], positive where the target's is larger.

    The last convolution is linear, so its weights are subtracted beforehand: half its work, half the bytes.
    """
    graph = Nodes(model)
    logits = _logits(model)
    conv = graph.producers.get(graph.through_casts(logits.name))
    weight = (
        graph.weights.get(graph.before_pair(conv.input[1])) if conv is not None and conv.op_type == "Conv" else None
    )
    if conv is None or weight is None or weight.dims[0] != _TWO:
        msg = "the difference of two logits needs a graph that ends in a convolution to two classes"
        raise EndError(msg)
    values = numpy_helper.to_array(weight)
    less = values[1:] - values[:1]
    names = [_weight(model, less, f"{weight.name}_difference")]
    if conv.input[1] != weight.name:  # through its own Q/DQ pair
        pair = [graph.producers[graph.producers[conv.input[1]].input[0]], graph.producers[conv.input[1]]]
        old = numpy_helper.to_array(graph.weights[pair[0].input[1]])
        steps = np.abs(values.reshape(_TWO, -1)).max(axis=1) / old.reshape(-1)  # 127 of them, or what the graph has
        scale = np.abs(less).max() / steps.max()
        names += [
            _weight(model, np.asarray([scale], old.dtype), f"{weight.name}_difference_scale"),
            _weight(model, np.zeros(1, np.int8), f"{weight.name}_difference_zero"),
        ]
        pair[0].input[:] = names
        pair[1].input[1:] = names[1:]
    else:
        conv.input[1] = names[0]
    if len(conv.input) > 2:  # noqa: PLR2004 - the third is the bias
        bias = numpy_helper.to_array(graph.weights[conv.input[2]])
        conv.input[2] = _weight(model, bias[1:] - bias[:1], f"{conv.input[2]}_difference")
    graph.producers[logits.name].output[0] = logits.name = "difference"
    logits.type.tensor_type.shape.dim[_CLASSES].dim_value = 1
    del model.graph.value_info[:]
    return model


def argmax(model: onnx.ModelProto) -> onnx.ModelProto:
    """Put out the class of each pixel, int32 [batch, 1, H, W], in place of the logits."""
    end, classes, _ = _end(model)
    if classes < _TWO:
        msg = "an argmax needs two classes or more"
        raise EndError(msg)
    nodes = [
        helper.make_node("ArgMax", [end], ["mask_long"], "mask/ArgMax", axis=_CLASSES, keepdims=1),
        helper.make_node("Cast", ["mask_long"], ["mask"], "mask/Cast", to=TensorProto.INT32),
    ]
    return _masked(model, nodes, TensorProto.INT32)


def mask(model: onnx.ModelProto) -> onnx.ModelProto:
    """Put out whether each pixel is the target, bool [batch, 1, H, W]: an eighth of the bytes of two float logits.

    A plain comparison, which fuses where an argmax is a sort of its own; equal logits are the background to both.
    """
    end, classes, kind = _end(model)
    if classes == 1:
        zero = numpy_helper.from_array(np.zeros((), helper.tensor_dtype_to_np_dtype(kind)), "mask_zero")
        model.graph.initializer.append(zero)
        nodes = [helper.make_node("Greater", [end, zero.name], ["mask"], "mask/Greater")]
    elif classes == _TWO:
        _weight(model, np.asarray([1, 1], np.int64), "mask_split")
        nodes = [
            helper.make_node("Split", [end, "mask_split"], ["mask_other", "mask_target"], "mask/Split", axis=_CLASSES),
            helper.make_node("Greater", ["mask_target", "mask_other"], ["mask"], "mask/Greater"),
        ]
    else:
        msg = f"a mask by comparison needs one or two classes, not {classes}"
        raise EndError(msg)
    return _masked(model, nodes, TensorProto.BOOL)


def half_io(model: onnx.ModelProto) -> onnx.ModelProto:
    """Take and put out float16 where it was float32; a Cast at an end that becomes useless is taken away."""
    graph = Nodes(model)
    for value in _floats(model, model.graph.input):
        readers = graph.readers(value.name)
        if all(node.op_type == "Cast" and node.attribute[0].i == TensorProto.FLOAT16 for node in readers):
            for cast in readers:
                for node in graph.readers(cast.output[0]):
                    node.input[:] = [value.name if name == cast.output[0] else name for name in node.input]
        else:
            inner = value.name
            value.name = f"{inner}_half"
            model.graph.node.insert(0, helper.make_node("Cast", [value.name], [inner], to=TensorProto.FLOAT))
        value.type.tensor_type.elem_type = TensorProto.FLOAT16
    for value in _floats(model, model.graph.output):
        last = graph.producers[value.name]
        if last.op_type == "Cast" and _kind(model, last.input[0]) == TensorProto.FLOAT16:
            graph.producers[last.input[0]].output[0] = value.name
            model.graph.node.remove(last)
        else:
            inner, value.name = value.name, f"{value.name}_half"
            model.graph.node.append(helper.make_node("Cast", [inner], [value.name], to=TensorProto.FLOAT16))
        value.type.tensor_type.elem_type = TensorProto.FLOAT16
    drop_unread(model, "Cast")
    del model.graph.value_info[:]
    return model


ENDS: dict[str, Callable[[onnx.ModelProto], onnx.ModelProto]] = {
    "uint8-input": uint8_input,
    "one-logit": one_logit,
    "argmax": argmax,
    "mask": mask,
    "half-io": half_io,
}
"""By name; each changes the model it is given and returns it. All but `one-logit` change the types at the ends."""


def _floats(model: onnx.ModelProto, values: Iterable[onnx.ValueInfoProto]) -> list[onnx.ValueInfoProto]:
    weights = {tensor.name for tensor in model.graph.initializer}
    return [
        value for value in values if value.type.tensor_type.elem_type == TensorProto.FLOAT and value.name not in weights
    ]


def _logits(model: onnx.ModelProto) -> onnx.ValueInfoProto:
    found = _floats(model, model.graph.output)
    if len(found) != 1 or len(model.graph.output) != 1:
        msg = "the graph's output is not one tensor of float32 logits (was its end changed before?)"
        raise EndError(msg)
    return found[0]


def _end(model: onnx.ModelProto) -> tuple[str, int, int]:
    """Return the logits before they are cast for the output, their number of classes and their element type."""
    logits = _logits(model)
    end = Nodes(model).through_casts(logits.name)
    dim = logits.type.tensor_type.shape.dim[_CLASSES]
    return end, int(dim.dim_value), TensorProto.FLOAT if end == logits.name else _kind(model, end)


def _kind(model: onnx.ModelProto, name: str) -> int:
    found = shape_inference.infer_shapes(model).graph
    values = (*found.value_info, *found.input, *found.output)
    return next(int(value.type.tensor_type.elem_type) for value in values if value.name == name)


def _masked(model: onnx.ModelProto, nodes: list[onnx.NodeProto], kind: int) -> onnx.ModelProto:
    output = model.graph.output[0]
    model.graph.node.extend(nodes)
    output.name, output.type.tensor_type.elem_type = "mask", kind
    output.type.tensor_type.shape.dim[_CLASSES].dim_value = 1
    drop_unread(model, "Cast")
    del model.graph.value_info[:]
    return model


def _weight(model: onnx.ModelProto, values: NDArray[np.generic], name: str) -> str:
    model.graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
    return name
