"""A graph with another end still gives the plain graph's masks, by ONNX Runtime, and says why where it cannot."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto

from models.dice import labels
from models.ends import ENDS, EndError, uint8_input
from models.graphs import export, to_variant
from models.images import normalise
from models.unet import UNet
from tests.bench.networks import SIZE, sections, tiny_source
from tests.models.test_graphs import opset, run
from tests.models.test_quantize import Graph

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from bench.source import NetworkSource

FORMS = ("fp32", "fp16", "int8", "int8-typed", "int8-unsigned")
IMAGES = sections("held-out", 2).images


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> NetworkSource:
    return tiny_source(tmp_path_factory.mktemp("ends"))


def variant(made: NetworkSource, form: str, steps: tuple[str, ...], folder: Path) -> Path:
    path = folder / "variant.onnx"
    to_variant(made.graph(form), steps, path)
    return path


def answer(path: Path, batch: NDArray[Any]) -> NDArray[Any]:
    """Return what ONNX Runtime computes without changing the graph, whatever its ends are called."""
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    found: NDArray[Any] = session.run(None, {session.get_inputs()[0].name: batch})[0]
    return found


def ends(path: Path) -> tuple[int, int]:
    """Return the element types of a graph's only input and output."""
    graph = onnx.load(path).graph
    (image,), (output,) = graph.input, graph.output
    return image.type.tensor_type.elem_type, output.type.tensor_type.elem_type


@pytest.mark.parametrize("form", FORMS)
def test_raw_pixels_are_normalised_as_they_were_outside(made: NetworkSource, form: str, tmp_path: Path) -> None:
    path = variant(made, form, ("uint8-input",), tmp_path)
    assert ends(path) == (TensorProto.UINT8, TensorProto.FLOAT)
    plain = run(made.graph(form), normalise(IMAGES), optimized=False)
    # A pixel in 300 or so falls on the other side of a quantization step.
    assert np.mean(np.abs(answer(path, IMAGES[:, None]) - plain) > 1e-3 * np.abs(plain).max()) < 0.01
    graph = Graph(path)
    (first,) = [node for node in graph.nodes if "pixels" in node.input]
    assert first.op_type == "Cast"  # the only reader of a uint8 input that TensorRT has
    assert opset(path) == opset(made.graph(form))


def test_all_256_grey_levels_are_normalised_to_the_last_digits(tmp_path: Path) -> None:
    image = onnx.helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 1, 16, 16])
    same = onnx.helper.make_tensor_value_info("same", TensorProto.FLOAT, [1, 1, 16, 16])
    node = onnx.helper.make_node("Identity", ["image"], ["same"])
    graph = onnx.helper.make_graph([node], "identity", [image], [same])
    opsets = [onnx.helper.make_opsetid("", 17)]
    onnx.save(onnx.helper.make_model(graph, opset_imports=opsets, ir_version=8), tmp_path / "identity.onnx")
    to_variant(tmp_path / "identity.onnx", ["uint8-input"], tmp_path / "raw.onnx")
    levels = np.arange(256, dtype=np.uint8).reshape(1, 16, 16)
    np.testing.assert_allclose(answer(tmp_path / "raw.onnx", levels[:, None]), normalise(levels), atol=1e-6)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("step", "kind"), [("argmax", TensorProto.INT32), ("mask", TensorProto.BOOL)])
def test_mask_is_the_class_of_the_larger_logit(
    made: NetworkSource, form: str, step: str, kind: int, tmp_path: Path
) -> None:
    path = variant(made, form, (step,), tmp_path)
    assert ends(path) == (TensorProto.FLOAT, kind)
    batch = normalise(IMAGES)
    expected = labels(run(made.graph(form), batch, optimized=False))
    assert 0 < expected.mean() < 1
    np.testing.assert_array_equal(answer(path, batch)[:, 0], expected)


