"""The values inside an FP32 graph, image by image, by ONNX Runtime on the CPU."""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx
import onnxruntime as ort

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray


def activations(graph: Path) -> tuple[str, ...]:
    """Return the tensors of a graph, its input included, that a runtime keeps between layers, in order.

    What only a ReLU reads is left out: every runtime joins it with the layer before.
    """
    proto = onnx.load(graph).graph
    weights = {tensor.name for tensor in proto.initializer}
    wanted = dict.fromkeys(
        name for node in proto.node if node.op_type != "Relu" for name in node.input if name and name not in weights
    )
    made = [value.name for value in proto.input] + [name for node in proto.node for name in node.output]
    return tuple(name for name in made if name in wanted)


def values(
    graph: Path, names: Sequence[str], images: NDArray[np.float32], threads: int
) -> Iterator[dict[str, NDArray[np.float32]]]:
    """Yield the values of some tensors for one normalised image, float32 [1, 1, H, W], after the other."""
    model = onnx.load(graph)
    (image,) = (value.name for value in model.graph.input)
    present = {value.name for value in model.graph.output}
    inner = [name for name in names if name != image]
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in inner if name not in present)
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    for each in images[:, None]:
        found = dict(zip(inner, session.run(inner, {image: each}), strict=True)) if inner else {}
        yield {image: each, **found} if image in names else found
