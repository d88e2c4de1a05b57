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
TRANSPOSED = 16 * 8
"""Of the transposed one: 16 x 8 x 4 for a pixel it reads, of which there are a quarter."""
LAST = 8 * 2
"""Of that to the classes, which a runtime may leave in FP32."""


def joined() -> nn.Module:
    """Return plain and grouped convolutions, a transposed one that ONNX Runtime keeps in FP32, and one to classes."""
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


@pytest.mark.parametrize(("backend", "transposed"), [("onnxruntime", 0), ("openvino", TRANSPOSED)])
def test_transposed_and_grouped_convolutions_are_weighed_by_their_work(
    tmp_path: Path, backend: str, transposed: int
) -> None:
    pytest.importorskip(backend)
    source = tiny_source(tmp_path, as_network(joined()))
    with quick(), open_engine(source, Case(backend, "int8", 2)) as opened:
        share = opened.engine.achieved["int8"]
    found, whole = INT8 + transposed, INT8 + TRANSPOSED + LAST
    assert share in (pytest.approx(found / whole), pytest.approx((found + LAST) / whole))
