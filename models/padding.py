"""Padding and resizing whose extents a graph computes when it runs, as many a U-Net does: computed beforehand."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import quant_pre_process

from models.nodes import Nodes, drop_unread, drop_unread_weights, fix_image

if TYPE_CHECKING:
    from collections.abc import Collection

_SIZES = 3
"""The input of a Resize that holds the sizes to come to; the one before it holds factors."""
_GRAPHS = (onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS)


def padded_for(model: onnx.ModelProto, size: tuple[int, int]) -> onnx.ModelProto:
    """Write the extents of all padding for images of `size` into a graph as weights, and drop what pads nothing.

    INT8 needs it: a Pad between two convolutions keeps runtimes from running them in integers, though it adds nothing.
    So does what reads a convolution's extents for a Resize, which gets factors instead, since its sizes hold the batch.
    """
    resized = _resized_by_factors(model, size)
    nodes = Nodes(model)
    pads = [node for node in nodes.of("Pad") if len(node.input) > 1]  # older opsets have the extents as an attribute
    computed = {node.input[1] for node in pads} - nodes.weights.keys()
    for name, tensor in _folded(model, size, computed).items():
        tensor.name = f"{name} of {size[0]}x{size[1]}"
        model.graph.initializer.append(tensor)
        nodes.weights[name] = tensor
    for node in pads:
        if node.input[1] not in nodes.weights:
            continue  # what depends on the pixels stays
        tensor = nodes.weights[node.input[1]]
        node.input[1] = tensor.name
        if not numpy_helper.to_array(tensor).any() and node.output[0] not in nodes.outputs:
            for reader in nodes.readers(node.output[0]):
                reader.input[:] = [node.input[0] if name == node.output[0] else name for name in reader.input]
    if pads or resized:
        _drop_unread(model)
    return model


def _resized_by_factors(model: onnx.ModelProto, size: tuple[int, int]) -> bool:
    """Give each Resize to computed sizes the factors that lead there, where FP32 holds them; return whether any got."""
    nodes = Nodes(model)
    resizes = [node for node in nodes.of("Resize") if len(node.input) == _SIZES + 1]
    resizes = [node for node in resizes if node.input[_SIZES] not in nodes.weights]
    wanted = {node.input[_SIZES] for node in resizes}
    found = _folded(model, size, wanted, {node.input[0] for node in resizes} if wanted else ())
    changed = False
    for node in resizes:
        before, after = (found.get(name) for name in (_extents_of(node.input[0]), node.input[_SIZES]))
        given = {each.name: helper.get_attribute_value(each) for each in node.attribute}
        stretched = given.get("keep_aspect_ratio_policy", b"stretch") == b"stretch" and "axes" not in given
        if before is None or after is None or not stretched:
            continue
        old, new = numpy_helper.to_array(before), numpy_helper.to_array(after)
        factors = (new / old).astype(np.float32)
        if (factors.astype(np.float64) * old == new).all():
            name = f"factors of {node.output[0]} at {size[0]}x{size[1]}"
            model.graph.initializer.append(numpy_helper.from_array(factors, name))
            node.input[:] = [*node.input[: _SIZES - 1], name]
            changed = True
    return changed


def _extents_of(name: str) -> str:
    return f"extents of {name}"


def _drop_unread(model: onnx.ModelProto) -> None:
    # A loop's or branch's own graph may read what nothing else does.
    if not any(each.type in _GRAPHS for node in model.graph.node for each in node.attribute):
        drop_unread(model, *{node.op_type for node in model.graph.node})
        drop_unread_weights(model)


def _folded(
    model: onnx.ModelProto, size: tuple[int, int], names: Collection[str], sized: Collection[str] = ()
) -> dict[str, onnx.TensorProto]:
    """Return what a graph computes under some names from the extents of an image of a size alone.

    So are the extents themselves of the tensors in `sized`, under the names of `_extents_of`.
    """
    if not names:
        return {}
    probe = onnx.ModelProto()
    probe.CopyFrom(model)
    fix_image(probe, (1, 1, *size))
    probe.graph.node.extend(helper.make_node("Shape", [name], [_extents_of(name)]) for name in sized)
    names = {*names, *map(_extents_of, sized)}
    del probe.graph.value_info[:]
    del probe.graph.output[:]
    probe.graph.output.extend(helper.make_tensor_value_info(name, TensorProto.INT64, None) for name in names)
    _drop_unread(probe)
    with tempfile.TemporaryDirectory() as folder:
        given, folded = Path(folder) / "given.onnx", Path(folder) / "folded.onnx"
        onnx.save(probe, given)
        quant_pre_process(str(given), str(folded), skip_symbolic_shape=True)
        found = Nodes(onnx.load(folded)).weights
    return {name: found[name] for name in sorted(names) if name in found}
