"""Graphs of networks that are built otherwise than the suite's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper
from torch import nn

from bench.ranges import losses
from models.graphs import adopt, calibration_ranges, export
from models.images import normalise
from models.quantize import CALIBRATIONS
from tests.bench.networks import SIZE, sections
from tests.models.test_graphs import module_logits, run

if TYPE_CHECKING:
    from pathlib import Path

IMAGES = normalise(sections("calibration", 1).images)


class Weighed(nn.Module):
    """Weighs channels by a convolution along them, as ECA-Net does (Wang et al., 2020)."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 4, 3, padding=1)
        self.along = nn.Conv1d(1, 1, 3, padding=1)
        self.last = nn.Conv2d(4, 2, 1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Return logits [B, 2, H, W]."""
        maps = self.first(image)
        weights = self.along(maps.mean((2, 3))[:, None]).sigmoid()
        logits: torch.Tensor = self.last(maps * weights.transpose(1, 2)[..., None])
        return logits


class Attentive(nn.Module):
    """Attends to all places of its maps, as the bottleneck of a U-Net with a transformer does."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 8, 8, stride=8)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.last = nn.ConvTranspose2d(8, 2, 8, stride=8)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Return logits [B, 2, H, W]."""
        maps = self.first(image)
        places = maps.flatten(2).transpose(1, 2)
        mixed, _ = self.attention(places, places, places, need_weights=False)
        logits: torch.Tensor = self.last(maps + mixed.transpose(1, 2).reshape(maps.shape))
        return logits


def test_attention_is_exported_and_computes_what_the_module_computes(tmp_path: Path) -> None:
    module = Attentive().eval().requires_grad_(requires_grad=False)
    export(module, SIZE, tmp_path / "fp32.onnx")
    batch = np.concatenate([IMAGES, IMAGES[..., ::-1]])
    np.testing.assert_allclose(run(tmp_path / "fp32.onnx", batch), module_logits(module, batch), atol=1e-4)
    assert torch.backends.mha.get_fastpath_enabled()


@pytest.mark.parametrize(("kernel", "dilation"), [(3, 2), (2, 1), (4, 3)])
def test_convolutions_that_keep_the_size_compute_what_the_module_computes(
    tmp_path: Path, kernel: int, dilation: int
) -> None:
    dilated = nn.Conv2d(1, 4, (kernel, 3), padding="same", dilation=dilation)
    module = nn.Sequential(dilated, nn.ReLU(), nn.Conv2d(4, 2, 1)).eval().requires_grad_(requires_grad=False)
    export(module, SIZE, tmp_path / "fp32.onnx")
    np.testing.assert_allclose(run(tmp_path / "fp32.onnx", IMAGES), module_logits(module, IMAGES), atol=1e-5)


@pytest.mark.parametrize("kind", CALIBRATIONS)
def test_maps_of_one_axis_are_calibrated_and_compared(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "fp32.onnx"
    export(Weighed().eval(), SIZE, path)
    name = next(node.input[0] for node in onnx.load(path).graph.node if "along" in node.name)
    ranges = calibration_ranges(path, IMAGES, kind)
    limit = float(np.max(np.abs(ranges[name].range_value)))
    assert limit > 0
    assert losses(path, IMAGES, {"own": {name: limit}}, [name], 1)["own"][name].signal_to_noise_db > 0


def test_weights_that_are_inputs_become_weights_alone(tmp_path: Path) -> None:
    export(Weighed().eval(), SIZE, tmp_path / "plain.onnx")
    model = onnx.load(tmp_path / "plain.onnx")
    images = list(model.graph.input)
    del model.graph.input[:]
    weights = [helper.make_tensor_value_info(each.name, TensorProto.FLOAT, each.dims) for each in _floats(model)]
    model.graph.input.extend([*weights, *images])
    onnx.save(model, tmp_path / "theirs.onnx")
    adopt(tmp_path / "theirs.onnx", SIZE, tmp_path / "fp32.onnx")
    assert [value.name for value in onnx.load(tmp_path / "fp32.onnx").graph.input] == ["image"]
    found, plain = (calibration_ranges(tmp_path / name, IMAGES, "int8") for name in ("fp32.onnx", "plain.onnx"))
    assert found["image"].range_value == plain["image"].range_value


def _floats(model: onnx.ModelProto) -> list[onnx.TensorProto]:
    return [each for each in model.graph.initializer if each.data_type == TensorProto.FLOAT]
