"""The work of a graph is what its layers' shapes say, checked against sums done by hand and PyTorch's own counter."""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx
import pytest
import torch
from onnx import TensorProto, helper
from torch import nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from bench.roofline.counts import count
from models.graphs import export
from models.unet import UNet
from tests.bench.networks import padding_graph

if TYPE_CHECKING:
    from pathlib import Path


def test_two_convolutions_are_counted_as_by_hand(tmp_path: Path) -> None:
    network = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 2, 1)).eval()
    export(network, (32, 48), tmp_path / "model.onnx")
    first, second = count(tmp_path / "model.onnx", (32, 48)).layers
    pixels = 32 * 48
    assert first.flops == 2 * pixels * 4 * 9
    assert second.flops == 2 * pixels * 2 * 4
    assert (first.activations, first.weights) == (pixels * 5, 4 * 9 + 4)
    assert (second.activations, second.weights) == (pixels * 6, 2 * 4 + 2)
    work = count(tmp_path / "model.onnx", (32, 48))
    # Weights are read once for a whole batch, activations for each image.
    assert work.least_bytes(3) == 4 * (3 * pixels * 11 + 50)
    assert work.least_bytes(3, 1.0) == work.least_bytes(3) / 4


def test_unet_is_counted_as_pytorch_counts_it(tmp_path: Path) -> None:
    network = UNet(4).eval()
    export(network, (64, 64), tmp_path / "model.onnx")
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        network(torch.zeros(1, 1, 64, 64))
    work = count(tmp_path / "model.onnx", (64, 64))
    assert work.flops_per_image == counter.get_total_flops()
    assert len({layer.name for layer in work.layers}) == len(work.layers)


class _Attentive(nn.Module):
    """A convolution, attention between all pixels, and a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(1, 8, 3, padding=1), nn.Linear(8, 2)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        pixels = self.first(image).flatten(2).transpose(1, 2)
        mixed = torch.softmax(pixels @ pixels.transpose(1, 2), dim=-1) @ pixels
        logits: torch.Tensor = self.last(mixed).transpose(1, 2).reshape(-1, 2, 16, 32)
        return logits


def test_matrix_products_are_counted_as_by_hand_and_by_pytorch(tmp_path: Path) -> None:
    network = _Attentive().eval()
    export(network, (16, 32), tmp_path / "model.onnx")
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.zeros(1, 1, 16, 32))
    work = count(tmp_path / "model.onnx", (16, 32))
    assert work.flops_per_image == counter.get_total_flops()
    pixels = 16 * 32
    _, scores, mixed, last = work.layers
    assert scores.flops == mixed.flops == 2 * pixels * pixels * 8
    assert (scores.activations, scores.weights) == (2 * pixels * 8 + pixels**2, 0)
    assert last.flops == 2 * pixels * 8 * 2
    assert (last.activations, last.weights) == (pixels * (8 + 2), 8 * 2)


class _Summing(nn.Module):
    """A convolution, and sums over products of letters, with and without dots and arrow."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(1, 8, 1), nn.Conv2d(8, 2, 1)
        self.weight, self.across = nn.Parameter(torch.zeros(8, 8)), nn.Parameter(torch.zeros(32, 32))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        maps = self.first(image)
        scores = torch.einsum("bchw,bcHw->bhHw", maps, maps)
        mixed = torch.einsum("bhHw,bcHw->bchw", scores, maps)
        logits: torch.Tensor = self.last(
            torch.einsum("oc,bc...->bo...", self.weight, torch.einsum("bchw,wx", mixed, self.across))
        )
        return logits


def test_products_of_letters_are_counted_as_by_hand(tmp_path: Path) -> None:
    export(_Summing().eval(), (16, 32), tmp_path / "model.onnx")
    _, scores, mixed, across, weighed, _ = count(tmp_path / "model.onnx", (16, 32)).layers
    pixels = 16 * 32
    assert scores.flops == mixed.flops == 2 * pixels * 16 * 8
    # Both factors of the scores are the same maps.
    assert (scores.activations, scores.weights) == (pixels * 8 + pixels * 16, 0)
    assert (across.flops, across.weights) == (2 * pixels * 8 * 32, 32 * 32)
    assert weighed.flops == 2 * pixels * 8 * 8
    assert (weighed.activations, weighed.weights) == (2 * pixels * 8, 8 * 8)


class _Standardised(nn.Conv2d):
    """A convolution whose weights are made when it runs (Qiao et al., 2019)."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        centred = self.weight - self.weight.mean((1, 2, 3), keepdim=True)
        return functional.conv2d(image, centred / (centred.std((1, 2, 3), keepdim=True) + 1e-5), self.bias, padding=1)


def test_weights_that_are_computed_count_as_weights(tmp_path: Path) -> None:
    export(nn.Sequential(_Standardised(1, 4, 3), nn.Conv2d(4, 2, 1)).eval(), (16, 32), tmp_path / "model.onnx")
    first, _ = count(tmp_path / "model.onnx", (16, 32)).layers
    pixels = 16 * 32
    assert (first.flops, first.activations, first.weights) == (2 * pixels * 4 * 9, pixels * 5, 4 * 9 + 4)


def test_extents_that_a_graph_computes_when_it_runs_are_counted_as_by_hand(tmp_path: Path) -> None:
    padding_graph(tmp_path / "model.onnx")
    layers = count(tmp_path / "model.onnx", (48, 80)).layers
    pixels = 64 * 96
    assert [layer.flops for layer in layers] == [
        2 * pixels * 4 * 9, 0, 2 * (pixels // 4) * 4 * 4 * 4, 2 * pixels * 4 * 8 * 9, 2 * pixels * 2 * 4,
    ]  # fmt: skip
    assert [layer.activations for layer in layers] == [
        pixels * (1 + 4), pixels * (4 + 1), pixels * (1 + 4), pixels * (8 + 4), pixels * (4 + 2),
    ]  # fmt: skip


def test_extents_that_depend_on_the_image_are_refused_by_name(tmp_path: Path) -> None:
    bright = helper.make_node("NonZero", ["image"], ["bright"])
    values = helper.make_node("Cast", ["bright"], ["values"], to=TensorProto.FLOAT)
    product = helper.make_node("MatMul", ["values", "weight"], ["logits"])
    graph = helper.make_graph(
        [bright, values, product],
        "hidden",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 1, 32, 32])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["places", 2])],
        [helper.make_tensor("weight", TensorProto.FLOAT, [3, 2], [0.0] * 6)],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), tmp_path / "m.onnx")
    with pytest.raises(ValueError, match=r"m\.onnx: the extents of values are not known before it runs: export it"):
        count(tmp_path / "m.onnx", (32, 32))


def test_graph_without_convolutions_is_refused(tmp_path: Path) -> None:
    export(nn.ReLU(), (32, 32), tmp_path / "model.onnx")
    with pytest.raises(ValueError, match="holds no convolution"):
        count(tmp_path / "model.onnx", (32, 32))
