"""Q/DQ nodes stand where every runtime fuses them, and their scales come from the images."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper
from torch import nn

import models.quantize
from models.dice import dice, labels
from models.graphs import calibration_ranges, export, to_int8, to_int8_unsigned
from models.images import ImageSet, normalise
from models.quantize import LIMIT
from models.symmetric import symmetric
from models.unet import UNet
from tests.bench.networks import SIZE, sections, tiny_source, trained
from tests.models.test_graphs import run

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from bench.source import NetworkSource

PAIR = ("QuantizeLinear", "DequantizeLinear")


class Graph:
    """A model with its weights and neighbours by name."""

    def __init__(self, path: Path) -> None:
        self.nodes = list(onnx.load(path).graph.node)
        self.weights = {tensor.name: tensor for tensor in onnx.load(path).graph.initializer}
        self.producers = {output: node for node in self.nodes for output in node.output}

    def of(self, *kinds: str) -> list[onnx.NodeProto]:
        """Return the nodes of some kinds."""
        return [node for node in self.nodes if node.op_type in kinds]

    def source(self, name: str) -> str:
        """Return the kind of node that makes a tensor, or what else it is."""
        return self.producers[name].op_type if name in self.producers else "weight" if name in self.weights else name

    def value(self, name: str) -> NDArray[np.float32]:
        """Return a weight's values."""
        return np.asarray(numpy_helper.to_array(self.weights[name]))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> NetworkSource:
    return tiny_source(tmp_path_factory.mktemp("quantized"))


@pytest.fixture(scope="module")
def signed(made: NetworkSource) -> Graph:
    return Graph(made.graph("int8"))


@pytest.fixture(scope="module")
def unsigned(made: NetworkSource) -> Graph:
    return Graph(made.graph("int8-unsigned"))


def test_all_zero_points_are_0_and_int8(signed: Graph) -> None:
    assert len(signed.of(*PAIR)) > 60
    for node in signed.of(*PAIR):
        assert signed.weights[node.input[2]].data_type == TensorProto.INT8
        assert not signed.value(node.input[2]).any()


def test_weights_are_quantized_per_channel_and_activations_per_tensor(signed: Graph) -> None:
    for node in signed.of("Conv"):
        activation, weight = (signed.producers[name] for name in node.input[:2])
        assert (activation.op_type, weight.op_type) == ("DequantizeLinear", "DequantizeLinear")
        assert signed.value(activation.input[1]).size == 1
        before = signed.producers[weight.input[0]]
        assert before.op_type == "QuantizeLinear"
        assert signed.value(weight.input[1]).shape == signed.value(before.input[0]).shape[:1]
        assert next(attribute.i for attribute in weight.attribute if attribute.name == "axis") == 0
        assert signed.source(node.input[2]) == "weight"  # the bias stays float


def test_only_inputs_of_convolutions_and_poolings_are_quantized(signed: Graph) -> None:
    for node in signed.of("DequantizeLinear"):
        users = {user.op_type for user in signed.nodes if node.output[0] in user.input}
        # A level's last activation is pooled, and joined as it is pooled.
        assert users in ({"Conv"}, {"MaxPool", "Concat"})
    quantized = {signed.source(node.input[0]) for node in signed.of("QuantizeLinear")}
    assert quantized == {"image", "weight", "Relu", "MaxPool", "Concat"}
    assert {signed.source(name) for node in signed.of("Resize") for name in node.input[:1]} == {"Relu"}


def test_nothing_stands_between_a_convolution_and_its_relu(signed: Graph) -> None:
    assert {signed.source(node.input[0]) for node in signed.of("Relu")} == {"Conv"}


def test_unsigned_form_has_every_activation_but_the_image_in_uint8(unsigned: Graph) -> None:
    for node in unsigned.of("QuantizeLinear"):
        kind = unsigned.weights[node.input[2]].data_type
        signed_ones = {"image", "weight"}
        wanted = TensorProto.INT8 if unsigned.source(node.input[0]) in signed_ones else TensorProto.UINT8
        assert kind == wanted
    assert {unsigned.source(node.input[0]) for node in unsigned.of("Resize")} == {"DequantizeLinear"}


def test_unsigned_form_spreads_the_same_range_over_twice_the_steps(signed: Graph, unsigned: Graph) -> None:
    ranges = [
        {
            node.input[0]: float(graph.value(node.input[1]))
            for node in graph.of("QuantizeLinear")
            if _activation(graph, node)
        }
        for graph in (signed, unsigned)
    ]
    assert ranges[0].keys() <= ranges[1].keys()
    for name, scale in ranges[0].items():
        assert ranges[1][name] == pytest.approx(scale if name == "image" else scale / 2)


def _activation(graph: Graph, node: onnx.NodeProto) -> bool:
    return graph.source(node.input[0]) != "weight"


def test_unsigned_form_is_no_farther_from_fp32_than_the_signed(made: NetworkSource) -> None:
    batch = normalise(sections("held-out", 4).images)
    reference = run(made.graph("fp32"), batch)
    # Unoptimized, Q and DQ are computed as ONNX defines them: what a CPU's INT8 kernels add to that is not tested here.
    found = {kind: run(made.graph(kind), batch, optimized=False) for kind in ("int8", "int8-unsigned")}
    far = {kind: float(np.abs(logits - reference).mean()) for kind, logits in found.items()}
    assert far["int8-unsigned"] <= far["int8"]
    assert dice(labels(found["int8-unsigned"]), labels(reference), 2).mean(axis=0)[1] > 0.98


