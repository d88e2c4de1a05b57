"""A user's ONNX file is identified by all its bytes, tells what it fixes, and is refused when it does not fit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_dynamic, quantize_static

from models.graphs import export
from models.network import ModelError, load_network


def _onnx(
    path: Path,
    inputs: list[tuple[int, list[str | int]]],
    outputs: list[tuple[int, list[str | int]]],
    scale: float = 2.0,
) -> Path:
    """Write a graph whose first output is its first input times a constant; the others go nowhere."""
    weight = numpy_helper.from_array(torch.full((1,), scale).numpy(), "scale")
    graph = helper.make_graph(
        [helper.make_node("Mul", ["x0", "scale"], ["y0"])]
        + [helper.make_node("Identity", ["x0"], [f"y{index}"]) for index in range(1, len(outputs))],
        "graph",
        [helper.make_tensor_value_info(f"x{index}", *value) for index, value in enumerate(inputs)],
        [helper.make_tensor_value_info(f"y{index}", *value) for index, value in enumerate(outputs)],
        [weight],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


F, H = TensorProto.FLOAT, TensorProto.FLOAT16
SLICE = {"starts": [0, 0], "ends": [64, 64], "axes": [2, 3], "steps": [2, 2]}


@pytest.mark.parametrize(
    ("shape", "batch", "size"),
    [(["n", 1, "h", "w"], None, None), ([4, 1, 64, 96], 4, (64, 96)), (["n", 1, 64, "w"], None, None)],
)
def test_onnx_file_tells_the_extents_that_it_fixes(
    tmp_path: Path, shape: list[str | int], batch: int | None, size: tuple[int, int] | None
) -> None:
    path = _onnx(tmp_path / "net.onnx", [(F, shape)], [(F, shape)])
    network = load_network(str(path))
    assert (network.name, network.onnx_path, network.parameters) == ("net", path, None)
    assert (network.fixed_batch, network.input_size) == (batch, size)
    network.check((64, 96))
    if size:
        with pytest.raises(ModelError, match=r"net\.onnx: the graph takes 64x96 images only: .* --image-size 64x96"):
            network.check((96, 64))
    with pytest.raises(ModelError, match="cannot become a PyTorch module"):
        network.module()


def test_onnx_graph_whose_logits_are_smaller_than_its_images_is_refused(tmp_path: Path) -> None:
    slices = [numpy_helper.from_array(np.asarray(value), name) for name, value in SLICE.items()]
    shapes = ((1, 1, 64, 64), (1, 1, 32, 32))
    ends = [helper.make_tensor_value_info(name, F, shape) for name, shape in zip("xy", shapes, strict=True)]
    graph = helper.make_graph([helper.make_node("Slice", ["x", *SLICE], ["y"])], "graph", ends[:1], ends[1:], slices)
    path = tmp_path / "half.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    with pytest.raises(ModelError, match=r"half\.onnx: its logits are 32x32 for images of 64x64"):
        load_network(str(path))


def test_onnx_graph_of_one_class_that_ends_in_a_sigmoid_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    ends = [helper.make_tensor_value_info(name, F, ["n", 1, 64, 64]) for name in "xy"]
    for kind, good in (("Sigmoid", False), ("Relu", True)):
        graph = helper.make_graph([helper.make_node(kind, ["x"], ["y"])], "graph", ends[:1], ends[1:])
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
        if good:
            load_network(str(path))
            continue
        with pytest.raises(ModelError, match=r"net\.onnx: the graph ends in a Sigmoid, .* put out the logits"):
            load_network(str(path))


def test_onnx_graph_that_computes_in_float16_between_casts_is_refused(tmp_path: Path) -> None:
    ends = [helper.make_tensor_value_info(name, F, ["n", 1, 64, 64]) for name in "xy"]
    for kind, array in ((H, np.float16), (F, np.float32)):
        weight = numpy_helper.from_array(np.ones((1, 1, 1, 1), array), "w")
        nodes = [
            helper.make_node("Cast", ["x"], ["narrow"], to=kind),
            helper.make_node("Conv", ["narrow", "w"], ["made"]),
            helper.make_node("Cast", ["made"], ["y"], to=F),
        ]
        model = helper.make_model(
            helper.make_graph(nodes, "graph", ends[:1], ends[1:], [weight]),
            opset_imports=[helper.make_opsetid("", 17)],
            ir_version=8,
        )
        onnx.save(model, tmp_path / "net.onnx")
        if kind == F:
            load_network(str(tmp_path / "net.onnx"))
            continue
        with pytest.raises(ModelError, match=r"net\.onnx: the weights of its convolutions are float16; .* export"):
            load_network(str(tmp_path / "net.onnx"))


class _Images(CalibrationDataReader):  # type: ignore[misc] # the library has no types
    """Two grey images to quantize a graph by."""

    def __init__(self) -> None:
        self.left = [{"image": np.full((1, 1, 32, 32), value, np.float32)} for value in (-1, 1)]

    def get_next(self) -> dict[str, np.ndarray] | None:
        return self.left.pop() if self.left else None


@pytest.mark.parametrize(
    ("form", "found"),
    [
        ("QDQ", "DequantizeLinear, QuantizeLinear"),
        ("QOperator", "DequantizeLinear, QLinearAveragePool, QLinearConv, QuantizeLinear"),
        ("dynamic", "ConvInteger, DynamicQuantizeLinear"),
    ],
)
def test_onnx_graph_that_onnx_runtime_quantized_is_refused(tmp_path: Path, form: str, found: str) -> None:
    net, whole = tmp_path / "net.onnx", tmp_path / "whole.onnx"
    layers = (torch.nn.Conv2d(1, 2, 3, padding=1), torch.nn.AvgPool2d(3, 1, 1), torch.nn.Conv2d(2, 2, 1))
    export(torch.nn.Sequential(*layers).eval(), (32, 32), whole)
    load_network(str(whole))
    if form == "dynamic":
        quantize_dynamic(whole, net, weight_type=QuantType.QUInt8)
    else:
        quantize_static(whole, net, _Images(), QuantFormat[form])
    with pytest.raises(ModelError) as caught:
        load_network(str(net))
    assert str(caught.value) == (
        f"{net}: its operators {found} are those of a quantized graph; the suite makes each precision from a float32 "
        "graph: export the network before it is converted"
    )


def test_onnx_digest_covers_the_external_data(tmp_path: Path) -> None:
    path = _onnx(tmp_path / "net.onnx", [(F, ["n", 1, "h", "w"])], [(F, ["n", 1, "h", "w"])])
    inside = load_network(str(path)).digest
    onnx.save(onnx.load(path), path, save_as_external_data=True, location="net.bin", size_threshold=0)
    outside = load_network(str(path)).digest
    (tmp_path / "net.bin").write_bytes(b"\0" * (tmp_path / "net.bin").stat().st_size)
    assert len({inside, outside, load_network(str(path)).digest}) == 3
    (tmp_path / "net.bin").unlink()
    with pytest.raises(ModelError, match=r"net\.onnx: not a valid ONNX model"):
        load_network(str(path))


GREY: list[str | int] = ["n", 1, "h", "w"]


@pytest.mark.parametrize(
    ("inputs", "outputs", "text"),
    [
        ([(H, GREY)], [(H, GREY)], "exactly one float32 input [N, 1, H, W], but found x0 float16 [n, 1, h, w]"),
        ([(F, GREY), (F, GREY)], [(F, GREY)], "exactly one float32 input"),
        ([(F, ["n", "h", "w"])], [(F, ["n", "h", "w"])], "exactly one float32 input"),
        ([(F, GREY)], [(F, GREY), (F, GREY)], "exactly one float32 output [N, C, H, W], but found y0"),
        ([(F, ["n", 3, "h", "w"])], [(F, ["n", 3, "h", "w"])], "its input has 3 channels"),
    ],
)
def test_onnx_graph_of_another_signature_is_refused(
    tmp_path: Path,
    inputs: list[tuple[int, list[str | int]]],
    outputs: list[tuple[int, list[str | int]]],
    text: str,
) -> None:
    scale_type_matters = inputs[0][0] == H
    path = _onnx(tmp_path / "net.onnx", inputs, outputs)
    if scale_type_matters:
        model = onnx.load(path)
        model.graph.initializer[0].CopyFrom(numpy_helper.from_array(torch.ones(1).half().numpy(), "scale"))
        onnx.save(model, path)
    with pytest.raises(ModelError) as caught:
        load_network(str(path))
    assert text in str(caught.value)


def test_onnx_file_that_is_missing_or_no_onnx_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"gone\.onnx: there is no such file"):
        load_network(str(tmp_path / "gone.onnx"))
    for content in (b"", b"this is no graph at all", b"\x08\x07"):
        (tmp_path / "bad.onnx").write_bytes(content)
        with pytest.raises(ModelError, match=r"bad\.onnx: not a valid ONNX model"):
            load_network(str(tmp_path / "bad.onnx"))


def test_weights_beside_an_onnx_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"leave out --weights w\.pt"):
        load_network(str(tmp_path / "net.onnx"), Path("w.pt"))
