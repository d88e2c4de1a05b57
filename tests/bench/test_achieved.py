"""Backends that read ONNX weigh each convolution by the work it is, transposed and grouped ones too."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from torch import nn

from bench.case import Case
from bench.engines import open_engine
from tests.bench.networks import as_network, quick, tiny_source

if TYPE_CHECKING:
    from pathlib import Path

INT8 = 16 * 9 + 16 * 4 * 9
"""Multiply-adds for a pixel of the convolutions that read INT8: the first, and one of four groups."""
FP32 = 16 * 8
"""Of the transposed one: 16 x 8 x 4 for a pixel it reads, of which there are a quarter."""
LAST = 8 * 2
"""Of that to the classes, which a runtime may leave in FP32."""


def joined() -> nn.Module:
    """Return a plain and a grouped convolution, a transposed one, which stays in FP32, and one to the classes."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        layers = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(16, 16, 3, padding=1, groups=4),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.ConvTranspose2d(16, 8, 2, stride=2),
            nn.ReLU(),
            nn.Conv2d(8, 2, 1),
        )
    return layers.eval().requires_grad_(requires_grad=False)


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_transposed_and_grouped_convolutions_are_weighed_by_their_work(tmp_path: Path, backend: str) -> None:
    pytest.importorskip(backend)
    source = tiny_source(tmp_path, as_network(joined()))
    with quick(), open_engine(source, Case(backend, "int8", 2)) as opened:
        share = opened.engine.achieved["int8"]
    whole = INT8 + FP32 + LAST
    assert share in (pytest.approx(INT8 / whole), pytest.approx((INT8 + LAST) / whole))