@pytest.mark.parametrize("form", FORMS)
def test_one_logit_is_the_difference_of_two(made: NetworkSource, form: str, tmp_path: Path) -> None:
    path = variant(made, form, ("one-logit",), tmp_path)
    batch = normalise(IMAGES)
    plain = run(made.graph(form), batch, optimized=False)
    found = answer(path, batch)
    assert found.shape == (2, 1, *SIZE)
    difference = plain[:, 1:] - plain[:, :1]
    limit = 1e-4 if form == "fp32" else 0.02  # quantizing the difference rounds otherwise than each
    assert np.abs(found - difference).mean() < limit * np.abs(difference).mean()
    assert np.mean(labels(np.asarray(found, np.float32)) == labels(plain)) > (0.9999 if form == "fp32" else 0.995)


def test_the_difference_keeps_the_bits_of_the_weights_it_is_made_of(made: NetworkSource, tmp_path: Path) -> None:
    graph = Graph(variant(made, "int8", ("one-logit",), tmp_path))
    dequantize = graph.producers[graph.of("Conv")[-1].input[1]]
    quantize = graph.producers[dequantize.input[0]]
    assert list(quantize.input[1:]) == list(dequantize.input[1:])
    steps = graph.value(quantize.input[0]) / graph.value(quantize.input[1])
    assert np.abs(steps).max() == pytest.approx(127, rel=1e-3)


@pytest.mark.parametrize("form", FORMS)
def test_half_ends_compute_the_same_in_half_the_bytes(made: NetworkSource, form: str, tmp_path: Path) -> None:
    path = variant(made, form, ("half-io",), tmp_path)
    assert ends(path) == (TensorProto.FLOAT16, TensorProto.FLOAT16)
    batch = normalise(IMAGES)
    plain = run(made.graph(form), batch, optimized=False)
    found = answer(path, batch.astype(np.float16)).astype(np.float32)
    assert np.mean(labels(found) == labels(plain)) > 0.99
    casts = len(Graph(path).of("Cast"))
    assert casts == (0 if form in ("fp16", "int8-typed") else 2)  # a typed graph loses the Casts at its ends


@pytest.mark.parametrize(
    "steps", [("uint8-input", "mask"), ("float-ends", "argmax"), ("one-logit", "mask"), ("shared-concat", "half-io")]
)
@pytest.mark.parametrize("form", ["int8", "int8-typed"])
def test_steps_go_together(made: NetworkSource, form: str, steps: tuple[str, ...], tmp_path: Path) -> None:
    path = variant(made, form, steps, tmp_path)
    plain = labels(run(made.graph(form), normalise(IMAGES), optimized=False))
    batch: NDArray[Any] = IMAGES[:, None] if "uint8-input" in steps else normalise(IMAGES)
    found = answer(path, batch.astype(np.float16) if "half-io" in steps else batch)
    masks = labels(found.astype(np.float32)) if found.shape[1] == 2 else found[:, 0]
    assert np.mean(masks == plain) > 0.98


def test_a_graph_without_such_an_end_is_refused(made: NetworkSource, tmp_path: Path) -> None:
    export(UNet(2, classes=3), SIZE, tmp_path / "three.onnx")
    with pytest.raises(EndError, match="ends in a convolution to two classes"):
        to_variant(tmp_path / "three.onnx", ["one-logit"], tmp_path / "x.onnx")
    with pytest.raises(EndError, match="one or two classes, not 3"):
        to_variant(tmp_path / "three.onnx", ["mask"], tmp_path / "x.onnx")
    with pytest.raises(EndError, match="needs two classes or more"):
        to_variant(made.graph("fp32"), ["one-logit", "argmax"], tmp_path / "x.onnx")
    with pytest.raises(EndError, match="was its end changed before"):
        to_variant(made.graph("fp32"), ["mask", "argmax"], tmp_path / "x.onnx")
    with pytest.raises(EndError, match="no float32 input"):
        uint8_input(uint8_input(onnx.load(made.graph("fp32"))))
    assert set(ENDS) == {"uint8-input", "one-logit", "argmax", "mask", "half-io"}
    assert not (tmp_path / "x.onnx").exists()
