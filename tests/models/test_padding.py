"""Padding that a U-Net computes from its maps is computed beforehand, and gone where it adds nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn
from torch.nn.functional import interpolate, max_pool2d, pad

from bench.case import Case
from bench.engines import check_label, open_engine
from models.graphs import adopt, export
from models.padding import padded_for
from tests.bench.networks import Padding, as_network, padding_graph, quick, tiny_source

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

SIZE = (64, 96)


class Joined(nn.Module):
    """One level of the widely used U-Net that pads its upsampled maps to the size of those it joins them with."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.deep = nn.Conv2d(1, 16, 3, padding=1), nn.Conv2d(16, 16, 3, padding=1)
        self.middle, self.last = nn.Conv2d(32, 16, 3, padding=1), nn.Conv2d(16, 2, 1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Return logits [B, 2, H, W] for images [B, 1, H, W]."""
        maps = self.first(image).relu()
        upper = interpolate(self.deep(max_pool2d(maps, 2)).relu(), scale_factor=2, mode="bilinear", align_corners=True)
        rows, columns = maps.size(2) - upper.size(2), maps.size(3) - upper.size(3)
        padded = pad(upper, (columns // 2, columns - columns // 2, rows // 2, rows - rows // 2))
        logits: torch.Tensor = self.last(self.middle(torch.cat([maps, padded], 1)).relu())
        return logits


def run(path: Path, images: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the logits of a graph."""
    session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    (logits,) = session.run(None, {"image": images})
    return np.asarray(logits)


@pytest.mark.parametrize(("size", "left"), [(SIZE, 0), ((48, 80), 1)])
@pytest.mark.parametrize("theirs", [True, False])
def test_padding_is_written_in_numbers_and_is_gone_where_it_adds_nothing(
    tmp_path: Path,
    size: tuple[int, int],
    left: int,
    theirs: bool,  # noqa: FBT001 - a parameter
) -> None:
    network = Padding().eval()
    if theirs:
        padding_graph(tmp_path / "theirs.onnx")
        adopt(tmp_path / "theirs.onnx", size, tmp_path / "model.onnx")
        before = tmp_path / "theirs.onnx"
    else:
        export(network, size, tmp_path / "model.onnx")
    model = onnx.load(tmp_path / "model.onnx")
    weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    pads = [node for node in model.graph.node if node.op_type == "Pad"]
    assert [weights[node.input[1]].tolist() for node in pads] == [[0, 0, 0, 0, 0, 0, 64 - 48, 96 - 80]] * left
    images = np.random.default_rng(0).normal(size=(3, 1, *size)).astype(np.float32)
    with torch.inference_mode():
        wanted = run(before, images) if theirs else network(torch.from_numpy(images)).numpy()
    np.testing.assert_allclose(run(tmp_path / "model.onnx", images), wanted, atol=1e-5)


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_int8_of_a_network_that_pads_its_maps_runs_in_integers(
    tmp_path: Path, backend: str, capfd: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip(backend)
    case = Case(backend, "int8", 2)
    with torch.random.fork_rng(devices=[]), quick():
        torch.manual_seed(0)
        source = tiny_source(tmp_path, as_network(Joined().eval().requires_grad_(requires_grad=False)))
        with open_engine(source, case) as opened:
            check_label(case, opened.engine)
    assert not capfd.readouterr().err  # such as ONNX Runtime's warnings of weights that nothing reads any more


def test_padding_that_is_the_graph_s_output_or_read_by_a_branch_stays() -> None:
    none = numpy_helper.from_array(np.zeros(8, np.int64), "none")
    padded = helper.make_node("Pad", ["image", "none"], ["logits"])
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 1, 32, 32]) for name in ("image", "logits")]
    model = helper.make_model(helper.make_graph([padded], "ends", ends[:1], ends[1:], [none]))
    assert [node.op_type for node in padded_for(model, (32, 32)).graph.node] == ["Pad"]
    inner = helper.make_tensor_value_info("inner", TensorProto.FLOAT, ["n", 1, 32, 32])
    branch = helper.make_graph([helper.make_node("Relu", ["padded"], ["inner"])], "branch", [], [inner])
    either = helper.make_node("If", ["always"], ["logits"], then_branch=branch, else_branch=branch)
    always = numpy_helper.from_array(np.array([True]), "always")
    nodes = [helper.make_node("Pad", ["image", "none"], ["padded"]), either]
    model = helper.make_model(helper.make_graph(nodes, "branches", ends[:1], ends[1:], [none, always]))
    assert [node.op_type for node in padded_for(model, (32, 32)).graph.node] == ["Pad", "If"]


def test_padding_that_depends_on_the_pixels_stays() -> None:
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 1, None, None]) for name in ("image", "logits")
    ]
    bright = helper.make_node("ReduceMax", ["image"], ["bright"], keepdims=0)
    extents = [
        helper.make_node("Cast", ["bright"], ["most"], to=TensorProto.INT64),
        helper.make_node("Expand", ["most", "eight"], ["pads"]),
    ]
    padded = helper.make_node("Pad", ["image", "pads"], ["padded"])
    eight = numpy_helper.from_array(np.array([8]), "eight")
    nodes = [bright, *extents, padded, helper.make_node("Relu", ["padded"], ["logits"])]
    model = helper.make_model(
        helper.make_graph(nodes, "pixels", ends[:1], ends[1:], [eight]),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )
    before = model.SerializeToString(deterministic=True)
    assert padded_for(model, (32, 32)).SerializeToString(deterministic=True) == before
