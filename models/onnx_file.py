"""A user's ONNX file: checked, identified by its bytes, and its fixed extents read."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from onnx import TensorProto
from onnx.checker import ValidationError
from onnx.external_data_helper import ExternalDataInfo, uses_external_data
from onnx.shape_inference import InferenceError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_CHUNK_BYTES = 1 << 20
_RANK = 4
_SQUASHING = ("Sigmoid", "HardSigmoid")
_QUANTIZED = re.compile(r"Q[A-Z]|\w*[Qq]uantize|\w*Integer|MatMulNBits")
"""How the operators begin that a quantized graph holds: ONNX's own, and those of ONNX Runtime."""
_CONVERTED = "the suite makes each precision from a float32 graph: export the network before it is converted"
PROBABILITIES = (
    "as probabilities of one class are, all above 0, where the target is taken to begin; "
    "put out the logits, without the sigmoid at the end"
)
"""What a network with a single output channel is refused for."""


class ModelError(ValueError):
    """A network that does not exist or cannot be used; the text names it and what is valid."""


@dataclass(frozen=True, slots=True)
class OnnxFile:
    """What is known of an ONNX graph; extents are None where it leaves them open."""

    digest: str
    fixed_batch: int | None
    input_size: tuple[int, int] | None


def describe(path: Path) -> OnnxFile:
    """Return an ONNX file's digest and extents; `ModelError` unless it maps float32 [N, 1, H, W] to [N, C, H, W]."""
    if not path.is_file():
        msg = f"{path}: there is no such file; give an ONNX file"
        raise ModelError(msg)
    try:
        model = onnx.load(str(path), load_external_data=False)
        externals = sorted({ExternalDataInfo(tensor).location for tensor in _external(model.graph)})
        content = _digest([path, *(path.parent / location for location in externals)])
        onnx.checker.check_model(str(path))
        graph = onnx.shape_inference.infer_shapes(model).graph
    except (DecodeError, ValidationError, InferenceError, OSError, ValueError, TypeError) as error:
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        msg = f"{path}: not a valid ONNX model ({reason}); export it again, external data in the same folder"
        raise ModelError(msg) from error
    constants = {tensor.name for tensor in graph.initializer}
    inputs = [value for value in graph.input if value.name not in constants]
    batch, channels, height, width = _extents(inputs, "input", path)
    _, classes, *logits_size = _extents(list(graph.output), "output", path)
    if channels not in (None, 1):
        msg = f"{path}: its input has {channels} channels; the suite feeds grey images, float32 [N, 1, H, W]"
        raise ModelError(msg)
    _check_weights(graph, path)
    _check_logits(graph, classes, (logits_size, [height, width]), path)
    return OnnxFile(content, batch, None if height is None or width is None else (height, width))


def _check_weights(graph: onnx.GraphProto, path: Path) -> None:
    """Raise `ModelError` where a convolution's weights are of another type than float32, or the graph is quantized."""
    operators = {node.op_type for each in _graphs(graph) for node in each.node}
    quantized = sorted(filter(_QUANTIZED.match, operators))
    if quantized:
        msg = f"{path}: its operators {', '.join(quantized)} are those of a quantized graph; {_CONVERTED}"
        raise ModelError(msg)
    kinds = {tensor.name: tensor.data_type for tensor in graph.initializer}
    kinds |= {
        node.output[0]: attribute.t.data_type
        for node in graph.node
        if node.op_type == "Constant"
        for attribute in node.attribute
        if attribute.name == "value"
    }
    weights = {node.input[1] for node in graph.node if node.op_type in {"Conv", "ConvTranspose"}}
    found = {kinds[name] for name in weights & kinds.keys()} - {TensorProto.FLOAT}
    if found:
        kind = TensorProto.DataType.Name(found.pop()).lower()
        msg = f"{path}: the weights of its convolutions are {kind}; {_CONVERTED}"
        raise ModelError(msg)


def _check_logits(
    graph: onnx.GraphProto, classes: int | None, sizes: tuple[list[int | None], list[int | None]], path: Path
) -> None:
    """Raise `ModelError` unless a logit for each pixel is put out; `sizes` (height, width) are its and the input's."""
    last = next((node.op_type for node in graph.node if graph.output[0].name in node.output), "")
    if classes == 1 and last in _SQUASHING:
        msg = f"{path}: the graph ends in a {last}, whose values are from 0 to 1: {PROBABILITIES}"
        raise ModelError(msg)
    if any(None not in {ours, theirs} and ours != theirs for ours, theirs in zip(*sizes, strict=True)):
        logits, images = ("x".join(str(extent or "?") for extent in size) for size in sizes)
        msg = (
            f"{path}: its logits are {logits} for images of {images}; the suite needs one for each pixel: upsample them"
        )
        raise ModelError(msg)


def _extents(values: list[onnx.ValueInfoProto], what: str, path: Path) -> list[int | None]:
    """Return the four extents of the only value there may be, None where open."""
    wanted = {"input": "[N, 1, H, W]", "output": "[N, C, H, W]"}[what]
    tensors = [value.type.tensor_type for value in values]
    if len(tensors) != 1 or tensors[0].elem_type != TensorProto.FLOAT or len(tensors[0].shape.dim) != _RANK:
        found = ", ".join(f"{value.name} {_text(value)}" for value in values) or "none"
        msg = f"{path}: expected exactly one float32 {what} {wanted}, but found {found}"
        raise ModelError(msg)
    return [dim.dim_value if dim.dim_value > 0 else None for dim in tensors[0].shape.dim]


def _text(value: onnx.ValueInfoProto) -> str:
    """Return type and shape of a graph value for a message."""
    tensor = value.type.tensor_type
    extents = ", ".join(dim.dim_param or (str(dim.dim_value) if dim.dim_value > 0 else "?") for dim in tensor.shape.dim)
    return f"{TensorProto.DataType.Name(tensor.elem_type).lower()} [{extents}]"


def _external(graph: onnx.GraphProto) -> Iterator[TensorProto]:
    """Yield the tensors stored outside the file, those of nested graphs included."""
    for each in _graphs(graph):
        held = (attribute.t for node in each.node for attribute in node.attribute if attribute.HasField("t"))
        yield from (tensor for tensor in (*each.initializer, *held) if uses_external_data(tensor))


def _graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    """Yield a graph and those nested in it."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for nested in (attribute.g, *attribute.graphs):
                yield from _graphs(nested)


def _digest(paths: list[Path]) -> str:
    """Return the SHA-256 (hex) over the bytes of files, each preceded by its size."""
    total = hashlib.sha256()
    for path in paths:
        total.update(f"{path.stat().st_size}\n".encode())
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                total.update(chunk)
    return total.hexdigest()
