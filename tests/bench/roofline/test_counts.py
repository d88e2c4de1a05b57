"""The work of a graph is what its layers' shapes say, checked against sums done by hand and PyTorch's own counter."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from bench.roofline.counts import count
from models.graphs import export
from models.unet import UNet

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


def test_graph_without_convolutions_is_refused(tmp_path: Path) -> None:
    export(nn.ReLU(), (32, 32), tmp_path / "model.onnx")
    with pytest.raises(ValueError, match="holds no convolution"):
        count(tmp_path / "model.onnx", (32, 32))