def _image_scale(path: Path) -> float:
    graph = Graph(path)
    return next(float(graph.value(node.input[1])) for node in graph.of("QuantizeLinear") if node.input[0] == "image")


@pytest.fixture
def quick_entropy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Search a shorter histogram: the method is the same, and seconds are not tens of seconds."""
    method, options = models.quantize.CALIBRATIONS["int8-entropy"]
    monkeypatch.setitem(models.quantize.CALIBRATIONS, "int8-entropy", (method, {**options, "num_bins": 160}))


@pytest.mark.usefixtures("quick_entropy")
def test_each_calibration_finds_ranges_of_its_own(made: NetworkSource) -> None:
    images = normalise(sections("calibration", 2).images)
    kinds = ("int8", "int8-entropy", "int8-percentile")
    ranges = {kind: calibration_ranges(made.graph("fp32"), images, kind) for kind in kinds}
    name = "/up4/conv/conv.2/Relu_output_0"
    highest = {kind: float(np.asarray(ranges[kind][name].range_value[1]).item()) for kind in kinds}
    assert highest["int8-entropy"] < highest["int8-percentile"] < highest["int8"]


@cache
def _blank() -> ImageSet:
    grey = np.full((2, *SIZE), 128, np.uint8)
    return ImageSet(("a", "b"), grey, None, "blank")


def test_minmax_keeps_the_extremes_of_the_images(made: NetworkSource) -> None:
    images = made.calibration()
    assert _image_scale(made.graph("int8")) == pytest.approx(float(np.abs(images).max()) / 127, rel=1e-5)


def test_graph_of_a_fixed_batch_is_calibrated_in_such_batches_to_the_same_ranges(
    made: NetworkSource, tmp_path: Path
) -> None:
    model = onnx.load(made.graph("fp32"))
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 2
    onnx.save(model, tmp_path / "pairs.onnx")
    images = normalise(sections("calibration", 3).images)
    ones, pairs = (calibration_ranges(path, images, "int8") for path in (made.graph("fp32"), tmp_path / "pairs.onnx"))
    for name in ones.keys():  # noqa: SIM118 - the library's type is no dict
        assert np.ravel(pairs[name].range_value) == pytest.approx(np.ravel(ones[name].range_value), rel=1e-5)


def test_calibrating_on_blank_images_is_visibly_worse(made: NetworkSource, tmp_path: Path) -> None:
    blank = tiny_source(tmp_path, calibration=_blank())
    batch = normalise(sections("held-out", 4).images)
    reference = labels(run(made.graph("fp32"), batch))
    well, badly = (
        dice(labels(run(each.graph("int8-unsigned"), batch, optimized=False)), reference, 2)[:, 1].mean()
        for each in (made, blank)
    )
    assert well > 0.98
    assert badly < well - 0.05


def test_transposed_convolutions_quantize_too(tmp_path: Path) -> None:
    network = UNet(4, bilinear=False).eval()
    network.load_state_dict({**network.state_dict(), **_shared(network)})
    export(network, (32, 32), tmp_path / "fp32.onnx")
    images = normalise(sections("calibration", 2, (32, 32)).images)
    to_int8(tmp_path / "fp32.onnx", calibration_ranges(tmp_path / "fp32.onnx", images, "int8"), tmp_path / "int8.onnx")
    to_int8_unsigned(tmp_path / "int8.onnx", tmp_path / "unsigned.onnx")
    reference = run(tmp_path / "fp32.onnx", images)
    for form in ("int8", "unsigned"):
        assert np.abs(run(tmp_path / f"{form}.onnx", images, optimized=False) - reference).max() < 0.2 * np.ptp(
            reference
        )
    # What they give is signed, and joins unsigned maps that ReLU ends, which keep their kind. They read INT8, so
    # that ONNX Runtime runs the convolution before in integers, though not the transposed one itself.
    unsigned = Graph(tmp_path / "unsigned.onnx")
    relus = [node for node in unsigned.of("QuantizeLinear") if unsigned.source(node.input[0]) == "Relu"]
    assert len(relus) == 18
    assert {unsigned.weights[node.input[2]].data_type for node in relus} == {TensorProto.UINT8}


def test_ranges_of_another_calibrator_lack_what_it_does_not_quantize(tmp_path: Path) -> None:
    network = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.SiLU(), nn.Conv2d(4, 2, 1)).eval()
    export(network, (32, 32), tmp_path / "fp32.onnx")
    images = normalise(sections("calibration", 2, (32, 32)).images)
    ranges = calibration_ranges(tmp_path / "fp32.onnx", images, "int8")
    open_end = "/0/Conv_output_0"
    assert open_end in ranges
    limits = {name: float(np.max(np.abs(ranges[name].range_value))) for name in ranges}
    theirs = symmetric({name: limit for name, limit in limits.items() if name != open_end})
    for number, given in enumerate((ranges, theirs)):
        to_int8(tmp_path / "fp32.onnx", given, tmp_path / f"{number}.onnx")
    own, other = ({entry.key for entry in onnx.load(tmp_path / f"{number}.onnx").metadata_props} for number in (0, 1))
    assert own - other == {f"{LIMIT}{open_end}"}
    assert not any(key.startswith(LIMIT) for key in other)


def _shared(network: UNet) -> dict[str, object]:
    """Return the trained weights that the network with transposed convolutions shares: its first levels."""
    wanted = network.state_dict()
    return {
        name: tensor
        for name, tensor in trained().state_dict().items()
        if name in wanted and tensor.shape == wanted[name].shape
    }
