"""Resizing to the size of other maps, which a graph computes, is resizing by factors; files of old opsets get INT8."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from torch import nn
from torch.nn.functional import interpolate, max_pool2d

from bench.case import Case
from bench.engines import check_label, open_engine
from models.graphs import adopt, export
from models.network import load_network
from tests.bench.networks import quick, tiny_source

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

SIZE = (64, 96)


class Sized(nn.Module):
    """One level of a U-Net that resizes its upper maps to the size of those that it joins them with."""

    def __init__(self, pool: int = 2) -> None:
        super().__init__()
        self.first, self.deep = nn.Conv2d(1, 16, 3, padding=1), nn.Conv2d(16, 16, 7, padding=3)
        self.middle, self.last, self.pool = nn.Conv2d(32, 16, 3, padding=1), nn.Conv2d(16, 2, 1), pool

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Return logits [B, 2, H, W] for images [B, 1, H, W]."""
        maps = self.first(image).relu()
        deep = self.deep(max_pool2d(maps, self.pool)).relu()
        upper = interpolate(deep, size=maps.shape[2:], mode="bilinear")
        logits: torch.Tensor = self.last(self.middle(torch.cat([maps, upper], 1)).relu())
        return logits


def network(pool: int = 2) -> Sized:
    """Return such a network, always the same."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Sized(pool).eval().requires_grad_(requires_grad=False)


def write(path: Path, module: nn.Module, opset: int = 17) -> Path:
    """Write a module as a user's ONNX graph with free count and size of images."""
    free = {0: "count", 2: "high", 3: "wide"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module, (torch.zeros(1, 1, 32, 64),), str(path), dynamo=False, opset_version=opset,
            input_names=["image"], output_names=["logits"], dynamic_axes={"image": free, "logits": free},
        )  # fmt: skip
    return path


def run(path: Path, images: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the logits of a graph."""
    (logits,) = ort.InferenceSession(path, providers=["CPUExecutionProvider"]).run(None, {"image": images})
    return np.asarray(logits)


@pytest.mark.parametrize(("pool", "inputs"), [(2, 3), (5, 4)])
@pytest.mark.parametrize("theirs", [True, False])
def test_resizing_to_a_computed_size_is_by_factors_where_they_are_exact(
    tmp_path: Path,
    pool: int,
    inputs: int,
    theirs: bool,  # noqa: FBT001 - a parameter
) -> None:
    module = network(pool)
    if theirs:
        adopt(write(tmp_path / "theirs.onnx", module), SIZE, tmp_path / "model.onnx")
    else:
        export(module, SIZE, tmp_path / "model.onnx")
    graph = onnx.load(tmp_path / "model.onnx").graph
    assert [len(node.input) for node in graph.node if node.op_type == "Resize"] == [inputs]
    assert ("Shape" in {node.op_type for node in graph.node}) == (inputs == 4)
    images = np.random.default_rng(0).normal(size=(3, 1, *SIZE)).astype(np.float32)
    np.testing.assert_allclose(run(tmp_path / "model.onnx", images), module(torch.from_numpy(images)), atol=1e-5)


@pytest.mark.parametrize("opset", [11, 17])
@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_int8_of_a_file_that_resizes_to_a_computed_size_runs_in_integers(
    tmp_path: Path, backend: str, opset: int
) -> None:
    pytest.importorskip(backend)
    case = Case(backend, "int8", 2)
    file = write(tmp_path / "theirs.onnx", network(), opset)
    with quick(), open_engine(tiny_source(tmp_path, load_network(str(file))), case) as opened:
        check_label(case, opened.engine)
